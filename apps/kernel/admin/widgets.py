"""Form widgets beyond Unfold's own."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django import forms
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)


class JSONTextarea(UnfoldAdminTextareaWidget):
    """JSON on several lines in a fixed-width face; hub.js checks it while one types and offers to tidy it."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(
            {"rows": 10, "spellcheck": "false", "autocomplete": "off", "data-json": "1", **(attrs or {})}
        )
        self.attrs["class"] = f"{self.attrs.get('class', '')} hub-mono-input".strip()

    def format_value(self, value: Any) -> str | None:
        text = super().format_value(value)
        if not text:
            return text
        try:
            parsed = json.loads(text)
        except ValueError:
            return text  # what the user typed, shown back as it is
        return json.dumps(parsed, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)


class MonoTextarea(UnfoldAdminTextareaWidget):
    """Text in a fixed-width face: templates, keys, expressions."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"rows": 6, "spellcheck": "false", **(attrs or {})})
        self.attrs["class"] = f"{self.attrs.get('class', '')} hub-mono-input".strip()


class MonoTextInput(UnfoldAdminTextInputWidget):
    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"spellcheck": "false", "autocomplete": "off", **(attrs or {})})
        self.attrs["class"] = f"{self.attrs.get('class', '')} hub-mono-input".strip()


class _Native(forms.widgets.Input):
    """The browser's own picker, in the theme's clothes: it works on a phone and needs no script."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"class": " ".join(INPUT_CLASSES), **(attrs or {})})


class NativeDate(_Native):
    input_type = "date"

    def format_value(self, value: Any) -> str | None:
        return value.isoformat() if isinstance(value, dt.date) else super().format_value(value)


class NativeDateTime(_Native):
    """To the second; the value carries no zone and is read in the current one."""

    input_type = "datetime-local"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"step": "1", **(attrs or {})})

    def format_value(self, value: Any) -> str | None:
        if isinstance(value, dt.datetime):
            return value.replace(tzinfo=None).isoformat(timespec="seconds")
        return super().format_value(value)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"]["attrs"].setdefault("title", f"Time zone: {timezone.get_current_timezone_name()}")
        return context


class SecretInput(UnfoldAdminPasswordWidget):
    """A secret is written here and never shown again; empty means “leave it as it is”."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "new-password", "placeholder": "••••••••", **(attrs or {})})

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        return super().get_context(name, None, attrs)


class JSONFormField(forms.JSONField):
    """A JSON form field with the textarea above and errors that say where."""

    widget = JSONTextarea

    def prepare_value(self, value: Any) -> Any:
        """Nothing is shown as nothing, not as `null`."""
        return "" if value is None else super().prepare_value(value)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            try:
                json.loads(value)
            except json.JSONDecodeError as error:
                raise forms.ValidationError(
                    f"This is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}.",
                    code="invalid",
                ) from None
        return super().to_python(value)
