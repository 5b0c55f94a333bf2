"""Connections to the embedded mode's files, beside other threads and processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from integration_hub.runtime.sqlite_files import FileConnections

OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO note VALUES ('from outside')")
connection.close()
"""


def test_a_process_that_leaves_does_not_take_the_log_from_threads_that_stay(tmp_path: Path) -> None:
    path = tmp_path / "file.sqlite3"
    files = FileConnections(path, pragmas="", schema="CREATE TABLE note (text TEXT)")
    files.get().execute("SELECT * FROM note").fetchall()
    # A second connection of this process must not drop the locks of the first.
    second = threading.Thread(target=lambda: files.get().execute("SELECT * FROM note").fetchall())
    second.start()
    second.join()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", OTHER, str(path)], check=True)
    assert path.with_name("file.sqlite3-wal").exists()
    assert len(files.get().execute("SELECT * FROM note").fetchall()) == 2
    files.close()
