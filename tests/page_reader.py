"""Somebody who types all that a page has its reader type, in its order, and notes what went otherwise than the page says."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.acceptance.command import DEWARWATCH, environment
from tests.conftest import free_port
from tests.node import NODE, packages_of
from tests.pages import ROOT, Block, blocks_of

TYPED: Final = {"sh"}
"""Languages of blocks that are typed. Those of SHOWN are compared with what the blocks above them gave."""
SHOWN: Final = {"json", "text"}
PATIENCE_S: Final = 140

Key: TypeAlias = tuple[str, str]
"""A page and the first line of a block."""

SETUP: Final = r"""
# As a reader types, but for this: waits are shorter, `make` only says what it would do, and ports are those of the test.
trap 'echo "$BLOCK: $BASH_COMMAND" >>"$SAID/failed"' ERR
curl() {
    local body ended told seconds stream=no
    body=$(mktemp "$SAID/answer-XXXXXXXX")
    set -- "${@//localhost:8080/${URL#http://}}"
    [[ " $* " != *" --max-time "* ]] || stream=yes
    for seconds in 2 10 30; do   # a stream is read for so long; longer if a busy machine has not answered yet
        [ $stream = no ] || set -- "$@" --max-time $seconds
        told=$(command curl "$@" --output "$body" --write-out "$BLOCK %{http_code} %{method} $body %{url}")
        ended=$?
        [[ $stream = yes && $told = *" 000 "* ]] || break
    done
    echo "$told" >>"$SAID/calls"
    cat "$body"
    [ $stream = no ] || [ $ended != 28 ] || ended=0
    return $ended
}
sleep() { command sleep 0.1; }
make() { command make --dry-run "$@" >/dev/null; }
npm() { [ "$1" = ci ]; }
dewarwatch() {
    [ "$1" != simulate ] || set -- "$@" --duration 2
    command dewarwatch "$@"
}
listens() {
    for _ in {1..500}; do
        (: </dev/tcp/127.0.0.1/"$1") 2>/dev/null && return
        command sleep 0.05
    done
    return 1
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowances:
    """What may be otherwise than a page shows it."""

    left_out: Collection[Key] = ()
    """Blocks that are neither typed nor compared."""
    files: Mapping[Key, str] = field(default_factory=dict)
    """Shown blocks that are files."""
    in_part: Collection[Key] = ()
    """Shown answers of which the page says that there are more fields."""
    vary: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By page, fields of answers that have other values each time, of the same type; with a question mark, or null."""
    digits_vary: Collection[Key] = ()
    """Printed text that has other numbers each time."""
    may_be_empty: str = "(?!)"
    """A pattern of lists that need not have anything yet."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call with curl, and its answer."""

    block: int
    status: int
    method: str
    path: str
    answer: Any
    """Parsed where it is JSON."""


@dataclass
class Reader:
    """Goes through the blocks of one page, in a copy of the repository, beside a demo."""

    page: str
    home: Path
    allowed: Allowances
    blocks: Sequence[Block] = ()
    """Those of the page, unless others are given."""
    problems: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        blocks = self.blocks or blocks_of(self.page)
        self.blocks = [one for one in blocks if (one.page, one.begins) not in self.allowed.left_out]

    @property
    def types_anything(self) -> bool:
        """Whether the page has a command."""
        return any(one.language in TYPED for one in self.blocks)

    @property
    def repository(self) -> Path:
        """Where the reader types."""
        return self.home / "dewarwatch"

    @property
    def said(self) -> Path:
        """Where what was typed, answered and printed is kept."""
        return self.home / "said"

    def settle(self, variables: str) -> None:
        """Make the home: the repository, set up, and what a running demo has written."""
        self.repository.mkdir(parents=True)
        self.said.mkdir()
        for path in ROOT.iterdir():
            if path.name not in {".git", ".venv", "deploy", "examples"}:
                (self.repository / path.name).symlink_to(path)
        examples = self.repository / "examples"
        shutil.copytree(ROOT / "examples", examples, ignore=shutil.ignore_patterns("node_modules"))
        javascript = Path("webhooks") / "javascript"
        (examples / javascript / "node_modules").symlink_to(packages_of(ROOT / "examples" / javascript))
        (self.repository / ".venv").symlink_to(sys.prefix)
        demo = self.home / ".local" / "share" / "dewarwatch" / "demo" / "demo.env"
        demo.parent.mkdir(parents=True)
        demo.write_text(variables)

    def reads(self) -> None:
        """Type all blocks of the page, and look at what came of each."""
        lines = []
        for number, one in enumerate(self.blocks):
            if one.language in TYPED:
                (self.said / f"{number}.sh").write_text(self._as_here(one.text))
                lines.append(f"BLOCK={number}; . $SAID/{number}.sh >$SAID/{number}.out 2>$SAID/{number}.err")
        self.types("\n".join(lines))
        self.calls = list(self._calls())
        for number, one in enumerate(self.blocks):
            self.problems += [f"{one}: {what}" for what in self._wrong(number, one)]

    def types(self, lines: str) -> str:
        """Type lines into a shell that knows nothing of the service; give what it says itself."""
        path = [one for one in os.environ["PATH"].split(":") if Path(one) != DEWARWATCH.parent]
        settings = environment(ADMIN_KEY="", HTTP_PORT="")
        settings |= {"HOME": str(self.home), "SAID": str(self.said), "BLOCK": "0"}
        settings["PATH"] = ":".join([*path, str(NODE.parent)])
        with (self.said / "shell").open("wb") as said:
            shell = subprocess.Popen(
                ["bash", "-c", SETUP + lines],
                cwd=self.repository,
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            try:
                shell.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.problems.append(f"{self.page}: not done after {PATIENCE_S} s")
            finally:
                with contextlib.suppress(ProcessLookupError):  # nothing of it runs on
                    os.killpg(shell.pid, signal.SIGKILL)
                shell.wait()
        return (self.said / "shell").read_text()

    def _as_here(self, text: str) -> str:
        """The block with the ports and files of this machine; after what runs on, until it listens."""
        text = text.replace("/mosquitto/data/", "")
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return re.sub(r"^(.* (\d{4,5}) &)$", r"\1\nlistens \2", text, flags=re.MULTILINE)

    @cached_property
    def _ports(self) -> dict[str, str]:
        """Those that the page takes for its own, and free ones."""
        return {port: str(free_port()) for port in ("8000", "8001")}

    def _calls(self) -> Iterator[Call]:
        told = self.said / "calls"
        for line in told.read_text().splitlines() if told.exists() else ():
            block, status, method, body, url = line.split(" ", 4)
            text = Path(body).read_text()
            answer = json.loads(text) if text.startswith(("{", "[")) else text
            yield Call(int(block), int(status), method, re.sub("^http://[^/]+", "", url), answer)

    def _wrong(self, number: int, block: Block) -> Iterator[str]:
        if block.language in TYPED:
            yield from self._failed(number)
        elif file := self.allowed.files.get((block.page, block.begins)):
            if (ROOT / file).read_text() != block.text:
                yield f"is not what {file} has"
        elif block.language == "text":
            yield from self._printed_otherwise(number, block)
        elif block.language == "json":
            yield from self._answered_otherwise(number, block)

    def _failed(self, number: int) -> Iterator[str]:
        """What failed of a block that was typed: commands, calls, and lists that show nothing."""
        if not (self.said / f"{number}.out").exists():
            yield "was not reached"
        failed = self.said / "failed"
        for line in failed.read_text().splitlines() if failed.exists() else ():
            if line.startswith(f"{number}: "):
                yield f"{line} failed: {(self.said / f'{number}.err').read_text()[-2000:]}"
        for call in self.calls:
            if call.block != number or call.status == self._shown_status(number):
                continue
            if call.status // 100 != 2:
                yield f"{call.method} {call.path} was answered {call.status}: {call.answer}"
            elif call.method == "GET" and self._shows_nothing(call):
                yield f"GET {call.path} shows nothing"

    def _shows_nothing(self, call: Call) -> bool:
        if not isinstance(call.answer, dict) or re.search(self.allowed.may_be_empty, call.path):
            return False
        return [] in [call.answer.get(name) for name in ("items", "devices")]

    def _shown_status(self, number: int) -> int | None:
        """The status of the refusal that the page shows below a block."""
        below = self.blocks[number + 1 : number + 2]
        shown = json.loads(below[0].text) if below and below[0].language == "json" else {}
        status = shown.get("status")
        return status if isinstance(status, int) else None

    def _printed_otherwise(self, number: int, block: Block) -> Iterator[str]:
        """A text is what the block above it has printed, or the end of that."""
        printed = "".join((self.said / f"{one}.out").read_text() for one in self._above(number)[-1:])
        alike = _masked if (block.page, block.begins) in self.allowed.digits_vary else str
        if not alike(printed).endswith(alike(block.text)):
            yield f"the block above it printed\n{printed}"

    def _answered_otherwise(self, number: int, block: Block) -> Iterator[str]:
        """JSON is an answer to one of the blocks above it, or something in one."""
        shown = json.loads(block.text)
        vary, in_part = (
            self.allowed.vary.get(block.page, ()),
            (block.page, block.begins) in self.allowed.in_part,
        )
        above = self._above(number)
        given = [part for call in self.calls if call.block in above for part in _objects(call.answer)]
        found = [(list(differences(shown, one, vary, in_part=in_part)), one) for one in given]
        nearest, answer = min(
            found,
            key=lambda one: (bool(one[0]) and one[1].keys() != shown.keys(), len(one[0])),
            default=(["nothing was answered"], {}),
        )
        if nearest:
            yield f"no answer above it is like that: {'; '.join(nearest)}\n{json.dumps(answer)}"

    def _above(self, number: int) -> list[int]:
        """The blocks that were typed between the last thing shown and this."""
        found: list[int] = []
        for before in range(number - 1, -1, -1):
            if self.blocks[before].language in TYPED:
                found.insert(0, before)
            elif found:
                break
        return found


def _masked(text: str) -> str:
    return re.sub(r"[\d:.TZ-]*\d[\d:.TZ-]*", "#", text)


def _objects(answer: Any) -> Iterator[dict[str, Any]]:
    """An answer, and everything in it that could be shown by itself."""
    if isinstance(answer, dict):
        yield answer
    for part in answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ():
        yield from _objects(part)


def differences(
    shown: Any, given: Any, vary: Collection[str] = (), *, in_part: bool = False, at: str = ""
) -> Iterator[str]:
    """How what a page shows differs from an answer, in shape, and in those values that are always the same."""
    name = at.rpartition(".")[2]
    if name in vary or f"{name}?" in vary:
        if _kind(shown) != _kind(given) and (given is not None or name in vary):
            yield f"{at} is {given!r}"
    elif isinstance(shown, dict) and isinstance(given, dict):
        missing = shown.keys() - given.keys() if in_part else shown.keys() ^ given.keys()
        yield from (f"{at}.{each} is in one of them alone" for each in sorted(missing))
        for each in shown.keys() & given.keys():
            yield from differences(shown[each], given[each], vary, in_part=in_part, at=f"{at}.{each}")
    elif isinstance(shown, list) and isinstance(given, list) and len(shown) == len(given):
        for place, (one, other) in enumerate(zip(shown, given, strict=True)):
            yield from differences(one, other, vary, in_part=in_part, at=f"{at}.{place}")
    elif shown != given or isinstance(shown, bool) != isinstance(given, bool):
        yield f"{at} is {given!r}"


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "time" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value) else "text"
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )
