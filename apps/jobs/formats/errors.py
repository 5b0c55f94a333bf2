"""What a file can be refused for."""

from __future__ import annotations

from apps.kernel.errors import InvalidInput


class FormatError(InvalidInput):
    """The file as a whole cannot be read as asked. `line` is the physical line or sheet row, where known."""

    code = "unreadable_file"
    title = "The file cannot be read"

    def __init__(self, detail: str, *, code: str | None = None, line: int | None = None) -> None:
        super().__init__(detail, code=code)
        self.line = line
