"""The file in which mosquitto's dynamic security plugin keeps its accounts: the service's, and one for each logger.

The plugin writes it anew at each change, and does not look whether that worked: on a full disk it leaves half a file
and says that all is well. After its next start nobody gets in. So whoever changes an account looks at the file itself.
"""

import base64
import fcntl
import hashlib
import json
import os
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import structlog

from api.embedded.folder import write_private
from api.settings import MQTT_HINT, load, required

log = structlog.get_logger(__name__)

MOST_BYTES: Final = 2**30
_ROUNDS: Final = 101  # as mosquitto's own tools use; enough, since our passwords are long and random
_SERVICE = (
    ("publishClientSend", "dewar/v1/#"),
    ("publishClientSend", "$CONTROL/dynamic-security/#"),
    ("publishClientReceive", "dewar/v1/#"),
    ("publishClientReceive", "$CONTROL/dynamic-security/#"),
    ("subscribePattern", "dewar/v1/#"),
    ("subscribePattern", "$share/+/dewar/v1/#"),
    ("subscribePattern", "$CONTROL/dynamic-security/#"),
    ("publishClientReceive", "$SYS/broker/#"),
    ("subscribePattern", "$SYS/broker/#"),
)


class Verifier(NamedTuple):
    """What a broker checks a password with: PBKDF2 with SHA-512, 64 bytes, as the plugin does it."""

    hashed: bytes
    salt: bytes
    iterations: int


def verifier_of(password: str) -> Verifier:
    """Return a verifier of a password, with a salt of its own."""
    salt = os.urandom(12)
    return Verifier(hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS), salt, _ROUNDS)


def initial_users(user: str, password: str) -> str:
    """Return the first state of mosquitto's dynamic security plugin, as JSON: only the service has rights."""
    return json.dumps(_initial_state(user, password), indent=1)


def _initial_state(user: str, password: str) -> dict[str, Any]:
    rights = [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for kind, topic in _SERVICE]
    unasked = {
        "publishClientSend": False,
        "publishClientReceive": True,
        "subscribe": False,
        "unsubscribe": True,
    }
    return {
        "defaultACLAccess": unasked,
        "clients": [_client(user, verifier_of(password), "service")],
        "roles": [{"rolename": "service", "acls": rights}],
    }


def _client(user: str, verifier: Verifier, role: str) -> dict[str, Any]:
    return {
        "username": user,
        "password": base64.b64encode(verifier.hashed).decode(),
        "salt": base64.b64encode(verifier.salt).decode(),
        "iterations": verifier.iterations,
        "roles": [{"rolename": role}],
    }


def logger_role(device_id: str) -> str:
    """Return the name of a logger's role: each has one of its own, because mosquitto 2.0 knows no `%u` in roles."""
    return f"logger-{device_id}"


def status_topic(device_id: str) -> str:
    """Return the topic on which a logger says whether it is connected."""
    return f"dewar/v1/{device_id}/status"


def logger_rights(device_id: str) -> list[dict[str, Any]]:
    """Return the access rules for one logger's topics."""
    topic = f"dewar/v1/{device_id}"
    rights = (
        ("publishClientSend", f"{topic}/readings"),
        ("publishClientSend", status_topic(device_id)),
        ("publishClientReceive", f"{topic}/ack"),
        ("subscribeLiteral", f"{topic}/ack"),
    )
    return [{"acltype": kind, "topic": where, "priority": 0, "allow": True} for kind, where in rights]


def read_state(path: Path) -> dict[str, Any] | None:
    """Return what the file says; None if there is none, or if it is not whole."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return None
    try:
        state = json.loads(path.read_bytes())
    except ValueError:
        return None
    return state if isinstance(state, dict) and state.get("clients") else None


def is_whole(path: Path, *, holds: str | None = None, lacks: str | None = None) -> bool:
    """Return whether the file was written to its end, and has or lacks the account of a logger.

    The plugin's last line is the only one that begins with the brace; anything else is parsed.
    """
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return False
    content = path.read_bytes()
    if holds is not None and not _has_account(content, holds):
        return False
    if lacks is not None and _has_account(content, lacks):
        return False
    return content.rstrip().endswith(b"\n}") or read_state(path) is not None


def _has_account(content: bytes, name: str) -> bool:
    return re.search(rb'"username":\s*"%b"' % re.escape(name.encode()), content) is not None


def logger_verifiers(state: Mapping[str, Any]) -> dict[str, Verifier]:
    """Return the verifiers of the loggers' accounts in a state."""
    return {
        client["username"]: Verifier(
            base64.b64decode(client["password"]), base64.b64decode(client["salt"]), client["iterations"]
        )
        for client in state.get("clients", ())
        if [role["rolename"] for role in client.get("roles", ())] == [logger_role(client["username"])]
        and {"password", "salt", "iterations"} <= client.keys()
    }


def with_loggers(
    state: Mapping[str, Any] | None,
    loggers: Mapping[str, Verifier],
    *,
    user: str,
    password: str,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """Return a state with an account for the service and for each logger, and with all else that it had.

    The loggers in `without` were shut out: they get none, though the state may have one of before.
    """
    first = _initial_state(user, password)
    kept = state or first
    clients = {client["username"]: client for client in (*first["clients"], *kept.get("clients", ()))}
    roles = {role["rolename"]: role for role in (*first["roles"], *kept.get("roles", ()))}
    for device_id in without:
        clients.pop(device_id, None)
        roles.pop(logger_role(device_id), None)
    for device_id, verifier in loggers.items():
        role = logger_role(device_id)
        before = clients.get(device_id, {})
        clients[device_id] = before | _client(device_id, verifier, role) | {"clientid": device_id}
        roles[role] = {"rolename": role, "acls": logger_rights(device_id)}
    return {**first, **kept, "clients": list(clients.values()), "roles": list(roles.values())}


def good_copy(path: Path) -> Path:
    """Return where the last whole file is kept."""
    return path.with_name(f"{path.name}.good")


def keep_good_copy(path: Path) -> None:
    """Keep a copy of a file that is whole; the last one stays where that fails.

    One after the other, in whichever process: a copy that was begun earlier would bring back who has been shut out since.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            write_private(good_copy(path), path.read_text())
        finally:
            os.close(folder)
    except OSError as error:
        log.warning("accounts_not_copied", file=str(path), error=str(error))


def ensure_users(path: Path, user: str, password: str) -> None:
    """Make sure that the broker starts with a whole file: the one that is there, the last good copy, or a new one."""
    if read_state(path) is not None:
        return
    if path.exists():
        path.replace(path.with_name(f"{path.name}.broken"))
    last = good_copy(path)
    if read_state(last) is not None:
        log.error("broker_accounts_restored", file=str(path), hint="it was not whole: is the disk full?")
        write_private(path, last.read_text())
        return
    write_private(path, initial_users(user, password))


def main() -> None:
    """Write the initial users for another mosquitto: argument FILE, the account as DEWARWATCH_MQTT_URL has it.

    An existing file is left alone if it is whole: from then on it belongs to the broker.
    """
    path, account = Path(sys.argv[1]), urlsplit(required(load().mqtt_url, "MQTT_URL", MQTT_HINT))
    ensure_users(path, unquote(account.username or ""), unquote(account.password or ""))


if __name__ == "__main__":
    main()
