"""Pure: the mail server, as SMTP_URL names it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

LIKE: Final = "must look like smtp://user:password@host:587 or smtps://user:password@host:465"


class Encryption(StrEnum):
    """How the connection to the server is encrypted."""

    TLS = "tls"
    """From the first byte: `smtps`."""
    REQUIRED = "required"
    """STARTTLS is required."""
    OFFERED = "offered"
    """STARTTLS if the server offers it."""
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """The server's address, encryption and account."""

    host: str
    port: int
    encryption: Encryption
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def parse(url: str) -> Relay | str:
    """Parse an SMTP_URL, or return what is wrong with it; a password needs encryption unless told otherwise."""
    try:
        parts = urlsplit(url)
        port = parts.port
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return LIKE
    if (
        parts.scheme not in {"smtp", "smtps"}
        or not parts.hostname
        or parts.path not in {"", "/"}
        or port == 0
    ):
        return LIKE
    wanted = options.pop("starttls", [None])[-1]
    if options or parts.fragment or wanted not in {None, "required", "offered", "never"}:
        return f"{LIKE}; behind it there may be ?starttls=required, offered or never"
    if parts.scheme == "smtps" and wanted is not None:
        return "must not have starttls with smtps, which is encrypted from the first byte"
    if (parts.username is None) != (parts.password is None):
        return "must have both user and password, or neither"
    with_account = parts.username is not None
    if parts.scheme == "smtps":
        encryption = Encryption.TLS
    elif wanted is not None:
        encryption = Encryption(wanted)
    else:
        encryption = Encryption.REQUIRED if with_account else Encryption.OFFERED
    defaults = {"smtps": 465, "smtp": 587 if with_account else 25}
    return Relay(
        host=parts.hostname,
        port=port or defaults[parts.scheme],
        encryption=encryption,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )
