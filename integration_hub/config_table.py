"""Every environment variable of the hub: name, meaning, default, parser.

docs/configuration.md is written from this table by `manage.py show_config --markdown`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from integration_hub import config_values as values

SECRET_KEY_LENGTH = 50
MAKE_SECRET = "python3 -c 'import secrets; print(secrets.token_urlsafe(64))'"  # noqa: S105  a command
MAKE_KEYS = "python3 -c 'import base64, os; print(\"k1:\" + base64.b64encode(os.urandom(32)).decode())'"


@dataclass(frozen=True)
class Variable:
    """One variable: `parse` turns its text into the value of the Config's field of the same name.

    `shown_default` is what the documents say. It is also what is parsed when the variable is absent,
    unless the default is `derived` from other values, or from nothing.
    """

    name: str
    group: str
    meaning: str
    parse: Callable[[str], Any]
    shown_default: str = ""
    derived: bool = False
    secret: bool = False

    @property
    def field(self) -> str:
        return self.name.lower()


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "HUB_HOME",
        "Place",
        "Folder of everything that the hub keeps: database, files, keys, queue.",
        values.directory,
        "var",
        derived=True,
    ),
    Variable("HUB_HOST", "Place", "Address that the web server listens on.", values.host, "127.0.0.1"),
    Variable(
        "HUB_PORT",
        "Place",
        "Port that the web server listens on; 0 lets the system choose.",
        values.whole(0, 65535),
        "8000",
    ),
    Variable(
        "HUB_BASE_URL",
        "Place",
        "Address at which people and providers reach the hub, without a path; https turns on secure cookies "
        "and HSTS. Callbacks and links are built from it.",
        values.base_url,
        "http://HUB_HOST:HUB_PORT",
        derived=True,
    ),
    Variable(
        "ALLOWED_HOSTS",
        "Place",
        "Host names that requests may carry, separated by commas. * only in embedded mode.",
        values.words,
        "the host of HUB_BASE_URL; embedded also 127.0.0.1 and localhost",
        derived=True,
    ),
    Variable(
        "HUB_TRUSTED_PROXIES",
        "Place",
        "How many proxies in front of the hub append to X-Forwarded-For; only so many entries are believed.",
        values.whole(0, 10),
        "0",
    ),
    Variable(
        "DATABASE_URL",
        "Services",
        "postgresql://user:password@host:5432/name makes the hub distributed; libpq options such as "
        "?sslmode=require and ?pgbouncer=true are understood. sqlite:///path moves the embedded database.",
        values.database,
        "SQLite in HUB_HOME/hub.sqlite3",
        derived=True,
        secret=True,
    ),
    Variable(
        "REDIS_URL",
        "Services",
        "Redis for the shared cache and the limits, and for the queue unless CELERY_BROKER_URL differs.",
        values.redis_url,
        "embedded: a cache file in HUB_HOME",
        derived=True,
        secret=True,
    ),
    Variable(
        "CELERY_BROKER_URL",
        "Services",
        "Broker of background work: redis://… or amqp://….",
        values.broker_url,
        "REDIS_URL; embedded: a queue file in HUB_HOME",
        derived=True,
        secret=True,
    ),
    Variable(
        "STORAGE_URL",
        "Services",
        "Where files are kept: file:///folder, or s3://bucket/prefix?endpoint_url=…&region=…; the keys come "
        "from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the machine's role.",
        values.storage,
        "the folder HUB_HOME/files",
        derived=True,
        secret=True,
    ),
    Variable(
        "HUB_IMPORT_MAX_MB",
        "Services",
        "Largest file that may be uploaded for an import, in megabytes.",
        values.whole(1, 100_000),
        "1024",
    ),
    Variable(
        "HUB_IMPORT_UNDO_DAYS",
        "Services",
        "For how many days after its end an import can be undone.",
        values.whole(1, 3_650),
        "30",
    ),
    Variable(
        "EMAIL_URL",
        "Services",
        "How mail leaves: smtp://user:password@host:587?from=hub@example.com (starttls on 587), smtps://…, "
        "console://, or file:///folder.",
        values.email,
        "files in HUB_HOME/mail",
        derived=True,
        secret=True,
    ),
    Variable(
        "BACKUP_S3_BUCKET",
        "Services",
        "S3 bucket that backups are copied to.",
        values.bucket,
        "no copy",
        derived=True,
    ),
    Variable(
        "SECRET_KEY",
        "Secrets",
        f"Django's secret, at least {SECRET_KEY_LENGTH} random characters. Required when distributed: "
        f"`{MAKE_SECRET}`.",
        values.secret,
        "embedded: made at the first start, HUB_HOME/secret_key",
        derived=True,
        secret=True,
    ),
    Variable(
        "HUB_ENCRYPTION_KEYS",
        "Secrets",
        "Keys that encrypt credentials, id:base64,id:base64 of 32 bytes each; the first is active. Required "
        f"when distributed: `{MAKE_KEYS}`. To rotate, put a new one in front and run `rotate_keys`.",
        values.keys,
        "embedded: made at the first start, HUB_HOME/keyring.json",
        derived=True,
        secret=True,
    ),
    Variable(
        "HUB_PEPPERS",
        "Secrets",
        "Peppers that API keys are hashed with, in the same form. Required when distributed. An old one "
        "is kept as long as keys hashed with it live.",
        values.keys,
        "embedded: made at the first start, HUB_HOME/peppers.json",
        derived=True,
        secret=True,
    ),
    Variable("DEBUG", "Secrets", "Show errors in full. Never when distributed.", values.boolean, "false"),
    Variable(
        "HUB_OUTBOUND_ALLOW",
        "Outbound",
        "Private networks that connectors and webhooks may reach all the same, as CIDRs separated by commas.",
        values.networks,
        "",
    ),
    Variable(
        "HUB_ALLOW_HTTP",
        "Outbound",
        "Let connectors and webhooks use http:// where the address is public.",
        values.boolean,
        "false",
    ),
    Variable(
        "HUB_WORKERS",
        "Processes",
        "Web server processes.",
        values.whole(1, 64),
        "embedded 1, distributed 2",
        derived=True,
    ),
    Variable("HUB_WEB_THREADS", "Processes", "Threads per web process.", values.whole(1, 64), "4"),
    Variable(
        "HUB_WORKER_CONCURRENCY",
        "Processes",
        "Tasks that one background worker runs at once.",
        values.whole(1, 256),
        "embedded 8 (threads), distributed 4 (processes)",
        derived=True,
    ),
    Variable(
        "LOG_LEVEL",
        "Logs",
        "Least serious message that is logged.",
        values.one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        "INFO",
    ),
    Variable(
        "HUB_METRICS_TOKEN",
        "Logs",
        "Bearer token that Prometheus shows at /metrics, which tells numbers of all organizations. Without "
        "it there is no such page.",
        values.secret,
        "no metrics",
        derived=True,
        secret=True,
    ),
    Variable(
        "LOG_FORMAT", "Logs", "text for people, json for machines.", values.one_of("text", "json"), "text"
    ),
    Variable("TIME_ZONE", "Logs", "Zone in which the admin shows times.", values.time_zone, "UTC"),
    Variable(
        "WEBHOOK_MAX_RETRIES",
        "Webhooks",
        "Tries after the first one, for endpoints without a schedule of their own. With any of these three "
        "given, retries follow delay × factor^n instead of the built-in ladder.",
        values.whole(0, 50),
        "the built-in ladder",
        derived=True,
    ),
    Variable(
        "WEBHOOK_RETRY_DELAY",
        "Webhooks",
        "Milliseconds before the first retry.",
        values.whole(1, 86_400_000),
        "the built-in ladder",
        derived=True,
    ),
    Variable(
        "WEBHOOK_BACKOFF_FACTOR",
        "Webhooks",
        "Each retry waits so many times longer than the one before.",
        values.positive_number,
        "the built-in ladder",
        derived=True,
    ),
    Variable(
        "WEBHOOK_TIMEOUT",
        "Webhooks",
        "Milliseconds that one delivery may take in all.",
        values.whole(100, 120_000),
        "15000",
        derived=True,
    ),
    Variable(
        "WEBHOOK_SECRET",
        "Webhooks",
        "Signing secret of endpoints created without one (whsec_…).",
        values.secret,
        "one is made for each endpoint",
        derived=True,
        secret=True,
    ),
    Variable(
        "WEBHOOK_BODY_DAYS",
        "Webhooks",
        "Days until the messages of finished deliveries and what receivers answered are forgotten; the "
        "deliveries stay. 0 means never.",
        values.whole(0, 36500),
        "30",
    ),
    Variable(
        "WEBHOOK_ATTEMPT_DAYS",
        "Webhooks",
        "Days until tries at finished deliveries, and replays that are over, are forgotten; 0 means never.",
        values.whole(0, 36500),
        "90",
    ),
    Variable(
        "API_KEY_EXPIRY",
        "API",
        "Days until a new API key expires; 0 means never.",
        values.whole(0, 36500),
        "365",
    ),
    Variable("API_KEY_PREFIX", "API", "First letters of every API key.", values.key_prefix, "sk_"),
    Variable(
        "API_RATE_LIMIT",
        "API",
        "Requests per hour for keys and applications without limits of their own; 0 means no limit.",
        values.whole(0, 100_000_000),
        "1000000",
    ),
    Variable(
        "HUB_LIMITS_WHEN_DOWN",
        "API",
        "What becomes of calls while Redis does not answer, so that limits cannot be counted for all "
        "processes: local (each web process allows its share), open (all pass) or closed (all get 429).",
        values.one_of("local", "open", "closed"),
        "local",
    ),
    Variable(
        "HUB_LIMITS_TIMEOUT",
        "API",
        "Milliseconds that a call waits for Redis to count it.",
        values.whole(5, 10_000),
        "50",
    ),
    Variable(
        "HUB_LEGACY_LIMIT_HEADERS",
        "API",
        "Also send X-RateLimit-Limit, -Remaining and -Reset, besides RateLimit and RateLimit-Policy.",
        values.boolean,
        "false",
    ),
    Variable(
        "HUB_CORS_ORIGINS",
        "API",
        "Origins whose web pages may read every answer of the API by script, with commas between them; * for "
        "all. Keys and applications name further ones for themselves.",
        values.origins,
        "",
    ),
)


def markdown() -> str:
    """docs/configuration.md, written from the table."""
    lines = [
        "# Configuration",
        "",
        "<!-- Written by `manage.py show_config --markdown` from integration_hub/config_table.py. -->",
        "",
        "The hub needs no configuration: without any of these it runs on SQLite with everything it keeps in",
        "`var/` (embedded mode). `DATABASE_URL` with a PostgreSQL address makes it distributed: then it also",
        "wants `SECRET_KEY`, `HUB_ENCRYPTION_KEYS`, `HUB_PEPPERS` and a broker, and refuses to start with",
        "`DEBUG`, a weak secret or a wildcard host. A wrong value stops the start with one sentence and exit",
        "status 2.",
        "`manage.py show_config` prints what is in force, without secrets.",
    ]
    group = ""
    for variable in VARIABLES:
        if variable.group != group:
            group = variable.group
            lines += ["", f"## {group}", "", "| variable | meaning | default |", "| --- | --- | --- |"]
        default = variable.shown_default or "empty"
        shown = default if variable.derived else f"`{default}`" if variable.shown_default else default
        meaning = variable.meaning.replace("|", "\\|")
        lines.append(f"| `{variable.name}` | {meaning} | {shown} |")
    return "\n".join(lines) + "\n"
