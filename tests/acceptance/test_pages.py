"""What the pages have their readers type: each block runs, in the order of its page, and answers what the page shows.

One service for all pages, whose readers have the `demo.env` of a demo. The API page comes first: others go on with its
shipments, and say so. Then all others are read at the same time.
"""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.command import ADMIN_KEY, Command
from tests.page_reader import SHOWN, TYPED, Allowances, Reader, differences
from tests.pages import PAGES, ROOT, Block, all_blocks, blocks_of, name_of, table

OPERATOR, LOGGER, REPLAY, SIMULATOR = (
    f"docs/{name}.md" for name in ("operator", "logger", "replay", "simulator")
)
WALKED: Final = (
    "changes the machine: tests/acceptance/test_installation.py walks through it in a place of its own"
)
CONTAINERS: Final = (
    "needs containers, which the machine of the tests may not have: tests/containers/ builds and starts them"
)
NOT_RUN: Final = {
    (OPERATOR, "CREATE USER dewarwatch_owner PASSWORD '...';"): WALKED,
    (OPERATOR, "DEWARWATCH_DATABASE_ADMIN_URL=postgresql://postgres:...@db.example/postgres dewarwatch migrate"): (
        "needs a server's superuser: tests/integration/api/database_rights/test_users.py has one"
    ),
    (OPERATOR, "docker compose -f deploy/compose.yaml -f deploy/secrets.compose.yaml up --build --detach"): CONTAINERS,
    (OPERATOR, "docker compose -f deploy/compose.yaml -f deploy/tls/compose.yaml up --build --detach"): CONTAINERS,
    (OPERATOR, "useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin dewarwatch"): WALKED,
    (OPERATOR, "install -d -m 0700 /etc/dewarwatch /etc/dewarwatch/secrets"): WALKED,
    (OPERATOR, "DEWARWATCH_MQTT_URL_FILE=/etc/dewarwatch/secrets/mqtt_url \\"): WALKED,
    (OPERATOR, "install -m 0644 deploy/systemd/dewarwatch.service deploy/systemd/dewarwatch-migrate.service /etc/systemd/system/"): WALKED,
    (OPERATOR, "scrape_configs:"): "is for Prometheus, which the tests do not install",
    (OPERATOR, "python -m api.embedded.run DIR   # prints DATABASE_URL and MQTT_URL, runs until Ctrl-C"): (
        "runs until Ctrl-C: tests/integration/api/embedded/test_servers.py starts and stops it"
    ),
    ("docs/developer.md", ".venv/bin/python -m api.embedded.run /tmp/dewarwatch-look   # database and broker alone; prints their URLs"): (
        "the same"
    ),
    (OPERATOR, "cp deploy/example.env deploy/.env    # mode 0600; fill in the passwords and the admin key"): CONTAINERS,
    (SIMULATOR, ". ~/.local/share/dewarwatch/demo/demo.env   # or set DEWARWATCH_MQTT_URL, URL and KEY"): (
        "lasts for a journey: test_the_drill_of_the_page below, with the long tests"
    ),
    (SIMULATOR, 'says = "On our lane from Vienna to Helsinki a dewar lies on its side in the hub\'s warehouse."'): (
        "tests/unit/simulators/scenarios/test_load.py loads it"
    ),
    (SIMULATOR, "from datetime import UTC, datetime"): "tests/unit/simulators/scenarios/test_load.py runs it",
}  # fmt: skip
"""Blocks to be typed or saved that are not run here, by page and first line, each with why."""

NOT_COMPARED: Final = {
    ("docs/api.md", '{"offset_s": 846000000, "measured_from": "2000-01-01T00:00:00Z", "measured_until": "2000-01-01T12:00:00Z",'): (
        "is sent: tests/integration/api/findings/test_wrong_clocks.py sends its like"
    ),
    (LOGGER, '{"measured_at": "2026-11-21T03:45:00Z", "temperature_c": 19.5, "probe_ok": true, "battery_pct": 81,'): (
        "is of a trace: tests/integration/api/shipments/test_readings.py reads its like"
    ),
    (LOGGER, '{"measured_at": "2026-11-21T03:45:00Z", "temperature_c": -178.4, "seq": 4711, "boot": 3,'): (
        "is sent: tests/unit/test_docs_figures.py has the service's own checks take it"
    ),
    (LOGGER, '{"boot": 3, "through": 4711, "missing": [], "highest": 4711}'): (
        "is heard by MQTT: tests/unit/test_docs_figures.py makes it by the service's own code"
    ),
    (REPLAY, '{"recording": 1, "began": "2026-11-25T09:49:02.442Z"}'): (
        "is in a file: tests/unit/simulators/wire/test_recording.py"
    ),
    (REPLAY, '{"at": 1795600143953, "topic": "dewar/v1/SIM-5-0001/status",'): "the same",
}  # fmt: skip
"""Shown blocks that no block above them gives."""

ALLOWED: Final = Allowances(
    left_out={*NOT_RUN, *NOT_COMPARED},
    files={(REPLAY, "Cold Box Recorder,CB-2"): "docs/examples/cold-box.csv"},
    in_part={
        (LOGGER, '{"device_id": "LOG-4711", "model": "TX-2", "interval_s": 300, "mqtt": {"url": "mqtts://broker.example.org:8883",'),
    },
    vary={
        "docs/api.md": {"request_id", "as_of", "expected_arrival", "margin_h", "least_margin_h"}
        | {f"{when}_{what}" for when in ("earliest", "expected", "latest") for what in ("h", "at")},
        LOGGER: {"url", "password"},
        OPERATOR: {"level", "postgresql", "timescaledb?", "schema", "used", "most", "database_ahead_s"}
        | {"waiting", "waiting_bytes", "away_for_s", "stuck_for_s"},
        "docs/partner.md": {"event_id", "created_at", "finished_at", "at", "seconds"},
    },
    digits_vary={(REPLAY, "fleet.jsonl.gz: a recording of 783 messages with 10865 readings of 24 loggers, measured from 2026-11-25T09:49:02.426Z to 2026-11-25T09:49:10.426Z")},
    may_be_empty=r"status=in_transit&health=critical|state=waiting&state=exhausted",
)  # fmt: skip
FIRST: Final = "docs/api.md"


@pytest.fixture
def service(commands, database_url, broker) -> Command:
    settings = {"DATABASE_URL": database_url, "MQTT_URL": broker.url}
    settings |= {"MQTT_PUBLIC_URL": broker.program.loggers_url, "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8"}
    return commands.start("serve", **settings).ready(60)


def variables(service: Command) -> str:
    """What the demo's file has: tests/acceptance/test_demo.py holds that these are its names."""
    values = {name: service.env[name] for name in ("DEWARWATCH_DATABASE_URL", "DEWARWATCH_MQTT_URL")}
    values |= {"DEWARWATCH_ADMIN_KEY": ADMIN_KEY, "URL": service.url, "KEY": ADMIN_KEY}
    return "".join(f"export {name}='{value}'\n" for name, value in values.items())


@pytest.mark.timeout(300)
def test_what_the_pages_have_their_readers_type_does_what_they_say(service: Command, folder: Path) -> None:
    every = {page: Reader(page, folder / page.replace("/", "-"), ALLOWED) for page in map(name_of, PAGES)}
    readers = {page: one for page, one in every.items() if one.types_anything}
    for one in readers.values():
        one.settle(variables(service))
    readers[FIRST].reads()
    with ThreadPoolExecutor(4) as at_once:
        list(at_once.map(Reader.reads, [one for page, one in readers.items() if page != FIRST]))
    problems = [problem for one in readers.values() for problem in one.problems]
    assert not problems, "\n".join(problems)
    assert sum(len(one.calls) for one in readers.values()) > 60
    _the_trial_is_told_as_it_is(readers["docs/alerts.md"])


def _the_trial_is_told_as_it_is(alerts: Reader) -> None:
    """The table below the trial of a policy has its first decisions."""
    (trial,) = [one.answer for one in alerts.calls if one.path == "/v1/policies/dry-run"]
    told = table((ROOT / alerts.page).read_text(), "after", "who", "sent", "reason")
    seconds = {"30 s": 30, "15 min": 900, "15 min 30 s": 930}
    assert [
        (seconds[after], re.split("[,:]", who)[0], sent == "yes", reason.split("`")[1])
        for after, who, sent, reason in told
    ] == [
        (one["after_s"], one["contact_name"] or "nobody", one["sent"], one["reason"])
        for one in trial["decisions"][: len(told)]
    ]


@pytest.mark.long
def test_the_drill_of_the_page_is_made_and_reports(service: Command, folder: Path) -> None:
    reader = Reader(SIMULATOR, folder / "drill", ALLOWED)
    reader.settle(variables(service))
    (drill,) = [one.text for one in blocks_of(reader.page) if "dewarwatch drill" in one.text]
    faster = drill.replace("--speed 600", "--speed 3600")
    stopped = faster.replace("dewarwatch drill", "timeout --signal INT 12 dewarwatch drill")
    said = reader.types(f'export PATH="$PWD/.venv/bin:$PATH"\n{stopped}')
    assert "Drill on ZRH-FRA-JFK, tipped-in-transit" in said
    assert re.search(r"^--seed \d+ repeats the journeys", said, re.MULTILINE)
    assert json.loads((reader.repository / "report.json").read_text())["shipments"]


def test_every_block_runs_or_says_why_not() -> None:
    """What is neither typed nor compared is in a list, with why; each entry of the lists is a block; figures are no commands."""
    assert (len(NOT_RUN), len(NOT_COMPARED)) == (15, 6)
    assert all(len(why.split()) > 1 for why in (*NOT_RUN.values(), *NOT_COMPARED.values()))
    listed = Counter({*ALLOWED.left_out, *ALLOWED.files, *ALLOWED.in_part, *ALLOWED.digits_vary})
    assert Counter(key for one in all_blocks() if (key := (one.page, one.begins)) in listed) == listed
    typing: set[str] = set()
    command = r"^(\$ |dewarwatch |curl |make |python3? |pip |npm |docker |psql |export |systemctl )"
    for one in all_blocks():
        if one.language in TYPED:
            typing.add(one.page)
        elif one.language == "":
            assert not re.search(command, one.text, re.MULTILINE), f"{one}: a command in a figure"
        elif (one.page, one.begins) not in {*ALLOWED.left_out, *ALLOWED.files}:
            assert one.language in SHOWN, f"{one}: nothing runs {one.language}"
            assert one.page in typing, f"{one}: nothing above it gives that"


WRONG: Final = {
    "a command fails": (["false\necho\n"], "0: false failed"),
    "a command is not there": (["nowhere --help\n"], "0: nowhere --help failed"),
    "a call does not arrive": (['curl -s "http://127.0.0.1:1/v1/shipments"\n'], "was answered 0"),
    "a pipe gives nothing": (["X=$(echo 1 | grep 2)\n"], "grep 2"),
    "another text is printed": (["echo one\n", ("text", "two\n")], "the block above it printed\none"),
    "nothing answers that": (["echo\n", ("json", '{"ready": true}\n')], "nothing was answered"),
    "the page ends the shell": (["exit\n", "echo\n"], "2: was not reached"),
}


@pytest.mark.parametrize(("typed", "problem"), WRONG.values(), ids=WRONG)
def test_what_a_page_says_wrongly_is_noticed(folder, typed, problem) -> None:
    blocks = [
        Block("page.md", line, *(("sh", one) if isinstance(one, str) else one))
        for line, one in enumerate(typed, 1)
    ]
    reader = Reader("page.md", folder / "home", ALLOWED, blocks)
    reader.settle("")
    reader.reads()
    assert problem in "\n".join(reader.problems)


def test_what_is_shown_otherwise_than_answered_is_noticed() -> None:
    shown = {"a": 1, "at": "2026-01-01T00:00:00Z", "b": [{"c": None}]}
    assert list(differences(shown, shown)) == []
    assert list(differences(shown, shown | {"d": 1}, in_part=True)) == []
    assert list(differences(shown, shown | {"at": "2027-01-01T00:00:00Z"}, {"at"})) == []
    assert list(differences(shown, shown | {"at": None}, {"at?"})) == []
    for otherwise in (
        {"d": 1},
        {"a": 2},
        {"a": True},
        {"at": "2027-01-01T00:00:00Z"},
        {"b": []},
        {"b": [{"c": 0}]},
    ):
        assert len(list(differences(shown, shown | otherwise))) == 1, otherwise
    assert len(list(differences(shown, shown | {"at": None}, {"at"}))) == 1
    assert len(list(differences(shown, shown | {"at": "soon"}, {"at"}))) == 1
