"""Pure: a message as HTML that a phone shows without zooming: one column, inline styles, nothing loaded from elsewhere."""

from html import escape
from typing import Final

from alerts.notifications.layout import DRILL, Card, Page, Section

_TONES: Final = {
    "critical": ("#b3261e", "#ffffff"),
    "major": ("#8a5a00", "#ffffff"),
    "taken": ("#1f4e79", "#ffffff"),
    "over": ("#1b6b3a", "#ffffff"),
    "plain": ("#3b4a57", "#ffffff"),
}
_FONT: Final = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_TEXT: Final = f"{_FONT};font-size:16px;line-height:1.45;color:#1d2327"
_SMALL: Final = f"{_FONT};font-size:13px;line-height:1.45;color:#55606a"
_TABLE: Final = 'role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"'


def html(page: Page) -> str:
    """Return a message as the HTML of a mail."""
    drill = _drill() if page.drill else ""
    lead = "".join(f'<p style="margin:0 0 12px;{_TEXT}">{escape(line)}</p>' for line in page.lead)
    cards = "".join(_card(card) for card in page.cards)
    foot = "".join(f'<p style="margin:0 0 4px;{_SMALL}">{escape(line)}</p>' for line in page.foot)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light"><meta name="supported-color-schemes" content="light">'
        f"<title>{escape(page.subject)}</title></head>\n"
        '<body style="margin:0;padding:0;background:#eef1f3">\n'
        f'<table {_TABLE} style="background:#eef1f3"><tr><td align="center" style="padding:12px">\n'
        f'<table {_TABLE} style="max-width:600px;text-align:left"><tr><td>\n'
        f"{drill}{lead}{cards}{foot}</td></tr></table>\n</td></tr></table>\n</body></html>\n"
    )


def _drill() -> str:
    return (
        f'<p style="margin:0 0 12px;padding:12px 16px;border:2px dashed #3b4a57;border-radius:8px;background:#ffffff;'
        f'{_TEXT};font-weight:700">{escape(DRILL)}</p>\n'
    )


def _card(card: Card) -> str:
    back, ink = _TONES[card.tone]
    subtitle = (
        f'<div style="{_TEXT};color:{ink};font-size:15px;overflow-wrap:anywhere">{escape(card.subtitle)}</div>'
        if card.subtitle
        else ""
    )
    return (
        f'<table {_TABLE} style="margin:0 0 16px;background:#ffffff;border-radius:8px;border-collapse:separate;'
        f'overflow:hidden"><tr><td style="background:{back};padding:14px 16px;border-radius:8px 8px 0 0">'
        f'<div style="{_SMALL};color:{ink};font-weight:700;letter-spacing:.06em">{escape(card.badge)}</div>'
        f'<div style="{_TEXT};color:{ink};font-size:20px;font-weight:700;line-height:1.3">{escape(card.title)}</div>'
        f'{subtitle}</td></tr>\n<tr><td style="padding:16px 16px 4px">'
        + "".join(_section(section) for section in card.sections)
        + _facts(card)
        + _button(card, back, ink)
        + "</td></tr></table>\n"
    )


def _section(section: Section) -> str:
    lines = "".join(
        f'<p style="margin:0 0 6px;{_TEXT};overflow-wrap:anywhere">{escape(line)}</p>'
        for line in section.lines
    )
    heading = f'<h2 style="margin:0 0 2px;{_SMALL};font-weight:700">{escape(section.heading)}</h2>'
    return f'<div style="margin:0 0 12px">{heading}{lines}</div>\n'


def _facts(card: Card) -> str:
    if not card.facts:
        return ""
    rows = "".join(
        f'<tr><td style="padding:3px 12px 3px 0;vertical-align:top;white-space:nowrap;{_SMALL}">{escape(name)}</td>'
        f'<td style="padding:3px 0;{_SMALL};color:#1d2327;overflow-wrap:anywhere">{escape(value)}</td></tr>'
        for name, value in card.facts
    )
    return f'<table {_TABLE} style="margin:0 0 12px;border-top:1px solid #dde2e6;padding-top:8px">{rows}</table>\n'


def _button(card: Card, back: str, ink: str) -> str:
    if card.link is None:
        return ""
    return (
        f'<p style="margin:0 0 14px"><a href="{escape(card.link)}" style="display:inline-block;padding:12px 20px;'
        f'border-radius:6px;background:{back};{_TEXT};color:{ink};font-weight:700;text-decoration:none">'
        "Look at it</a></p>\n"
    )
