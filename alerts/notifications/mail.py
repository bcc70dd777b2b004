"""Pure: a message as a mail: the same bytes at every try, threaded by incident, safe against header injection."""

from datetime import UTC, datetime
from email import policy
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Final

_POLICY: Final = policy.SMTP.clone(max_line_length=998, cte_type="7bit")
LONGEST_ADDRESS: Final = 254
_LONGEST_NAME: Final = 150
"""Longest name of a contact in a header, so that the line need not be folded."""
_WRONG: Final = "must be one mail address in plain letters, such as Night desk <desk@clinic.example>"


def address(text: str) -> Address | str:
    """Parse a mail address, with or without a name; return what is wrong with it as text."""
    found = getaddresses([text])
    if len(found) != 1 or not text.isprintable():
        return _WRONG
    name, plain = found[0]
    if plain.count("@") != 1 or len(plain) > LONGEST_ADDRESS or not plain.isascii() or " " in plain:
        return _WRONG
    try:
        read = Address(display_name=name, addr_spec=plain)
    except (ValueError, IndexError, HeaderParseError):
        return _WRONG
    if (
        not read.username or not read.domain or read.domain.startswith("[")
    ):  # a machine by its number is no mail server
        return _WRONG
    return read


def compose(
    *,
    notification_id: str,
    incident_id: str | None,
    sender: Address,
    to: Address,
    to_name: str | None,
    subject: str,
    text: str,
    html: str,
    at: datetime,
    urgent: bool,
) -> EmailMessage:
    """Compose a mail; the same arguments give the same bytes."""
    domain = sender.domain
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    name = _one_line(to_name or to.display_name)[:_LONGEST_NAME]
    mail["To"] = Address(display_name=name, addr_spec=to.addr_spec)
    mail["Subject"] = _one_line(subject)
    mail["Date"] = at.astimezone(UTC)
    mail["Message-ID"] = f"<{notification_id}@{domain}>"
    if incident_id is not None:
        thread = f"<incident.{incident_id}@{domain}>"
        mail["In-Reply-To"] = thread
        mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    mail["List-Id"] = f"Dewarwatch alerts <dewarwatch-alerts.{domain}>"
    if urgent:
        mail["Importance"] = "high"
        mail["X-Priority"] = "1"
    mail.set_content(text, cte="quoted-printable")
    mail.add_alternative(html, subtype="html", cte="quoted-printable")
    mail.set_boundary(f"=_{notification_id}")
    return mail


def _one_line(text: str) -> str:
    """Return text as one line in which `=?` begins no encoded word (RFC 2047), which could hold line breaks and quotes."""
    visible = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(visible.replace("=?", "= ?").split())
