"""A migrated SQLite database to begin with: applying every migration costs more than most tests.

The first run keeps its empty, migrated database in the temporary folder, under a name made of all
migrations; later runs, and other processes of the same run, start on a copy of it. Django still compares it
with the migrations, and applies what is missing.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import django
import pytest
from django.apps import apps
from django.db import connection
from pytest_django import DjangoDbBlocker

EMBEDDED = "sqlite"
NAME = "hub-test-template"


def template() -> Path:
    """Where the migrated database of these migrations is kept."""
    digest = hashlib.sha256(django.__version__.encode())
    for config in sorted(apps.get_app_configs(), key=lambda found: found.name):
        for path in sorted(Path(config.path).glob("migrations/*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}-{digest.hexdigest()[:20]}.sqlite3"


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """On SQLite the copy is there before Django looks; it goes with the tests' folder."""
    return connection.vendor == EMBEDDED or bool(request.config.getvalue("reuse_db"))


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_use_migrations: bool
) -> None:
    if connection.vendor == EMBEDDED and django_db_use_migrations and template().exists():
        copy(template(), Path(connection.creation._get_test_db_name()))


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_use_migrations: bool, django_db_blocker: DjangoDbBlocker
) -> None:
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock():
            empty_tables_by_deleting()
    if connection.vendor == EMBEDDED and django_db_use_migrations and not template().exists():
        for old in template().parent.glob(f"{NAME}-{os.getuid()}-*.sqlite3"):
            if old.stat().st_mtime < time.time() - 86_400:
                old.unlink(missing_ok=True)
        copy(Path(connection.settings_dict["NAME"]), template())


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
