"""Create, change and remove the loggers' users at the broker while it runs."""

import asyncio
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from api.embedded.broker_users import (
    is_whole,
    keep_good_copy,
    logger_rights,
    logger_role,
    status_topic,
)
from api.embedded.mosquitto import Mosquitto
from api.embedded.nats import USER, Nats
from telemetry.mqtt.sessions import address_of

log = structlog.get_logger(__name__)

_REQUESTS = "$CONTROL/dynamic-security/v1"
_RESPONSES = f"{_REQUESTS}/response"
_KEPT_WITHIN_S = 2.0
_ANSWER_WITHIN_S = 3.0  # the plugin answers at once: without an answer there is no plugin
_AT_ONCE = 5
"""Loggers in one message: a plugin with many of them takes a tenth of a second for each."""


class CredentialsError(Exception):
    """A logger's user could not be changed; the text says why."""


class BrokerUnreachableError(CredentialsError, ConnectionError):
    """The broker does not answer; the same may succeed later."""


class BrokerForgetfulError(CredentialsError, ConnectionError):
    """The broker took the change and did not keep it; the same may succeed once its disk has room."""


class BrokerRefusedError(CredentialsError):
    """The broker does not let us manage users, or it refused this change."""


class BrokerUnmanagedError(BrokerRefusedError):
    """The broker has no dynamic security plugin: its users are managed elsewhere."""


class DeviceCredentials:
    """Manages users through mosquitto's dynamic security plugin, over a new connection for each change.

    Every change is idempotent: it states the complete result, so it is simply repeated if the answer is lost.
    """

    def __init__(self, mqtt_url: str, *, patience_s: float = 10.0, accounts_file: Path | None = None) -> None:
        """`patience_s` limits each call, in seconds: a broker may take that long to restart.

        `accounts_file` is where the broker keeps the accounts, if this process can read it.
        """
        self._url = mqtt_url
        self.broker: str | None = address_of(mqtt_url)
        self.accounts_file = accounts_file
        self._patience_s = patience_s

    async def grant(self, device_id: str, password: str) -> None:
        """Let the logger in with this password only; disconnect it if it is connected with another one.

        Its client id must be its device id: the broker gives a session to whoever names it, so a client id of its own
        choice would let a logger cut off another one and take its acknowledgements.
        """
        right = {"rolename": logger_role(device_id), "acls": logger_rights(device_id)}
        await self._own_or_absent(device_id)
        made, created = await self._ask(
            {"command": "createRole", **right}, _account("createClient", device_id, password)
        )
        if "error" in made:  # one of before, whose rights may be others
            _only(made, "already exists")
            (renewed,) = await self._ask({"command": "modifyRole", **right})
            _only(renewed)
        if "error" in created:
            _only(created, "already exists")
            (changed,) = await self._ask(_account("modifyClient", device_id, password))
            _only(changed)
        # What the broker retained may be from whoever had the logger before. Readings that it retained are not heard anyway,
        # and an empty message there would be taken for one of the logger's.
        await self._ask({"command": "getClient", "username": device_id}, clear=[status_topic(device_id)])
        if self.accounts_file is not None:
            await self._stop_unless_kept(self.accounts_file, holds=device_id)

    @staticmethod
    async def _stop_unless_kept(file: Path, *, holds: str | None = None, lacks: str | None = None) -> None:
        """Raise BrokerForgetfulError unless the account gets into the file, or out of it.

        mosquitto 2.0 writes it before it answers, and later versions soon after.
        """
        deadline = time.monotonic() + _KEPT_WITHIN_S
        try:
            while not await asyncio.to_thread(is_whole, file, holds=holds, lacks=lacks):
                if time.monotonic() > deadline:
                    raise BrokerForgetfulError("the broker did not keep the change: is its disk full?")
                await asyncio.sleep(0.05)
        except PermissionError as error:
            log.warning("broker_accounts_unseen", file=str(file), error=str(error))
            return
        if os.access(file.parent, os.W_OK):
            await asyncio.to_thread(keep_good_copy, file)

    async def accounts(self) -> set[str]:
        """Return the names of all accounts at the broker; raises CredentialsError."""
        (answer,) = await self._ask({"command": "listClients", "verbose": False, "count": -1, "offset": 0})
        _only(answer)
        return set(answer.get("data", {}).get("clients", ()))

    async def grant_all(self, passwords: Mapping[str, str]) -> None:
        """Let many loggers in that are new, over one connection for some of them each; otherwise as `grant`.

        The plugin writes all of its file for each command, so a new logger costs as few commands as it can.
        """
        waiting = list(passwords.items())
        while waiting:
            some, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            commands = [
                command
                for device_id, password in some
                for command in (
                    {
                        "command": "createRole",
                        "rolename": logger_role(device_id),
                        "acls": logger_rights(device_id),
                    },
                    _account("createClient", device_id, password),
                )
            ]
            answers = await self._ask(*commands)
            for (device_id, password), made, created in zip(some, answers[::2], answers[1::2], strict=True):
                if "error" in made or "error" in created:
                    await self.grant(device_id, password)
        if self.accounts_file is not None and passwords:
            await self._stop_unless_kept(self.accounts_file, holds=list(passwords)[-1])

    async def revoke(self, device_id: str) -> None:
        """Shut the logger out at once; do nothing if it is unknown.

        Neither the broker's file nor its last good copy lets it in again. The role is made first, so that the file is
        written also where the account is gone already, as after a disk that was full.
        """
        await self._own_or_absent(device_id)
        for answer in await self._ask(
            {"command": "createRole", "rolename": logger_role(device_id)},
            {"command": "deleteClient", "username": device_id},
            {"command": "deleteRole", "rolename": logger_role(device_id)},
        ):
            _only(answer, "not found", "already exists")
        if self.accounts_file is not None:
            await self._stop_unless_kept(self.accounts_file, lacks=device_id)

    async def shut(self, device_id: str) -> bool:
        """Disconnect a logger and keep it out until `reopen`; return False if the account is not ours to manage."""
        # Up to mosquitto 2.0 only a change of the account disconnects it, and disabling is none.
        return await self._switch(
            device_id,
            {"command": "disableClient", "username": device_id},
            {"command": "modifyClient", "username": device_id, "clientid": device_id},
        )

    async def reopen(self, device_id: str) -> bool:
        """Let a logger in again, with the password that it has; otherwise as `shut`."""
        return await self._switch(device_id, {"command": "enableClient", "username": device_id})

    async def _switch(self, device_id: str, *commands: dict[str, Any]) -> bool:
        try:
            await self._own_or_absent(device_id)
            for answer in await self._ask(*commands):
                _only(answer, "not found")
        except BrokerRefusedError as error:
            log.warning("account_not_changed", device=device_id, error=str(error))
            return False
        return True

    async def probe(self) -> bool:
        """Return whether the broker lets us manage users; raise BrokerUnreachableError without an answer."""
        try:
            (answer,) = await self._ask({"command": "getDefaultACLAccess"})
        except BrokerRefusedError:
            return False
        return "error" not in answer

    async def _own_or_absent(self, device_id: str) -> None:
        """Raise BrokerRefusedError if this user exists but is not a logger, such as the service itself."""
        (answer,) = await self._ask({"command": "getClient", "username": device_id})
        held = answer.get("data", {}).get("client", {}).get("roles", [])
        if "error" not in answer and [role["rolename"] for role in held] != [logger_role(device_id)]:
            raise BrokerRefusedError(f"the broker's user {device_id} is not a logger's")

    async def _ask(self, *commands: dict[str, Any], clear: Sequence[str] = ()) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._ask_until_answered, commands, clear)

    def _ask_until_answered(
        self, commands: Sequence[dict[str, Any]], clear: Sequence[str]
    ) -> list[dict[str, Any]]:
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return _Conversation(self._url, commands, clear).run(deadline)
            except OSError as error:
                if time.monotonic() > deadline - 0.2:
                    raise BrokerUnreachableError(f"the broker does not answer: {error}") from error
                time.sleep(0.2)


class NatsDeviceCredentials:
    """Manages users of the embedded NATS server, in its file of users."""

    def __init__(self, server: Nats) -> None:
        self._server = server
        self.broker: str | None = address_of(server.url)
        self._one_at_a_time = asyncio.Lock()

    async def grant(self, device_id: str, password: str) -> None:
        """Let the logger in with this password only."""
        if device_id == USER:
            raise BrokerRefusedError(f"the broker's user {device_id} is not a logger's")
        async with self._one_at_a_time:
            try:
                await asyncio.to_thread(self._server.put_user, device_id, password)
            except OSError as error:
                raise BrokerForgetfulError(
                    f"the broker's file of accounts cannot be written: {error}"
                ) from error

    async def grant_all(self, passwords: Mapping[str, str]) -> None:
        """Let many loggers in."""
        for device_id, password in passwords.items():
            await self.grant(device_id, password)

    async def revoke(self, device_id: str) -> None:
        """Shut the logger out at once."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._server.remove_user, device_id)

    async def shut(self, device_id: str) -> bool:  # noqa: ARG002 -- as the other has it
        """Return False: this server has no accounts that are only disabled."""
        return False

    async def reopen(self, device_id: str) -> bool:  # noqa: ARG002
        """Return False, as `shut`."""
        return False

    async def accounts(self) -> set[str]:
        """Return the names of all accounts."""
        return set(await asyncio.to_thread(self._server.users))

    async def probe(self) -> bool:
        """Return True: the file of users belongs to us."""
        return True


def device_credentials(
    mqtt_url: str, embedded: object = None, accounts_file: Path | None = None
) -> DeviceCredentials | NatsDeviceCredentials:
    """Return the manager of this broker's users; `embedded` is the program of an embedded broker."""
    if isinstance(embedded, Nats):
        return NatsDeviceCredentials(embedded)
    if isinstance(embedded, Mosquitto):
        accounts_file = embedded.accounts_file
    return DeviceCredentials(mqtt_url, accounts_file=accounts_file)


def _account(command: str, device_id: str, password: str) -> dict[str, Any]:
    roles = [{"rolename": logger_role(device_id), "priority": 0}]
    account = {"username": device_id, "clientid": device_id, "password": password}
    return {"command": command, **account, "roles": roles}


def _only(answer: dict[str, Any], *harmless: str) -> None:
    said = answer.get("error")
    if said and not any(words in said for words in harmless):
        raise BrokerRefusedError(f"the broker refused {answer.get('command', 'the change')}: {said}")


class _Conversation:
    """One connection to the broker: have it forget what it retained, send the commands, wait for the answers."""

    def __init__(self, url: str, commands: Sequence[dict[str, Any]], clear: Sequence[str] = ()) -> None:
        """`clear` has the topics whose retained messages are deleted."""
        self._parts = urlsplit(url)
        self._mark = secrets.token_hex(8)  # tells our answers from others': every subscriber gets all of them
        self._request = json.dumps(
            {"commands": [{**command, "correlationData": self._mark} for command in commands]}
        )
        self._answers: list[dict[str, Any]] | None = None
        self._refusal: BrokerRefusedError | None = None
        self._published_at: float | None = None
        self._clear = clear
        self._client = self._make_client()

    def run(self, deadline: float) -> list[dict[str, Any]]:
        """Return an answer for each command.

        Raises OSError if the connection fails, BrokerRefusedError if the broker refuses.
        """
        secure = self._parts.scheme == "mqtts"
        self._client.connect(
            self._parts.hostname or "localhost", self._parts.port or (8883 if secure else 1883)
        )
        try:
            while self._answers is None and self._refusal is None:
                self._await_more(deadline)
        finally:
            self._client.disconnect()
        if self._answers is None:
            assert self._refusal is not None
            raise self._refusal
        return self._answers

    def _await_more(self, deadline: float) -> None:
        if (failed := self._client.loop(0.1)) and self._answers is None and self._refusal is None:
            raise ConnectionError(f"the connection broke off ({failed.name})")
        now = time.monotonic()
        if self._published_at and now > self._published_at + _ANSWER_WITHIN_S:
            self._refusal = BrokerUnmanagedError("the broker has no dynamic security")
        elif now > deadline:
            raise TimeoutError("no answer in time")

    def _make_client(self) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set(unquote(self._parts.username or ""), unquote(self._parts.password or ""))
        if self._parts.scheme == "mqtts":
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(
        self,
        client: Client,
        _data: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = BrokerRefusedError(f"the broker does not let us in: {reason}")
        else:
            client.subscribe(_RESPONSES, qos=1)

    def _on_subscribe(
        self,
        client: Client,
        _data: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if reasons[0].is_failure:
            self._refusal = BrokerUnmanagedError(f"the broker does not let us manage users: {reasons[0]}")
        else:
            for topic in self._clear:
                client.publish(topic, b"", qos=1, retain=True)
            client.publish(_REQUESTS, self._request, qos=1)

    def _on_publish(
        self, _client: Client, _data: object, _mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._published_at = time.monotonic()
        if reason.is_failure:
            self._refusal = BrokerRefusedError(f"the broker does not let us manage users: {reason}")

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        answers: list[dict[str, Any]] = json.loads(message.payload).get("responses", [])
        if answers and all(answer.get("correlationData") == self._mark for answer in answers):
            self._answers = answers
