"""Receives Dewarwatch's webhooks: verifies each message, takes it once, and keeps the newest state of everything.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_... python receiver.py [PORT]

Messages are printed, one JSON object a line. What was taken is in `receiver.sqlite`, so that a restart forgets nothing.
"""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

LARGEST_BODY = 20_000
webhook = Webhook(os.environ["WEBHOOK_SECRET"])


def open_store() -> sqlite3.Connection:
    store = sqlite3.connect(os.environ.get("WEBHOOK_STORE", "receiver.sqlite"), timeout=10)
    store.execute("CREATE TABLE IF NOT EXISTS taken (webhook_id TEXT PRIMARY KEY)")
    store.execute(
        "CREATE TABLE IF NOT EXISTS newest (what TEXT PRIMARY KEY, sequence INTEGER, type TEXT, data TEXT)"
    )
    return store


def take(webhook_id: str, message: dict) -> bool:
    """Does the work and notes the id in one transaction; False where the message was taken before."""
    store = open_store()
    try:
        with store:
            new = store.execute("INSERT OR IGNORE INTO taken VALUES (?)", (webhook_id,)).rowcount == 1
            if new:
                work(store, message)
        return new
    finally:
        store.close()


def work(store: sqlite3.Connection, message: dict) -> None:
    """Put your own work here. Messages may come in any order: the one with the higher `sequence` is the newer.

    What is of no shipment, such as an alert about the whole fleet, has a `revision` instead.
    """
    data = message["data"]
    what = data.get("id") or data.get("shipment_id") or message["type"]
    store.execute(
        "INSERT INTO newest VALUES (?1, ?2, ?3, ?4) ON CONFLICT (what) DO UPDATE "
        "SET sequence = ?2, type = ?3, data = ?4 WHERE ?2 > sequence",
        (what, data.get("sequence", data.get("revision", 0)), message["type"], json.dumps(data)),
    )


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(
            int(length)
        )  # the bytes as they came: parsed and written again they would differ
        try:
            message = webhook.verify(body, dict(self.headers))
        except Exception:  # the library raises several kinds for a message that is not ours
            return self.answer(401)
        if take(self.headers["webhook-id"], message):
            print(json.dumps(message), flush=True)
        return self.answer(204)  # only now: until then it is sent again

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print messages only."""


if __name__ == "__main__":
    open_store().close()
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
