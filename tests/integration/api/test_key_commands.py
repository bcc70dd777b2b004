"""API keys on the command line: made, listed and revoked."""

import pytest

from api.cli import commands
from api.settings import Settings, SettingsError
from tests.integration.api.conftest import Desk


async def test_keys_are_made_listed_and_revoked(
    desk: Desk, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(database_url=database_url)
    await commands.create_key(
        settings, role="partner", organization="acme", expires_at="2036-01-01T00:00:00Z"
    )
    said = capsys.readouterr()
    key = said.out.splitlines()[-1]
    assert "The organization acme is new" in said.err
    await commands.create_key(settings, role="ops", organization="acme")
    assert "is new" not in capsys.readouterr().err
    partner = await desk.client(key)
    hook = {"url": "https://93.184.216.34/hook"}
    hook_id = (await partner.post("/v1/webhooks", json=hook)).json()["id"]
    capsys.readouterr()
    await commands.list_keys(settings)
    ops, listed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert ops[1:] == ["ops", "acme", "no end set", "never used"]
    assert listed[:4] == [key[:11], "partner", "acme", "ends 2036-01-01T00:00:00Z"]
    await commands.revoke_key(settings, key[:11], end_webhooks=False)
    assert f"Its webhook {hook_id} lives on" in capsys.readouterr().out
    await commands.list_keys(settings)
    assert "\trevoked " in capsys.readouterr().out.splitlines()[1]
    await commands.revoke_key(settings, key[:11], end_webhooks=True)
    assert "lives on" not in capsys.readouterr().out
    with pytest.raises(SettingsError, match="There is no API key"):
        await commands.revoke_key(settings, "dw_00000000", end_webhooks=False)
    with pytest.raises(SettingsError, match="neither the prefix"):
        await commands.revoke_key(settings, "nonsense", end_webhooks=False)
    with pytest.raises(SettingsError, match="--expires-at"):
        await commands.create_key(settings, role="ops", organization=None, expires_at="tomorrow")
