"""The hub's configuration: every environment variable, read and validated in one place.

`load(os.environ)` gives a frozen `Config` or raises `ConfigError` with one sentence per wrong value.
The only list of the variables is the table of `integration_hub.config_table`, from which
docs/configuration.md is written. Nothing here imports Django, so that the supervisor can read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from integration_hub import config_values as values
from integration_hub.config_table import MAKE_KEYS, MAKE_SECRET, SECRET_KEY_LENGTH, VARIABLES

PROJECT = Path(__file__).resolve().parent.parent
EMBEDDED, DISTRIBUTED = "embedded", "distributed"


class ConfigError(Exception):
    """The environment is wrong. `sentences` says what, one per variable."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


@dataclass(frozen=True)
class Config:
    """The validated configuration. Fields carry the names of their variables in small letters."""

    mode: str
    hub_home: Path
    hub_host: str
    hub_port: int
    hub_base_url: str
    hub_trusted_proxies: int
    hub_workers: int
    hub_web_threads: int
    hub_worker_concurrency: int
    debug: bool
    secret_key: str = field(repr=False)
    allowed_hosts: tuple[str, ...]
    database_url: values.Database
    redis_url: str = field(repr=False)
    celery_broker_url: str = field(repr=False)
    storage_url: values.Storage
    hub_import_max_mb: int
    hub_import_undo_days: int
    email_url: values.Email
    backup_s3_bucket: str
    hub_encryption_keys: str = field(repr=False)
    hub_peppers: str = field(repr=False)
    hub_outbound_allow: tuple[IPv4Network | IPv6Network, ...]
    hub_allow_http: bool
    log_level: str
    log_format: str
    hub_metrics_token: str = field(repr=False)
    time_zone: str
    webhook_max_retries: int | None
    webhook_retry_delay: int | None
    webhook_backoff_factor: float | None
    webhook_timeout: int | None
    webhook_secret: str = field(repr=False)
    webhook_body_days: int
    webhook_attempt_days: int
    api_key_expiry: int
    api_key_prefix: str
    api_rate_limit: int
    hub_limits_when_down: str
    hub_limits_timeout: int
    hub_legacy_limit_headers: bool
    hub_cors_origins: tuple[str, ...]

    @property
    def embedded(self) -> bool:
        return self.mode == EMBEDDED


def load(environ: Mapping[str, str]) -> Config:
    """The Config that `environ` describes; empty variables count as absent.

    Raises ConfigError with a sentence for each wrong value, all of them at once.
    """
    found: dict[str, Any] = {}
    sentences: list[str] = []
    for variable in VARIABLES:
        text = environ.get(variable.name, "").strip()
        try:
            if text:
                found[variable.field] = variable.parse(text)
            else:
                found[variable.field] = None if variable.derived else variable.parse(variable.shown_default)
        except ValueError as error:
            sentences.append(f"{variable.name} {error}.")
    if sentences:
        raise ConfigError(sentences)
    config = _derive(found)
    sentences = list(_refusals(config, found))
    if sentences:
        raise ConfigError(sentences)
    return config


def _derive(found: dict[str, Any]) -> Config:
    """Fill in what follows from other values."""
    home: Path = found["hub_home"] or PROJECT / "var"
    database = found["database_url"] or values.Database(engine="sqlite", name=str(home / "hub.sqlite3"))
    embedded = database.engine == "sqlite"
    broker: str = found["celery_broker_url"] or found["redis_url"] or ""
    redis: str = found["redis_url"] or (broker if broker.startswith("redis") else "")
    base_url = found["hub_base_url"] or _local_url(found["hub_host"], found["hub_port"])
    hosts = found["allowed_hosts"]
    if not hosts:
        name = urlsplit(base_url).hostname or ""
        local = ("127.0.0.1", "localhost", "[::1]") if embedded else ()
        hosts = tuple(dict.fromkeys([f"[{name}]" if ":" in name else name, *local]))
    return Config(
        **found
        | {
            "mode": EMBEDDED if embedded else DISTRIBUTED,
            "hub_home": home,
            "hub_base_url": base_url,
            "allowed_hosts": hosts,
            "database_url": database,
            "redis_url": redis,
            "celery_broker_url": broker,
            "storage_url": found["storage_url"] or values.Storage(kind="file", folder=home / "files"),
            "email_url": found["email_url"] or values.Email(kind="file", folder=home / "mail"),
            "backup_s3_bucket": found["backup_s3_bucket"] or "",
            "secret_key": found["secret_key"] or "",
            "hub_encryption_keys": found["hub_encryption_keys"] or "",
            "hub_peppers": found["hub_peppers"] or "",
            "webhook_secret": found["webhook_secret"] or "",
            "hub_metrics_token": found["hub_metrics_token"] or "",
            "hub_workers": found["hub_workers"] or (1 if embedded else 2),
            "hub_worker_concurrency": found["hub_worker_concurrency"] or (8 if embedded else 4),
        }
    )


def _local_url(host: str, port: int) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _refusals(config: Config, found: dict[str, Any]) -> list[str]:
    """Why the hub must not start like this, one sentence each."""
    wrong = []
    if config.secret_key and (weakness := _weakness(config.secret_key)):
        wrong.append(f"SECRET_KEY {weakness}: make one with `{MAKE_SECRET}`.")
    if config.embedded:
        return wrong
    because = "because DATABASE_URL names a PostgreSQL server (distributed mode)"
    if config.debug:
        wrong.append(f"DEBUG must be off {because}: remove it or set it to false.")
    if not config.secret_key:
        wrong.append(f"SECRET_KEY is required {because}: make one with `{MAKE_SECRET}`.")
    for name, keys in (
        ("HUB_ENCRYPTION_KEYS", config.hub_encryption_keys),
        ("HUB_PEPPERS", config.hub_peppers),
    ):
        if not keys:
            wrong.append(f"{name} is required {because}: make it with `{MAKE_KEYS}`.")
    if any(host in ("*", ".") for host in config.allowed_hosts):
        wrong.append(f"ALLOWED_HOSTS must list host names instead of * {because}.")
    if not config.celery_broker_url:
        wrong.append(
            f"REDIS_URL or CELERY_BROKER_URL is required {because}: "
            "the processes find their work through a shared broker."
        )
    return wrong


def _weakness(secret: str) -> str:
    """What is wrong with a Django secret, or nothing (the same rules as Django's check security.W009)."""
    guessable = ("django-insecure", "changeme", "change-me", "secret", "default", "example", "replaced")
    if secret.lower().startswith(guessable):
        return "is a well-known placeholder"
    if len(secret) < SECRET_KEY_LENGTH:
        return f"has {len(secret)} characters and needs at least {SECRET_KEY_LENGTH}"
    if len(set(secret)) < 5:
        return "is not random"
    return ""
