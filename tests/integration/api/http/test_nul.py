"""The database stores no NUL character: wherever a call takes a text, one that has it is no fault of the service."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from tests.integration.api.conftest import Desk

NUL = "a\0b"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith("/v1/") and path != "/v1/stream":
                yield method, path, operation


def texts(document: dict[str, Any], schema: dict[str, Any], depth: int = 4) -> Iterator[Any]:
    """Bodies of a schema, as far as its fields are known, that have the text in one place each."""
    if not depth:
        return
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    example = (schema.get("examples") or [{}])[0]
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from texts(document, part, depth)
    if schema.get("type") == "string":
        yield NUL
    elif schema.get("type") == "array":
        yield from ([one] for one in texts(document, schema["items"], depth - 1))
    for name, field in schema.get("properties", {}).items():
        for text in texts(document, field, depth - 1):
            yield {**example, name: text}


async def test_no_text_with_a_nul_is_a_fault_of_the_service(desk: Desk) -> None:
    await desk.ship("S1")
    hook = await desk.admin.post("/v1/webhooks", json={"url": "https://93.184.216.34/hook"})
    ids = {"shipment_id": "S1", "device_id": "S1-logger", "webhook_id": hook.json()["id"]}
    document = (await desk.admin.get("/openapi.json")).json()
    asked, failed = 0, []
    for method, path, operation in operations(document):
        parameters = [
            one for one in operation.get("parameters", []) if "in" in one
        ]  # others are headers, by name
        inside = {
            one["name"]: ids.get(one["name"], str(UUID(int=0))) for one in parameters if one["in"] == "path"
        }
        url = path.format_map(inside)
        calls: list[dict[str, Any]] = [
            {"params": {one["name"]: NUL}} for one in parameters if one["in"] == "query"
        ]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            calls += [{"json": one} for one in texts(document, body["schema"])]
        calls += [{"url": path.format_map({**inside, name: "a%00b"})} for name in inside]
        for call in calls:
            answer = await desk.admin.request(method, **{"url": url, **call})
            asked += 1
            if answer.status_code >= 500:
                failed.append((method, path, call, answer.status_code))
    assert not failed
    assert asked > 300
