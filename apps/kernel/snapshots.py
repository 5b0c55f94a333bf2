"""Long reads that show one moment, while others go on writing.

A snapshot is a connection of its own, known under an alias for as long as the `with` block lasts:
`Model.objects.using(alias)`. PostgreSQL: a read-only transaction with REPEATABLE READ. SQLite: a deferred
transaction in the write-ahead log, which keeps no writer waiting. Progress and checkpoints are written
meanwhile over the usual connection.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections, transaction


@contextmanager
def snapshot(using: str = DEFAULT_DB_ALIAS) -> Iterator[str]:
    """The alias to read with. Inside of a transaction that one is kept: what it has written is seen, too."""
    base = connections[using]
    if base.in_atomic_block:
        yield using
        return
    alias = f"snapshot-{secrets.token_hex(4)}"
    own = base.copy(alias)
    options = dict(own.settings_dict["OPTIONS"])
    options.pop("pool", None)
    if own.vendor == "sqlite":
        options["transaction_mode"] = "DEFERRED"
    own.settings_dict["OPTIONS"] = options
    # In a transaction a server-side cursor is safe behind a transaction-pooling proxy, too.
    own.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = False
    connections[alias] = own
    try:
        with transaction.atomic(using=alias):
            with own.cursor() as cursor:
                if own.vendor == "postgresql":
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    # A slow file storage is no reason to lose the moment.
                    cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                    cursor.execute("SET LOCAL statement_timeout = 0")
                else:
                    cursor.execute("PRAGMA query_only = ON")
                    cursor.execute("SELECT 1 FROM sqlite_master LIMIT 1")  # from here on nothing new is seen
            yield alias
    finally:
        own.close()
        del connections[alias]
