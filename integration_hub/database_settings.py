"""Settings of the database: SQLite with a write-ahead log, or PostgreSQL."""

from __future__ import annotations

from typing import Any

from integration_hub.config import Config

# IMMEDIATE takes the write lock at BEGIN, so that a transaction that reads and then writes waits for its
# turn instead of failing; WAL lets readers read meanwhile. No mmap: SQLite before 3.51.3 has a bug in
# resetting the log that it is suspected to make worse.
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA cache_size=-32000;"
    "PRAGMA temp_store=MEMORY;PRAGMA journal_size_limit=67108864;"
)
CONNECT_TIMEOUT = 5
KEEP = 60  # seconds that an unused connection is kept
WEB_STATEMENT_TIMEOUT = 60_000  # milliseconds
IDLE_IN_TRANSACTION_TIMEOUT = 600_000  # milliseconds


def database_settings(config: Config, role: str) -> dict[str, Any]:
    """DATABASES["default"] for a process of `role` (web, worker, scheduler, or command)."""
    database = config.database_url
    if database.engine == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": database.name,
            "CONN_MAX_AGE": KEEP,
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": SQLITE_PRAGMAS},
        }
    options: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": f"integration_hub {role}",
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        **dict(database.options),
    }
    settings: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.name,
        "USER": database.user,
        "PASSWORD": database.password,
        "HOST": database.host,
        "PORT": database.port,
        "OPTIONS": options,
    }
    if database.pgbouncer:
        # In transaction pooling a session is not ours between transactions: no server-side cursors, no
        # prepared statements, no startup parameters, and nothing gained by keeping connections.
        settings["DISABLE_SERVER_SIDE_CURSORS"] = True
        options["prepare_threshold"] = None
        return settings
    timeouts = f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT}"
    if role == "web":
        timeouts += f" -c statement_timeout={WEB_STATEMENT_TIMEOUT}"
        # A web server's threads come and go: a pool keeps connections when they go.
        options["pool"] = {
            "min_size": 1,
            "max_size": config.hub_web_threads + 2,
            "timeout": 10,
            "max_idle": 300,
        }
    else:
        # A pool's own threads do not survive the fork of a prefork worker: one connection per process.
        settings["CONN_MAX_AGE"] = KEEP
        settings["CONN_HEALTH_CHECKS"] = True
    options["options"] = timeouts
    return settings
