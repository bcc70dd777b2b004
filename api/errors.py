"""Errors that end a command: one line each, for the person who started it."""


class StoppedError(Exception):
    """The service was told to stop before it had started; nothing is wrong."""


class StartError(Exception):
    """The command cannot start, though its settings are valid; the text is one line that says what to do."""


class UnfinishedError(Exception):
    """The command did only part of its work; the text is one line that says what is left."""
