"""`python -m benchmarks [--quick] [--only records]`: run all benchmarks and print the table.

Each part runs in processes of its own, once on SQLite and, when `BENCH_DATABASE_URL` (or `TEST_DATABASE_URL`)
names a PostgreSQL server, once there, in a fresh database that is dropped afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import uuid
from urllib.parse import urlsplit, urlunsplit

from benchmarks.measure import Figure, save, show

PARTS = ("records", "imports", "formats", "exports", "access", "inbound", "webhooks")
HUB_SETTINGS = "integration_hub.settings"
# Parts whose peers need tables of their own.
SETTINGS = {"access": "benchmarks.access_settings"}
# What is called by the benchmarks listens on this machine.
_LOOPBACK = {"HUB_OUTBOUND_ALLOW": "127.0.0.0/8", "HUB_ALLOW_HTTP": "true"}


def _child(part: str, backend: str, environment: dict[str, str], quick: bool) -> list[Figure]:
    code = (
        "import django, importlib, json; django.setup()\n"
        "from dataclasses import asdict\n"
        "from django.core.management import call_command\n"
        "call_command('migrate', verbosity=0)\n"
        f"figures = importlib.import_module('benchmarks.{part}').run({backend!r}, quick={quick})\n"
        "print('FIGURES ' + json.dumps([asdict(f) for f in figures]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": SETTINGS.get(part, HUB_SETTINGS),
            **_LOOPBACK,
            **environment,
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("FIGURES "))
    return [Figure(**item) for item in json.loads(line[8:])]


def _postgres() -> str | None:
    return os.environ.get("BENCH_DATABASE_URL") or os.environ.get("TEST_DATABASE_URL")


def _on_postgres(server: str, part: str, quick: bool) -> list[Figure]:
    import psycopg

    name = f"hub_bench_{uuid.uuid4().hex[:8]}"
    parts = urlsplit(server)
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        try:
            url = urlunsplit(parts._replace(path=f"/{name}"))
            return _child(part, "PostgreSQL", {**_distributed(), "DATABASE_URL": url}, quick)
        finally:
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _distributed() -> dict[str, str]:
    """What a start in distributed mode asks for."""
    import base64
    import secrets

    def key() -> str:
        return base64.b64encode(secrets.token_bytes(32)).decode()

    redis = (
        os.environ.get("BENCH_REDIS_URL") or os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/9"
    )
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "HUB_ENCRYPTION_KEYS": f"k1:{key()}",
        "HUB_PEPPERS": f"p1:{key()}",
        "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
        "REDIS_URL": redis,
        "CELERY_BROKER_URL": redis,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller amounts; figures are not written down")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part")
    options = parser.parse_args()
    figures: list[Figure] = []
    for part in options.only or PARTS:
        with tempfile.TemporaryDirectory(prefix="hub-bench-") as home:
            figures += _child(part, "SQLite", {"HUB_HOME": home}, options.quick)
        server = _postgres()
        if server:
            figures += _on_postgres(server, part, options.quick)
    print(show(figures))
    if not options.quick:
        save(figures)
    return 0 if all(f.holds for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
