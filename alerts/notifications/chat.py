"""Posts a text to a chat's incoming webhook, with the same checks as partners' webhooks."""

from typing import Final

import orjson

from alerts.notifications.retry import Outcome, Result
from alerts.outbound.post import Answer, Poster

_MAY_PASS: Final = frozenset({408, 425, 429})


async def post(poster: Poster, url: str, text: str, organization: str | None) -> Result:
    """Send `{"text": ...}`, which Slack, Mattermost, Rocket.Chat and others take."""
    answer = await poster.post(url, orjson.dumps({"text": text}), {}, organization)
    return Result(outcome=_outcome(answer), detail=_detail(answer), seconds=answer.seconds)


def _outcome(answer: Answer) -> Outcome:
    if answer.ok:
        return Outcome.SENT
    if answer.is_barred:
        return Outcome.REFUSED
    passes = answer.status is None or answer.status >= 500 or answer.status in _MAY_PASS
    return Outcome.LATER if passes else Outcome.REFUSED


def _detail(answer: Answer) -> str:
    if answer.error is not None:
        return answer.error
    said = answer.content[:300].decode(errors="replace")
    return " ".join(f"{answer.status} {''.join(one if one.isprintable() else ' ' for one in said)}".split())
