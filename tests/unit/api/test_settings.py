"""Settings: read from the environment, and refused with one line that names the wrong one."""

import pytest

from alerts.outbound.resolve import Targets
from api.notification_channels import make_channels, probe
from api.roles import ALL_ROLES, Role, parse_roles
from api.settings import SECRETS, Settings, SettingsError, load, required


def test_defaults_are_those_of_a_single_machine(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = load()
    assert (settings.http_host, settings.http_port, settings.database_url) == ("127.0.0.1", 8080, None)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DATABASE_URL", "mysql://x/y", "postgresql://"),
        ("DATABASE_URL", "postgresql:///nohost", "postgresql://"),
        ("DATABASE_OWNER_URL", "postgres", "postgresql://"),
        ("MQTT_URL", "localhost:1883", "mqtt://"),
        ("MQTT_URL", "mqtt://host:port", "ort"),
        ("HTTP_PORT", "eighty", "integer"),
        ("HTTP_PORT", "70000", "65535"),
        ("ADMIN_KEY", "short", "at least 32"),
        ("WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8,home", "network"),
        ("SMTP_URL", "http://mail.example", "smtp://"),
        ("SMTP_URL", "smtp://user@mail.example", "both user and password"),
        ("MAIL_FROM", "alerts", "one mail address"),
        ("MAIL_FROM", "a@x.example, b@x.example", "one mail address"),
        ("PUBLIC_URL", "dewars.example", "https://"),
        ("PUBLIC_URL", "https://dewars.example/?a=b", "query"),
        ("LOG_FORMAT", "xml", "json"),
        ("OUTAGE_SHARE", "50", "OUTAGE_SHARE: must be less than or equal to 1"),
        ("OUTAGE_ENDS_BELOW", "0.5", "must be below DEWARWATCH_OUTAGE_SHARE, which is 0.5"),
    ],
)
def test_a_wrong_one_is_named_in_one_line(monkeypatch, name, value, says):
    monkeypatch.setenv(f"DEWARWATCH_{name}", value)
    with pytest.raises(SettingsError) as error:
        load()
    assert str(error.value).startswith(f"DEWARWATCH_{name}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_secrets_do_not_show(monkeypatch):
    monkeypatch.setenv("DEWARWATCH_ADMIN_KEY", "k" * 40)
    monkeypatch.setenv("DEWARWATCH_SMTP_URL", "smtp://user:kkkk@mail.example")
    monkeypatch.setenv("DEWARWATCH_DATABASE_OWNER_URL", "postgresql://owner:kkkk@host/db")
    assert "kkk" not in repr(load())


def test_what_compose_passes_on_empty_is_not_set(monkeypatch):
    without = load()
    for name in Settings.model_fields.keys() - {"operator_networks"}:
        monkeypatch.setenv(f"DEWARWATCH_{name.upper()}", "")
    for name in SECRETS:
        monkeypatch.setenv(f"DEWARWATCH_{name.upper()}_FILE", "")
    assert load() == without
    monkeypatch.setenv("DEWARWATCH_OPERATOR_NETWORKS", "")
    assert load().operator_networks == ()  # nobody, which somebody may want


WORTH = {"admin_key": "k" * 40, "smtp_url": "smtp://mail.example", "mqtt_url": "mqtt://a:b@broker"}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_stand_in_a_file(monkeypatch, tmp_path, name):
    setting, file = f"DEWARWATCH_{name.upper()}", tmp_path / "secret"
    worth = WORTH.get(name, "postgresql://u:p@host/db")
    file.write_text(f"{worth}\n")
    monkeypatch.setenv(f"{setting}_FILE", str(file))
    found = getattr(load(), name)
    assert (found if isinstance(found, str) else found.get_secret_value()) == worth
    monkeypatch.setenv(setting, worth)
    with pytest.raises(SettingsError, match=f"^{setting}_FILE: {setting} is set, too: choose one$"):
        load()
    monkeypatch.delenv(setting)
    for content, says in ((b"\n", "is empty"), (b"\xff", "it is no text"), (None, "No such file")):
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SettingsError, match=rf"^{setting}_FILE: .*{says}") as error:
            load()
        assert "\n" not in str(error.value)
        file.touch()


def test_every_setting_with_a_password_may_stand_in_a_file():
    hidden = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    assert hidden | {"database_url", "mqtt_url"} == set(SECRETS)


def test_a_file_of_a_secret_is_named_in_an_env_file_as_well(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("k" * 40)
    (tmp_path / ".env").write_text(f"DEWARWATCH_ADMIN_KEY_FILE={tmp_path}/key\n")
    monkeypatch.chdir(tmp_path)
    key = load().admin_key
    assert key is not None
    assert key.get_secret_value() == "k" * 40


def test_a_misspelt_file_of_a_secret_stops_the_start(monkeypatch):
    monkeypatch.setenv("DEWARWATCH_ADMIN_KEY_FIEL", "/run/secrets/x")
    with pytest.raises(SettingsError, match="did you mean DEWARWATCH_ADMIN_KEY_FILE"):
        load()


async def test_notifications_by_mail_need_a_server_and_a_sender():
    targets = Targets()
    with pytest.raises(SettingsError, match="DEWARWATCH_MAIL_FROM is not set"):
        make_channels(load(smtp_url="smtp://mail.example"), targets)
    with pytest.raises(SettingsError, match="DEWARWATCH_SMTP_URL is not set"):
        make_channels(load(mail_from="a@x.example"), targets)
    without = await probe(make_channels(load(), targets))
    assert without.ok
    assert "SMTP_URL is not set" in str(without.detail["problem"])
    both = await probe(make_channels(load(smtp_url="smtp://mail.example", mail_from="a@x.example"), targets))
    assert both.detail == {"email": True}


def test_networks_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("DEWARWATCH_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8, ::1/128")
    assert [str(network) for network in load().webhook_allow_networks.of_all] == ["127.0.0.0/8", "::1/128"]
    monkeypatch.setenv("DEWARWATCH_HTTP_PROXIES", "10.0.0.0/8, ::1/128")
    assert [str(network) for network in load().http_proxies] == ["10.0.0.0/8", "::1/128"]


def test_networks_may_be_those_of_one_organization(monkeypatch):
    name = "DEWARWATCH_WEBHOOK_ALLOW_NETWORKS"
    monkeypatch.setenv(name, "127.0.0.0/8, acme=10.1.0.0/16,acme=fd00:1::/32,b-cell=10.2.0.0/16")
    networks = load().webhook_allow_networks
    assert [str(network) for network in networks.of_all] == ["127.0.0.0/8"]
    assert {
        organization: [str(network) for network in each]
        for organization, each in networks.of_organizations.items()
    } == {"acme": ["10.1.0.0/16", "fd00:1::/32"], "b-cell": ["10.2.0.0/16"]}
    for wrong in ("acme:10.1.0.0/16", "Acme!=10.1.0.0/16", "=10.1.0.0/16", "acme=", "acme=10.1.0.1/16"):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(SettingsError, match=name):
            load()


def test_an_env_file_is_read_and_the_environment_wins(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("DEWARWATCH_HTTP_PORT=1234\nDEWARWATCH_LOG_LEVEL=debug\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEWARWATCH_HTTP_PORT", "4321")
    settings = load()
    assert (settings.http_port, settings.log_level) == (4321, "debug")


def test_what_is_missing_says_how_to_set_it():
    with pytest.raises(
        SettingsError, match=r"DEWARWATCH_MQTT_URL is not set: set it to, for example, mqtt://…"
    ):
        required(None, "MQTT_URL", "mqtt://…")


def test_roles():
    assert parse_roles("api, ingest") == {Role.API, Role.INGEST}
    assert parse_roles(",".join(Role)) == ALL_ROLES
    for wrong in ("", "api,web"):
        with pytest.raises(ValueError, match="choose from api, ingest, evaluate, deliver"):
            parse_roles(wrong)


@pytest.mark.parametrize("in_file", [False, True])
def test_a_misspelt_name_stops_the_start(monkeypatch, tmp_path, in_file):
    monkeypatch.chdir(tmp_path)
    if in_file:
        (tmp_path / ".env").write_text("DEWARWATCH_QUOTAZ=1\n")
    else:
        monkeypatch.setenv("DEWARWATCH_QUOTAZ", "1")
    with pytest.raises(
        SettingsError, match="DEWARWATCH_QUOTAZ is no setting: did you mean DEWARWATCH_QUOTAS"
    ):
        load()


def test_a_name_like_no_setting_is_said_to_be_ignored(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEWARWATCH_FAVOURITE_COLOUR", "blue")
    load()
    assert (
        capsys.readouterr().err
        == "DEWARWATCH_FAVOURITE_COLOUR is no setting of this service, and is ignored.\n"
    )
