"""Who did something: in the record where a table has a column for it, else in the log."""

from ipaddress import ip_network
from typing import Any

import pytest
from structlog.testing import capture_logs

from alerts.outbound.resolve import Targets
from tests.integration.api.conftest import Desk, MakeDesk, MakeServices

ADMIN = "key:admin-key-setting"


@pytest.fixture
async def desk(make_desk: MakeDesk, make_services: MakeServices) -> Desk:
    return await make_desk(make_services(webhook_targets=Targets([ip_network("127.0.0.0/8")])))


async def post(desk: Desk, path: str, body: dict[str, Any] | None = None) -> Any:
    answer = await desk.admin.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def test_the_log_says_who_did_what_no_table_has(desk: Desk) -> None:
    key = await post(desk, "/v1/keys", {"role": "ops"})
    webhook = await post(desk, "/v1/webhooks", {"url": "http://127.0.0.1:9/hook"})
    here = f"/v1/webhooks/{webhook['id']}"
    with capture_logs() as logs:
        await desk.device("LOG-1")
        await post(desk, "/v1/devices/LOG-1/rotate-credentials")
        assert (await desk.admin.patch(here, json={"description": "ours"})).is_success
        await post(desk, f"{here}/rotate-secret")
        await post(desk, f"{here}/test")
        await post(desk, f"{here}/replay", {"failed": True})
        await post(desk, f"{here}/pause")
        await post(desk, f"{here}/resume")
        assert (await desk.admin.delete(here)).is_success
        assert (await desk.admin.delete(f"/v1/keys/{key['id']}")).is_success
    changes = [line for line in logs if "subject" in line]
    assert {line["actor"] for line in changes} == {ADMIN}
    assert [line["event"] for line in changes] == [
        "logger_registered",
        "logger_credentials_rotated",
        *(
            f"webhook_{what}"
            for what in ("changed", "secret_rotated", "tested", "replayed", "paused", "resumed", "deleted")
        ),
        "key_revoked",
    ]


async def test_what_is_refused_is_not_logged_as_done(desk: Desk) -> None:
    with capture_logs() as logs:
        answer = await desk.admin.post("/v1/devices/LOG-9/rotate-credentials")
    assert answer.status_code == 404
    assert {line["event"] for line in logs if "subject" in line} <= {"refused"}
