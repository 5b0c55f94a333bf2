"""What a template can see while it runs, and how much it may still do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from apps.webhooks.templating.errors import TemplateFailed

MAX_STEPS = 20_000
MAX_SECONDS = 0.25
MAX_OUTPUT = 256 * 1024
_LOOK_EVERY = 16


class Scope:
    """The names of a message and of the loops around, and the budget of one run."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names: dict[str, Any] = dict(names)
        self.out: list[str] = []
        self._steps = 0
        self._size = 0
        self._deadline = time.monotonic() + MAX_SECONDS

    def step(self) -> None:
        """One more thing done. Raises TemplateFailed when it is too much."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TemplateFailed(f"The template takes more than {MAX_STEPS:,} steps for this message.")
        if self._steps % _LOOK_EVERY == 0 and time.monotonic() > self._deadline:
            raise TemplateFailed("The template takes too long for this message.")

    def write(self, text: str) -> None:
        """Put text out. Raises TemplateFailed beyond the size of a message."""
        check_size(self._size + len(text))
        self._size += len(text)
        self.out.append(text)


def check_size(length: int) -> None:
    """Raise TemplateFailed for a text that is longer than a message may be."""
    if length > MAX_OUTPUT:
        raise TemplateFailed(f"The template makes more than {MAX_OUTPUT:,} characters of this message.")
