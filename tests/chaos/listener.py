"""Somebody who follows the event stream, and takes it up again where it broke off."""

import threading
from typing import Any, Self

import httpx
import orjson

from tests.acceptance.command import ADMIN_KEY


class Listener:
    """Hears what is told of excursions and alerts from when it is entered on; a frame counts once it is complete."""

    def __init__(self, url: str) -> None:
        self.told: list[dict[str, Any]] = []
        self.heard: list[tuple[str, str]] = []
        """Id and type of every event, whatever it is about."""
        self.connections = 0
        self._url = f"{url}/v1/stream"
        self.began_after = ""
        """The position at which it began to listen."""
        self._last_id = ""
        self._listening = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(15)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._closing.wait(0.05):
            try:
                self._follow()
            except httpx.TransportError:  # the service is away, or silent while we are about to leave
                continue

    def _follow(self) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        with httpx.stream("GET", self._url, headers=headers, timeout=1, trust_env=False) as answer:
            if (
                answer.status_code != httpx.codes.OK
            ):  # not while something is broken; whoever waits will complain
                return
            self.connections += 1
            frame: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    frame[name] = value
                    continue
                if "data" in frame:
                    self.heard.append((frame["id"], frame["event"]))
                if frame.get("event", "").startswith(("excursion.", "alert.")):
                    self.told.append(orjson.loads(frame["data"])["data"])
                self._last_id = frame.get("id", self._last_id)
                self.began_after = self.began_after or self._last_id
                self._listening.set()
                frame = {}
