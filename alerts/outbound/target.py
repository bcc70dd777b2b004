"""Pure: parse the URL of a webhook; forms that programs read differently are refused."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from yarl import URL

from alerts.outbound.addresses import address_of

LONGEST: Final = 2000
_UNPRIVILEGED: Final = 1024
_LIKE = "must be an address such as https://clinic.example/hooks/dewars"
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\]|\s")
_ACCOUNT = re.compile(r"[^/?#]*//[^/?#]*@")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a webhook goes."""

    url: str
    """The host to connect to, in the one form that was checked."""
    host: str
    port: int
    encrypted: bool


@lru_cache(maxsize=4096)
def parse(url: str) -> Target | str:
    """Parse a URL, or return what is wrong with it."""
    if len(url) > LONGEST:
        return f"must have at most {LONGEST} characters"
    if _UNSAFE.search(url):
        return "must not contain blanks, control characters or backslashes: encode them with %"
    try:
        parsed = URL(url)
        host, port = (parsed.raw_host or "").lower(), parsed.port
    except ValueError:
        return _LIKE
    if wrong := _wrong_parts(url, parsed) or (None if address_of(host) else _wrong_name(host)):
        return wrong
    assert port is not None  # http and https have one by themselves
    return Target(url=str(parsed), host=host, port=port, encrypted=parsed.scheme == "https")


def _wrong_parts(url: str, parsed: URL) -> str | None:
    checks = (
        (parsed.scheme not in {"https", "http"}, "must begin with https://"),
        (not parsed.raw_host or parsed.port == 0, _LIKE),
        (bool(_ACCOUNT.match(url)), "must not contain a user or password: messages are signed"),
        (
            # Without encryption only networks that the operator allows are reached, with whatever is there.
            parsed.scheme == "https" and (parsed.port or 0) < _UNPRIVILEGED and parsed.port not in {80, 443},
            "must not name a port below 1024 other than 80 and 443: what listens there speaks no HTTP",
        ),
        ("#" in url, "must not contain a fragment (#)"),
    )
    return next((what for wrong, what in checks if wrong), None)


def _wrong_name(host: str) -> str | None:
    labels = host.removesuffix(".").split(".")
    if "%" in host or ":" in host:
        return "must not name an interface (%) in its address"
    if _NUMBER.fullmatch(labels[-1]):
        return f"must write an IP address in its plain form, not as {host}"
    if len(host) > 253 or not all(_NAME.fullmatch(label) for label in labels):
        return f"has a host that is not a name: {host[:100]}"
    return None
