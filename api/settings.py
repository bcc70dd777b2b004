"""Every setting with its default, its unit and its check; nothing else reads the environment."""

import difflib
import os
import re
import sys
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from alerts.notifications import mail, mail_server
from alerts.outbound import target
from api.rates.policy import Quotas, Rates, parse_quotas, parse_rates

PREFIX = "DEWARWATCH_"
DATABASE_HINT = "postgresql://user:password@host:5432/database"
MQTT_HINT = "mqtt://user:password@host:1883"


_NO_SETTINGS: Final = frozenset(
    {"DEWARWATCH_SERVERS", "DEWARWATCH_SEED", "DEWARWATCH_TEST_SERVERS", "DEWARWATCH_TEST_CONTAINERS"}
)
"""What set-up and tests read."""

SECRETS: Final = (
    "database_url",
    "database_owner_url",
    "database_reader_url",
    "database_admin_url",
    "mqtt_url",
    "admin_key",
    "smtp_url",
)
"""The settings that hold a password or a key: each may stand in a file, which its name with `_FILE` behind it names."""

Network: TypeAlias = IPv4Network | IPv6Network
Networks: TypeAlias = tuple[Network, ...]
_ORGANIZATION: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class AllowedNetworks(BaseModel):
    """Private networks that webhooks and chats may reach: those of everybody, and those of one organization."""

    model_config = ConfigDict(frozen=True)

    of_all: Networks = ()
    of_organizations: Mapping[str, Networks] = {}


class SettingsError(Exception):
    """A setting is wrong or missing; the text is one line that names it."""


class Settings(BaseSettings):
    """The settings of a process, from `DEWARWATCH_…` variables and an optional `.env` file."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    database_url: str | None = None
    """Whom the service is in the database."""
    database_owner_url: SecretStr | None = None
    """Who owns the tables and migrates them; by default the service itself."""
    database_reader_url: SecretStr | None = None
    """Who may read them; nobody by default."""
    database_admin_url: SecretStr | None = None
    """Who makes these users; by default they are there."""
    database_pool: Annotated[int, Field(ge=2, le=200)] = 10
    start_patience_s: Annotated[float, Field(gt=0)] = 60.0
    """How long a start waits for the database to answer."""
    mqtt_url: str | None = None
    mqtt_public_url: str | None = None
    """The broker's address for loggers, if it differs from MQTT_URL; without user and password."""
    broker_accounts_file: Path | None = None
    """Where the broker keeps its accounts, if this process can read it."""
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    admin_key: SecretStr | None = None
    webhook_allow_networks: Annotated[AllowedNetworks, NoDecode] = AllowedNetworks()
    http_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """In all; never more than half of the descriptors that the process may have."""
    http_connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 512
    http_proxies: Annotated[Networks, NoDecode] = ()
    """Reverse proxies, whose X-Forwarded-For is believed."""
    http_head_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    http_body_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    http_idle_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    http_answer_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    operator_networks: Annotated[Networks, NoDecode] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    """From where the metrics need no key."""
    streams_per_key: Annotated[int, Field(ge=1)] = 100
    rates: Annotated[Rates, NoDecode] = Rates()
    """How much a caller may ask for over time."""
    quotas: Annotated[Quotas, NoDecode] = Quotas()
    """How many things an organization may have."""
    smtp_url: SecretStr | None = None
    """The mail server for notifications; without it, notifications by e-mail fail and say so."""
    mail_from: str | None = None
    public_url: str | None = None
    """The address at which people reach the service: links in notifications begin with it."""
    late_readings_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    """For how long after a shipment ended its readings are taken from others than the operating organization."""
    courier_backdate_min: Annotated[float, Field(ge=0, le=1440)] = 15.0
    """How many minutes back a courier may say that something happened."""
    courier_key_days: Annotated[float, Field(ge=0, le=365)] = 7.0
    """How many days a courier's key lasts after the last of its shipments is over."""
    outbox_retention_days: Annotated[float, Field(gt=0)] = 30.0
    refused_kept_bytes: Annotated[int, Field(ge=64, le=65_536)] = 4096
    """How many bytes are kept of a message that is refused."""
    refused_per_hour: Annotated[int, Field(ge=1)] = 1000
    """How many refusals are kept of one origin for one reason; likewise below."""
    refused_per_day: Annotated[int, Field(ge=1)] = 5000
    refused_kb_per_hour: Annotated[int, Field(ge=100)] = 1024
    """In 1024 bytes; above what one message may cost."""
    refused_kb_per_day: Annotated[int, Field(ge=100)] = 4096
    refused_retention_days: Annotated[float, Field(gt=0)] = 365.0
    security_retention_days: Annotated[float, Field(gt=0)] = 365.0
    security_log_file: str | None = None
    """A file to which the lines of the security log are appended, besides the log."""
    outage_least_loggers: Annotated[int, Field(ge=2)] = 20
    outage_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    outage_ends_below: Annotated[float, Field(gt=0, le=1)] = 0.25
    """A share of the loggers that should report; below the one above, so that the alert does not flap."""
    outage_grace_s: Annotated[float, Field(ge=0, le=86_400)] = 600.0
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: str | None) -> str | None:
        return _checked(value, ("postgresql",))

    @field_validator("database_owner_url", "database_reader_url", "database_admin_url")
    @classmethod
    def _is_secret_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        _checked(None if value is None else value.get_secret_value(), ("postgresql",))
        return value

    @field_validator("mqtt_url", "mqtt_public_url")
    @classmethod
    def _is_mqtt(cls, value: str | None) -> str | None:
        return _checked(value, ("mqtt", "mqtts"))

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and isinstance(wrong := mail_server.parse(value.get_secret_value()), str):
            raise ValueError(wrong)
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and isinstance(wrong := mail.address(value), str):
            raise ValueError(wrong)
        return value

    @field_validator("public_url")
    @classmethod
    def _is_web(cls, value: str | None) -> str | None:
        if value is not None and (isinstance(wrong := target.parse(value), str) or "?" in value):
            raise ValueError(wrong if isinstance(wrong, str) else "must not contain a query (?)")
        return value

    @model_validator(mode="before")
    @classmethod
    def _none_where_empty(cls, values: Any) -> Any:
        """Treat an empty setting as unset: Compose passes unset variables on as empty ones.

        But no networks of operators is something to ask for.
        """
        return {name: value for name, value in values.items() if value != "" or name == "operator_networks"}

    @field_validator("admin_key")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("outage_ends_below")
    @classmethod
    def _is_below(cls, value: float, info: ValidationInfo) -> float:
        share = info.data.get("outage_share")
        if share is not None and value >= share:
            raise ValueError(f"must be below {PREFIX}OUTAGE_SHARE, which is {share:g}")
        return value

    @field_validator("rates", mode="before")
    @classmethod
    def _of_rates(cls, value: Any) -> Any:
        return parse_rates(value) if isinstance(value, str) else value

    @field_validator("quotas", mode="before")
    @classmethod
    def _of_quotas(cls, value: Any) -> Any:
        return parse_quotas(value) if isinstance(value, str) else value

    @field_validator("webhook_allow_networks", mode="before")
    @classmethod
    def _of_whom(cls, value: Any) -> Any:
        return _allowed_networks(value) if isinstance(value, str) else value

    @field_validator("http_proxies", "operator_networks", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )


def _allowed_networks(value: str) -> AllowedNetworks:
    """Parse `127.0.0.0/8,acme=10.1.0.0/16`; raises ValueError that names the part that is wrong."""
    of_all: list[Network] = []
    of_organizations: dict[str, list[Network]] = {}
    for part in filter(None, (one.strip() for one in value.split(","))):
        organization, given, network = part.rpartition("=")
        if given and not _ORGANIZATION.fullmatch(organization):
            raise ValueError(f"{organization!r} is no organization: write acme=10.1.0.0/16")
        try:
            parsed = ip_network(network)
        except ValueError as error:
            raise ValueError(
                f"{error}: write 10.1.0.0/16, or acme=10.1.0.0/16 for one organization"
            ) from None
        (of_organizations.setdefault(organization, []) if given else of_all).append(parsed)
    return AllowedNetworks(
        of_all=tuple(of_all),
        of_organizations={name: tuple(networks) for name, networks in of_organizations.items()},
    )


def _checked(value: str | None, schemes: tuple[str, ...]) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must look like {schemes[0]}://user:password@host:port")
    _ = parts.port  # raises ValueError where it is no number from 0 to 65535
    return value


def load(**overrides: Any) -> Settings:
    """Read the settings; raise SettingsError with one line that names the first wrong one."""
    _stop_at_misspelt()
    try:
        given = {name: value for name, value in overrides.items() if value is not None}
        return Settings(**{**_from_files(), **given})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = PREFIX + str(first["loc"][0]).upper()
        text = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        raise SettingsError(f"{name}: {text}") from None


def _given() -> dict[str, str | None]:
    """Return what the environment and the file `.env` give under names with our prefix; the environment wins."""
    given = {**dotenv_values(".env"), **os.environ}
    return {name.upper(): value for name, value in given.items() if name.upper().startswith(PREFIX)}


def _from_files() -> dict[str, str]:
    """Read the secrets that stand in files, such as Docker's or systemd's."""
    given, found = _given(), {}
    for name in SECRETS:
        setting = PREFIX + name.upper()
        if not (file := given.get(f"{setting}_FILE")):
            continue
        if given.get(setting):
            raise SettingsError(f"{setting}_FILE: {setting} is set, too: choose one")
        try:
            found[name] = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(f"{setting}_FILE: {file} cannot be read: {why}") from None
        if not found[name]:
            raise SettingsError(f"{setting}_FILE: {file} is empty")
    return found


def _stop_at_misspelt() -> None:
    """Refuse a name that is nearly that of a setting. Others with our prefix may be of tools around the service."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    known += [f"{PREFIX}{name.upper()}_FILE" for name in SECRETS]
    for name in sorted(_given().keys() - {*known, *_NO_SETTINGS}):
        if close := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            raise SettingsError(f"{name} is no setting: did you mean {close[0]}?")
        sys.stderr.write(f"{name} is no setting of this service, and is ignored.\n")


def required(value: str | None, name: str, hint: str) -> str:
    """Return the setting's value, or raise SettingsError that says how to set it."""
    if value is None:
        raise SettingsError(f"{PREFIX}{name} is not set: set it to, for example, {hint}")
    return value
