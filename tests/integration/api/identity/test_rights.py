"""Who may do what, and to whose things: every call of the document, asked with every kind of key.

REWRITE=1 in the environment writes the file anew, to be read before it is believed.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from api.identity import authenticator
from tests.integration.api.conftest import Desk
from tests.integration.api.identity.rights import (
    KEYS,
    OWN,
    STRANGERS,
    Answer,
    Asking,
    World,
    ask,
    askings,
    make_callers,
    make_world,
)

FILE = Path(__file__).parents[3] / "golden" / "rights" / "matrix.txt"
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TIME = r"\d{4}-\d\d-\d\dT[\d:.]+Z"


@pytest.mark.timeout(600)  # nine thousand calls: half a minute of the processor
async def test_every_answer_to_every_key_is_on_record(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is asked again finds everything as it was: where it would commit, it rolls back."""
    monkeypatch.setattr(
        authenticator, "REMEMBERED_S", 60
    )  # no key changes, and asking costs as much as a call
    await desk.admin.post("/v1/devices", json={"device_id": "spare", "organization": OWN})
    world = await make_world(desk)
    callers = await make_callers(desk)
    desk.services.hub.close()  # so that streams end at once
    dialect = desk.services.engine.sync_engine.dialect
    monkeypatch.setattr(dialect, "do_commit", dialect.do_rollback)
    document = (await desk.admin.get("/openapi.json")).json()
    text = "".join(
        [
            await _operation(desk, world, callers, f"{method.upper()} {path}")
            for path, methods in document["paths"].items()
            for method in methods
        ]
        + [await _without_method(desk, path) for path in document["paths"]]
    )
    if os.environ.get("REWRITE"):
        FILE.write_text(text, encoding="utf-8")
    assert text == FILE.read_text(encoding="utf-8")


async def _operation(desk: Desk, world: World, callers: Mapping[str, str | None], call: str) -> str:
    """All answers to one call: below each answer who gets it, and about what."""
    method, _ = call.split(" ")
    asked = list(askings(call, world))
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    if not call.partition(" ")[2].startswith("/v1/"):  # open to all: three of them are enough
        callers = {name: key for name, key in callers.items() if name in {"admin", *STRANGERS}}
    for caller, key in callers.items():
        for asking in asked:
            answer = await ask(desk.app, method, asking, key)
            found[_told(world, asking, answer)][caller].append(asking.target)
    everything = ", ".join(asking.target for asking in asked)
    lines = [call]
    for told in sorted(found):
        lines.append(f"  {told}")
        lines += sorted(_who(found[told], everything, list(callers)))
    return "\n".join(lines) + "\n\n"


def _who(got: Mapping[str, list[str]], everything: str, callers: list[str]) -> Iterable[str]:
    """The callers who got an answer, those in one line who got it about the same things."""
    together = defaultdict(list)
    for caller, targets in got.items():
        together[", ".join(targets)].append(caller)
    for targets, who in together.items():
        about = "" if not targets else "all: " if targets == everything else f"{targets}: "
        yield f"    {about}{_named(who, callers)}"


def _named(who: list[str], callers: list[str]) -> str:
    """Callers in short: `ops*` are the keys of the role with any bounds."""
    if who == callers:
        return "everybody"
    if who == [caller for caller in callers if caller not in STRANGERS]:
        return "every key"
    named = ", ".join(who)
    for role, kinds in KEYS.items():
        named = named.replace(
            ", ".join(role + kind for kind in kinds), role if len(kinds) == 1 else f"{role}*"
        )
    return named


def _told(world: World, asking: Asking, answer: Answer) -> str:
    """An answer in a line: its status, and of a problem its words, of a list whose things are in it."""
    said = str(answer.status)
    if answer.content_type == "application/problem+json":
        return f"{said} {_masked(world, asking, json.loads(answer.body)['detail'])}"
    if not answer.body or answer.content_type != "application/json":
        return said
    body = json.loads(answer.body)
    if "rejected" in body:
        return " ".join([said, *(one["reason"] for one in body["rejected"])])
    if "items" not in body:
        return said
    seen = {world.names[value] for item in body["items"] for value in _ids(item) if value in world.names}
    addresses = {item["contact_id"] for item in body["items"] if "contact_id" in item and item.get("address")}
    its_own = bool(seen) and seen == {asking.target}
    return f"{said} sees {'its own' if its_own else ', '.join(sorted(seen)) or 'nothing'}" + "".join(
        f", address of {contact}" for contact in sorted(addresses)
    )


def _ids(item: Mapping[str, object]) -> list[str]:
    """The ids that an item of a list says in its own fields."""
    return [str(value) for name, value in item.items() if name == "id" or name.endswith("_id")]


def _masked(world: World, asking: Asking, detail: str) -> str:
    """A detail without what differs from key to key, from thing to thing and from day to day."""
    for value in sorted({asking.value, *world.names} - {""}, key=len, reverse=True):
        detail = re.sub(rf"(?<![\w-]){re.escape(value)}(?![\w-])", "<id>", detail)
    detail = re.sub(r"(?<=with the role )\w+", "<role>", detail)
    return re.sub(_TIME, "<time>", re.sub(_UUID, "<id>", detail))


async def _without_method(desk: Desk, path: str) -> str:
    """What an address says of a method that it does not take."""
    answer = await desk.admin.put(re.sub(r"{\w+}", "1", path))
    detail, allow = answer.json()["detail"], answer.headers.get("allow")
    return f"PUT {path}: {answer.status_code} {detail} Allow: {allow}\n"
