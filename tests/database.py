"""A migrated database to begin with: applying every migration costs more than most tests.

The first process keeps its empty, migrated database under a name made of all migrations: on SQLite a file
in the temporary folder, on PostgreSQL a database beside the tests' own. Other processes wait for it, and they
and later runs start on a copy. Django still compares it with the migrations, and applies what is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.db import connection
from pytest_django import DjangoDbBlocker

EMBEDDED = "sqlite"
NAME = "hub-test-template"
KEPT_FOR = timedelta(days=1)  # templates of other migrations


def _digest() -> str:
    digest = hashlib.sha256(django.__version__.encode())
    for config in sorted(apps.get_app_configs(), key=lambda found: found.name):
        for path in sorted(Path(config.path).glob("migrations/*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:20]


def template() -> Path:
    """Where the migrated SQLite database of these migrations is kept."""
    return Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}-{_digest()}.sqlite3"


class _File:
    """The template on SQLite."""

    def exists(self) -> bool:
        return template().exists()

    def use(self) -> None:
        copy(template(), Path(connection.creation._get_test_db_name()))

    def keep(self) -> None:
        for old in template().parent.glob(f"{NAME}-{os.getuid()}-*.sqlite3"):
            if old.stat().st_mtime < time.time() - KEPT_FOR.total_seconds():
                old.unlink(missing_ok=True)
        copy(Path(connection.settings_dict["NAME"]), template())


class _Database:
    """The template on PostgreSQL: a database that is only copied; its comment is the day of its making."""

    prefix = NAME.replace("-", "_")

    def __init__(self) -> None:
        self.name = f"{self.prefix}_{_digest()}"

    def exists(self) -> bool:
        return bool(self._read("SELECT 1 FROM pg_database WHERE datname = %s", self.name))

    def use(self) -> None:
        connection.settings_dict["TEST"]["TEMPLATE"] = self.name

    def keep(self) -> None:
        day = datetime.now(UTC).date()
        listed = (
            "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname LIKE %s"
        )
        for name, comment in self._read(listed, f"{self.prefix}_%"):
            if not comment or date.fromisoformat(comment) < day - KEPT_FOR:
                self._run(f'DROP DATABASE IF EXISTS "{name}"')
        connection.close()  # who is connected to a database keeps it from being copied
        self._run(f'CREATE DATABASE "{self.name}" TEMPLATE "{connection.settings_dict["NAME"]}"')
        self._run(f"COMMENT ON DATABASE \"{self.name}\" IS '{day}'")

    def _read(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        with connection._nodb_cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def _run(self, statement: str) -> None:
        with connection._nodb_cursor() as cursor:
            cursor.execute(statement)


class _Turn:
    """Of all processes that begin on this machine, one makes the template while the others wait for it."""

    def __init__(self) -> None:
        self._file = template().with_suffix(f".{connection.vendor}.lock").open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def end(self) -> None:
        self._file.close()


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """On SQLite the copy is there before Django looks; it goes with the tests' folder."""
    return connection.vendor == EMBEDDED or bool(request.config.getvalue("reuse_db"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    django_db_use_migrations: bool,
    django_db_blocker: DjangoDbBlocker,
) -> _Turn | None:
    """Begin on a copy of the template; where there is none, the turn to make it is this process's."""
    if not django_db_use_migrations:
        return None
    turn, kept = _Turn(), _kept()
    with django_db_blocker.unblock():
        if not kept.exists():
            return turn
        kept.use()
    turn.end()
    return None


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_modify_db_settings: _Turn | None, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock():
        if django_db_modify_db_settings is not None:
            _kept().keep()
            django_db_modify_db_settings.end()
        if connection.vendor == "postgresql":
            empty_tables_by_deleting()


def _kept() -> _File | _Database:
    return _File() if connection.vendor == EMBEDDED else _Database()


def copy(source: Path, target: Path) -> None:
    """A consistent copy that appears under its name when it is whole."""
    handle, partial = tempfile.mkstemp(dir=target.parent)
    os.close(handle)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(partial)) as new:
        old.backup(new)
    Path(partial).replace(target)


def empty_tables_by_deleting() -> None:
    """Empty tables by DELETE after a test that commits: TRUNCATE makes new files for all, 300 times slower.

    Triggers and foreign keys rest meanwhile, which only a superuser may order; others keep TRUNCATE.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (True,):
            return
    truncating = connection.ops.sql_flush

    def deleting(style: object, tables: list[str], **options: bool) -> list[str]:
        if options.get("reset_sequences"):
            return truncating(style, tables, **options)
        deletions = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]
        return ["SET LOCAL session_replication_role = replica", *deletions] if tables else []

    connection.ops.sql_flush = deleting
