"""Live answers, kept along a random course of events, and asked for once more as of their instants when all is over."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.api.conftest import Desk, text
from tests.integration.api.findings.test_figures_as_of import HEADER, ask


class Course:
    """A seeded course of events in the life of two shipments, with answers kept as they were given."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.random = random.Random(seed)
        self.start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=8)
        self.loggers = {"S1": ["D1", "D2"], "S2": ["D3"]}
        self.kept: list[tuple[str, dict[str, Any], str, Any]] = []

    async def begin(self) -> None:
        await self.desk.device("D1", "D2", "D3")
        await self.desk.ship("S1", "D1", "D2", band="controlled", budget_s=1800, on_delay_s=600)
        await self.desk.ship("S2", "D3", band="ultra_low", departed_at=text(self.start))

    def hour(self, earliest: float = 0, latest: float = 8) -> datetime:
        return self.start + timedelta(hours=self.random.uniform(earliest, latest))

    async def store(self) -> None:
        """Some minutes, new or late, of one logger."""
        shipment_id, devices = self.random.choice(list(self.loggers.items()))
        middle, spread = (20.0, 8.0) if shipment_id == "S1" else (-75.0, 9.0)
        start = self.hour(latest=7)
        readings = [
            (
                start + timedelta(minutes=5 * n),
                None if self.random.random() < 0.1 else round(self.random.gauss(middle, spread), 1),
            )
            for n in range(self.random.randint(1, 10))
        ]
        await self.desk.store(self.random.choice(devices), *readings)

    async def evaluate(self) -> None:
        await self.desk.evaluate()

    async def acknowledge(self) -> None:
        if firing := await self.desk.items("/v1/alerts", state="firing"):
            await self.desk.admin.post(f"/v1/alerts/{self.random.choice(firing)['id']}/acknowledge")

    async def step(self) -> None:
        """Whatever comes next for a shipment; out of turn it is refused, and changes nothing."""
        name, hours = self.random.choice([("depart", (0, 2)), ("deliver", (5, 8)), ("cancel", (7, 8))])
        shipment_id = self.random.choice(list(self.loggers))
        body = {"at": text(self.hour(*hours)), "reason": "It happened then."}
        done = await self.desk.admin.post(f"/v1/shipments/{shipment_id}/{name}", json=body)
        assert done.status_code in {200, 409}, done.text

    async def change_plan(self) -> None:
        fields: list[dict[str, Any]] = [
            {"on_delay_s": self.random.choice([0, 300, 900])},
            {"budget_s": self.random.choice([None, 600, 3600])},
            {"deadband_c": self.random.choice([0.1, 1.0])},
            {"upper_c": 26} if self.random.random() < 0.5 else {"upper_c": 24},
            {"max_gap_s": 600},
        ]
        body = {"reason": "it has to be so", **self.random.choice(fields)}
        shipment_id = "S1" if "upper_c" in body else self.random.choice(list(self.loggers))
        done = await self.desk.admin.post(f"/v1/shipments/{shipment_id}/plan", json=body)
        assert done.status_code in {200, 409}, done.text

    async def keep(self) -> None:
        """Asks all that can be asked as of an instant."""
        questions: list[tuple[str, dict[str, Any]]] = [
            ("/v1/alerts", {"limit": 500}),
            ("/v1/alerts", {"state": "firing", "severity": "critical"}),
            ("/v1/excursions", {"limit": 500, "revisions": True}),
            ("/v1/excursions", {"state": "closed", "device_id": "D1"}),
        ]
        for shipment_id in self.loggers:
            url = f"/v1/shipments/{shipment_id}"
            questions += [
                (f"{url}/readings", {"limit": 500}),
                (f"{url}/readings", {"points": 12}),
                (f"{url}/excursions", {"severity": "major"}),
                (f"{url}/summary", {}),
            ]
        for url, params in questions:
            answer = await self.desk.admin.get(url, params=params)
            assert answer.status_code == 200, answer.text
            self.kept.append((url, params, answer.headers[HEADER], answer.json()))

    async def run(self, steps: int) -> None:
        await self.begin()
        deeds = [self.store, self.evaluate, self.acknowledge, self.step, self.change_plan]
        for _ in range(steps):
            deed = self.random.choices(deeds, weights=[8, 6, 3, 1, 2])[0]
            await deed()
            if self.random.random() < 0.4:
                await self.keep()
        await self.evaluate()
        await self.keep()


def alike(found: dict[str, Any], given: dict[str, Any]) -> None:
    """Equal, but that means may differ in their last bits, and that nothing waits for evaluation in what is past."""
    found["pending"] = given["pending"]
    if "devices" in given:
        for one, other in zip(found.pop("devices"), given.pop("devices"), strict=True):
            alike(one, other)
        worst = [found.pop("worst"), given.pop("worst")]
        if None not in worst:
            alike(*worst)
        else:
            assert worst == [None, None]
    for name in ("mean_c", "mkt_c"):
        if given.get(name) is not None:
            assert found.pop(name) == pytest.approx(given.pop(name), rel=1e-9)
    assert found == given


async def in_pages(desk: Desk, url: str, params: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    params = {**params, "limit": 2}
    while True:
        page = await ask(desk, url, **params)
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))]
)
async def test_a_live_answer_is_the_one_that_is_reconstructed_later(desk: Desk, seed: int) -> None:
    course = Course(desk, seed)
    await course.run(60)
    stale = 0
    for url, params, as_of, given in course.kept:
        found = await ask(desk, url, as_of=as_of, **params)
        if url.endswith("summary"):
            alike(found, given)
            continue
        assert found == given, (url, params)
        if not url.endswith("readings"):
            assert await in_pages(desk, url, {**params, "as_of": as_of}) == given["items"], (url, params)
        stale += given != await ask(desk, url, **params)
    assert stale > 10, "nothing was asked that has changed since"
