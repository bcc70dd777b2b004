"""Structured logs: JSON for machines, or colours for a person at a terminal."""

import logging
import logging.handlers
import sys
from typing import Any, TextIO

import structlog

from api.settings import Settings, SettingsError

SECURITY = "dewarwatch.security"
"""The logger of the security log, for operators who send it elsewhere."""


def configure_logs(settings: Settings, *, show_security: bool = True) -> None:
    """Send logs to standard error, as the settings say; the security log too, unless somebody waits for the answer there."""
    configure(
        json=settings.log_format == "json",
        level=settings.log_level,
        security_file=settings.security_log_file,
        show_security=show_security,
    )


def configure(
    *,
    json: bool,
    level: str,
    stream: TextIO = sys.stderr,
    security_file: str | None = None,
    show_security: bool = True,
) -> None:
    """Send every log record, ours and the libraries', through the same processors to `stream`.

    The security log goes there whatever the level is, if it is to be shown, and is appended to `security_file` as JSON.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if json
        else [
            structlog.dev.ConsoleRenderer(
                # The default prints the variables of every frame, which include keys and passwords.
                colors=stream.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    security = logging.getLogger(SECURITY)
    security.setLevel(logging.INFO)
    security.propagate = show_security
    security.handlers = [] if security_file is None else [_file(security_file, shared)]
    for chatty in ("httpx", "httpcore", "uvicorn.access", "asyncio", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _file(path: str, shared: list[Any]) -> logging.Handler:
    """Append JSON lines to a file; it may be moved away, as logrotate does, and is opened anew."""
    try:
        handler = logging.handlers.WatchedFileHandler(path)
    except OSError as error:
        raise SettingsError(
            f"DEWARWATCH_SECURITY_LOG_FILE: {path} cannot be written: {error.strerror}"
        ) from None
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    return handler
