"""What processes remember of keys and limits is good for one generation; a change begins the next.

With Redis its number comes with the answer of the limiter's one call. Without, all processes are on one
machine and the number is the length of a small file, to which each change adds a byte.
"""

from __future__ import annotations

import os
from pathlib import Path


class FileGeneration:
    """The generation as the length of a file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def read(self) -> int:
        try:
            return os.stat(self._path).st_size
        except OSError:
            return 0

    def bump(self) -> int:
        with open(self._path, "ab") as file:
            file.write(b".")
        return self.read()
