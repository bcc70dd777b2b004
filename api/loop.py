"""Runs a command's coroutine to its end."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def run_in_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run it on uvloop."""
    import uvloop  # noqa: PLC0415 (a wrong call and --help need not wait for it)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
