"""The AsyncAPI document: the topics of loggers, the events of webhooks and of the stream, from what the service itself uses."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from api.http.schemas.events import EVENTS, STREAM_ONLY, WEBHOOK_ONLY, Told
from api.http.schemas.readings import reading_schema
from api.http.schemas.registry.loggers import LoggerAck, LoggerStatus
from api.http.specifications.openapi import without_titles
from telemetry.ingest.decode import MAX_READINGS, TOPIC_PREFIX
from telemetry.model import DEVICE_ID

Object = dict[str, Any]

_DESCRIPTION = """
Cold-chain telemetry and alerting for dewar shippers: what loggers publish and hear over MQTT, and the events that are
told by webhooks and on the stream. The calls over HTTP are in the OpenAPI document, at `/openapi.json`.

* **Times** are RFC 3339 with an offset on the way in, and UTC with `Z` on the way out. Units are in the names.
* **Events** carry the full state, so that their order does not matter, and may come twice: their id tells.
* New types of events and new fields may be added: ignore what you do not know.
"""

_WEBHOOK_HEADERS: Object = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {
            "type": "string",
            "description": "The same over all tries and endpoints: take each once. The `id` of the event on the stream.",
        },
        "webhook-timestamp": {
            "type": "string",
            "description": "Seconds since 1970, new for each try.",
            "pattern": "^[0-9]+$",
        },
        "webhook-signature": {
            "type": "string",
            "description": "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64; several with blanks between while a "
            "secret is changed.",
        },
    },
}
_STREAM_FIELDS: Object = {
    "type": "object",
    "description": "The fields of the server-sent event.",
    "required": ["event"],
    "properties": {
        "id": {
            "type": "string",
            "description": "Give it as `Last-Event-ID` to go on after it. Only `stream.ended` has none.",
        },
        "event": {"type": "string", "description": "The same as `type`."},
    },
}
_SHORTENED: Object = {
    "type": "object",
    "description": "What is left of `data` where the body would reach 20 kB.",
    "required": ["left_out"],
    "properties": {
        "left_out": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "description": "The fields that were left out: read them by HTTP.",
        }
    },
}


def document(openapi: Object) -> Object:
    """Make the document; `openapi` is the other one, which says how the stream is called."""
    stream = openapi["paths"]["/v1/stream"]["get"]
    on_stream, to_webhooks = {**EVENTS, **STREAM_ONLY}, {**EVENTS, **WEBHOOK_ONLY}
    schemas = _schemas([one.data for one in {**on_stream, **to_webhooks}.values()])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Dewarwatch",
            "version": version("dewarwatch"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _SERVERS,
        "channels": {
            **_LOGGER_CHANNELS,
            "stream": {
                "address": "/v1/stream",
                "servers": [{"$ref": "#/servers/service"}],
                "title": "The event stream",
                "description": stream["description"],
                "messages": {name: _ref("messages", _stream_name(name)) for name in on_stream},
            },
            "webhooks": {
                "address": None,
                "title": "Webhooks",
                "description": "Standard Webhooks 1.0, to the URL that you have given with `POST /v1/webhooks`. Answer 2xx "
                "within 15 seconds, once it is safe with you; verify the signature before.",
                "messages": {name: _ref("messages", _webhook_name(name)) for name in to_webhooks},
            },
        },
        "operations": {
            "receiveReadings": _operation("receive", "readings", ["readings"], _mqtt(retain=False)),
            "receiveStatus": _operation("receive", "status", ["status"], _mqtt(retain=True)),
            "sendAck": _operation("send", "ack", ["ack"], _mqtt(retain=False)),
            "sendToStream": _operation("send", "stream", on_stream, _http("GET", _query(stream))),
            "sendToWebhook": _operation("send", "webhooks", to_webhooks, _http("POST")),
        },
        "components": {
            "messages": {
                **_LOGGER_MESSAGES,
                **{_stream_name(name): _stream_message(name, told) for name, told in on_stream.items()},
                **{_webhook_name(name): _webhook_message(name, told) for name, told in to_webhooks.items()},
            },
            "schemas": schemas | _used_by(_query(stream), openapi["components"]["schemas"]),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "bearerFormat": "dw_…"},
                "account": {
                    "type": "userPassword",
                    "description": "What `POST /v1/devices` answers as `mqtt`.",
                },
            },
        },
    }


_SERVERS: Object = {
    "broker": {
        "host": "{broker}",
        "protocol": "mqtt",
        "protocolVersion": "5",
        "description": "MQTT 5 or 3.1.1; `mqtts` where the operator has TLS.",
        "variables": {
            "broker": {
                "description": "Host and port, as `POST /v1/devices` answers them in `mqtt.url`.",
                "examples": ["broker.example.org:8883"],
            }
        },
        "security": [{"$ref": "#/components/securitySchemes/account"}],
    },
    "service": {
        "host": "{service}",
        "protocol": "https",
        "variables": {
            "service": {"description": "Where the service answers.", "examples": ["dewars.example.org"]}
        },
        "security": [{"$ref": "#/components/securitySchemes/key"}],
    },
}


def _topic(name: str, title: str, description: str) -> Object:
    return {
        "address": f"{TOPIC_PREFIX}{{device_id}}/{name}",
        "servers": [{"$ref": "#/servers/broker"}],
        "title": title,
        "description": description,
        "parameters": {
            "device_id": {
                "description": f"The identity of the logger: matches `{DEVICE_ID.pattern}`.",
                "examples": ["LOG-4711"],
            }
        },
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


_LOGGER_CHANNELS: Object = {
    "readings": _topic(
        "readings",
        "Readings",
        f"One reading, or an array of 1 to {MAX_READINGS}. Keep each until an `ack` covers it: a PUBACK does not say that it is stored.",
    ),
    "status": _topic("status", "Connection of a logger", "Retained, and the logger's last will."),
    "ack": _topic("ack", "Acknowledgement", "Sent after the readings are committed."),
}
_LOGGER_MESSAGES: Object = {
    "readings": {
        "name": "readings",
        "title": "Readings",
        "payload": {
            "oneOf": [
                {"$ref": "#/components/schemas/Reading"},
                {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MAX_READINGS,
                    "items": {"$ref": "#/components/schemas/Reading"},
                },
            ]
        },
        "examples": [
            {
                "payload": {
                    "measured_at": "2026-11-21T03:45:00Z",
                    "temperature_c": -178.4,
                    "seq": 4711,
                    "boot": 3,
                }
            }
        ],
    },
    "status": {
        "name": "status",
        "title": "Connection of a logger",
        "payload": {"$ref": "#/components/schemas/LoggerStatus"},
        "examples": [{"payload": {"state": "online", "at": "2026-11-21T03:45:00Z"}}],
    },
    "ack": {
        "name": "ack",
        "title": "Acknowledgement",
        "payload": {"$ref": "#/components/schemas/LoggerAck"},
        "examples": [{"payload": {"boot": 3, "through": 119, "missing": [[120, 130]], "highest": 4711}}],
    },
}


def _schemas(events: Iterable[Any]) -> Object:
    models = [LoggerStatus, LoggerAck, *dict.fromkeys(events)]
    _, made = models_json_schema(
        [(model, "validation" if model is LoggerStatus else "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    return {"Reading": reading_schema(), "Shortened": _SHORTENED, **without_titles(made["$defs"])}


def _used_by(schema: Any, known: Mapping[str, Any]) -> Object:
    """Return the schemas of the other document that a schema names, with those that they name."""
    if isinstance(schema, list):
        schema = dict(enumerate(schema))
    if not isinstance(schema, dict):
        return {}
    named = str(schema.get("$ref", "")).rpartition("/")[2]
    found = {named: known[named], **_used_by(known[named], known)} if named else {}
    for inside in schema.values():
        found |= _used_by(inside, known)
    return found


def _stream_name(event: str) -> str:
    return f"stream.{event}"


def _webhook_name(event: str) -> str:
    return f"to-webhook.{event}"


def _stream_message(name: str, told: Told) -> Object:
    return _message(name, told, headers=_STREAM_FIELDS, data=_ref("schemas", told.data.__name__))


def _webhook_message(name: str, told: Told) -> Object:
    whole = _ref("schemas", told.data.__name__)
    return _message(
        name, told, headers=_WEBHOOK_HEADERS, data={"anyOf": [whole, _ref("schemas", "Shortened")]}
    )


def _message(name: str, told: Told, *, headers: Object, data: Object) -> Object:
    return {
        "name": name,
        "title": name,
        "summary": told.when,
        "headers": headers,
        "payload": {
            "type": "object",
            "required": ["type", "timestamp", "data"],
            "properties": {
                "type": {"type": "string", "const": name},
                "timestamp": {"type": "string", "format": "date-time", "description": "When it was told."},
                "data": data,
            },
        },
    }


def _operation(action: str, channel: str, messages: Iterable[str], bindings: Object) -> Object:
    return {
        "action": action,
        "channel": _ref("channels", channel),
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
        "bindings": bindings,
    }


def _ref(kind: str, name: str) -> Object:
    return {"$ref": f"#/{'channels' if kind == 'channels' else f'components/{kind}'}/{name}"}


def _mqtt(*, retain: bool) -> Object:
    return {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}}


def _http(method: str, query: Object | None = None) -> Object:
    asked = {} if query is None else {"query": query}
    return {"http": {"method": method, **asked, "bindingVersion": "0.3.0"}}


def _query(operation: Object) -> Object:
    """Return the parameters of a call as the schema of one object."""
    asked = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
    return {
        "type": "object",
        "properties": {
            one["name"]: {
                **one["schema"],
                **({"description": one["description"]} if "description" in one else {}),
            }
            for one in asked
        },
        "additionalProperties": False,
    }
