"""Inputs of record forms and filters: the browser's own pickers, in the theme's clothes."""

from __future__ import annotations

from typing import Any

from django.forms import widgets
from unfold.widgets import INPUT_CLASSES

_CLASSES = " ".join(INPUT_CLASSES)


class _Native(widgets.Input):
    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"class": _CLASSES, **(attrs or {})})


class NativeDate(_Native):
    input_type = "date"


class NativeDateTime(_Native):
    """To the second; the value carries no zone and is read in the organization's."""

    input_type = "datetime-local"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"step": "1", **(attrs or {})})
