"""Errors that end a command: one line each, for the person who started it."""


class StoppedError(Exception):
    """Somebody told us to stop before we had started; nothing is wrong."""


class StartError(Exception):
    """The service cannot start, through no fault of its settings; the text is one line that says what to do."""


class UnfinishedError(Exception):
    """The command did what it could, and that was not all; the text is one line that says what is left."""
