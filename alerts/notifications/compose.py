"""Pure: compose a message for each channel, ready to be stored and sent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from alerts.notifications import html, text, words
from alerts.notifications.facts import MessageFacts
from alerts.notifications.layout import Card, Page
from alerts.wording import rfc3339
from telemetry.registry.ids import id_of


def written(channel: str, notice: MessageFacts) -> dict[str, Any]:
    """Compose a message for a channel."""
    return _forms(channel, words.page(notice), notice.occasion.as_of)


def plainly(channel: str, said: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Compose a minimal message from what is certain, if the full one cannot be written."""
    badge = f"{'DRILL, ' if said['drill'] else ''}{str(said['severity']).upper()}"
    about = f"shipment {id_of(said['scope'])}" if said["scope"] else "the whole fleet"
    card = Card(
        badge=badge,
        tone="critical" if said["severity"] == "critical" else "major",
        title="Something needs somebody",
        subtitle=about,
        facts=(
            ("Reason", said["detail"] or said["reason"]),
            ("Incident", str(said["incident_id"] or "none")),
        ),
    )
    foot = (f"What happened could not be put into words; look at it in the service. Message {said['id']}.",)
    page = Page(
        subject=" ".join(f"{badge}: something needs somebody, {about}".split()),
        drill=said["drill"],
        lead=(),
        cards=(card,),
        foot=foot,
    )
    return _forms(channel, page, at)


def _forms(channel: str, page: Page, at: datetime) -> dict[str, Any]:
    forms = {"subject": page.subject, "at": rfc3339(at)}
    if channel == "email":
        return forms | {"text": text.plain(page), "html": html.html(page)}
    return forms | {"text": text.chat(page) if channel == "chat" else text.brief(page)}
