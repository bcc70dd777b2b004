"""The users that mosquitto starts with: only the service, which creates all other users at run time."""

import base64
import hashlib
import json
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from api.embedded.folder import write_private

_ROUNDS = 101  # as mosquitto's own tools use; enough, since our passwords are long and random
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


def initial_users(user: str, password: str) -> str:
    """Return the first state of mosquitto's dynamic security plugin, as JSON: only the service has rights.

    The password is hashed as the plugin does it: PBKDF2 with SHA-512, 64 bytes.
    """
    salt = os.urandom(12)
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS)
    client = {
        "username": user,
        "password": base64.b64encode(hashed).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": _ROUNDS,
        "roles": [{"rolename": "service"}],
    }
    rights = [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for kind, topic in _SERVICE]
    unasked = {
        "publishClientSend": False,
        "publishClientReceive": True,
        "subscribe": False,
        "unsubscribe": True,
    }
    state = {
        "defaultACLAccess": unasked,
        "clients": [client],
        "roles": [{"rolename": "service", "acls": rights}],
    }
    return json.dumps(state, indent=1)


def main() -> None:
    """Write the initial users for another mosquitto: arguments FILE mqtt://USER:PASSWORD@HOST.

    An existing file is left alone: from then on it belongs to the broker.
    """
    path, account = Path(sys.argv[1]), urlsplit(sys.argv[2])
    if not path.exists():
        write_private(path, initial_users(unquote(account.username or ""), unquote(account.password or "")))
