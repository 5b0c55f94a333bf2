"""Django's error reports without secrets: local variables, settings, headers, forms, exception texts."""

from __future__ import annotations

import re
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from apps.kernel.redaction.names import is_secret_name, is_secret_parameter
from apps.kernel.redaction.text import MASK, redact_text, redact_url
from apps.kernel.redaction.values import redact

_SETTINGS = re.compile(
    SafeExceptionReporterFilter.hidden_settings.pattern
    + r"|PEPPER|KEYRING|DATABASE|BROKER|CACHES|STORAGES|EMAIL_URL|REDIS|\bHUB\b|CREDENTIAL|COOKIE",
    re.I,
)


class HubExceptionReporterFilter(SafeExceptionReporterFilter):
    """Cleanses always, in debug mode, too, and also what nobody has marked as sensitive."""

    cleansed_substitute = MASK
    hidden_settings = _SETTINGS

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def cleanse_setting(self, key: str | int, value: Any) -> Any:
        cleansed = super().cleanse_setting(key, value)
        if isinstance(key, str) and is_secret_name(key):
            return MASK
        return redact(cleansed) if isinstance(cleansed, str | bytes | dict | list | tuple) else cleansed

    def get_post_parameters(self, request: HttpRequest | None) -> Any:
        if request is None:
            return {}
        cleansed = super().get_post_parameters(request)
        return {k: MASK if is_secret_parameter(str(k)) else redact(v) for k, v in cleansed.items()}

    def get_safe_request_meta(self, request: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super().get_safe_request_meta(request)
        query = meta.get("QUERY_STRING")
        if isinstance(query, str):
            meta["QUERY_STRING"] = redact_url("?" + query).removeprefix("?")
        return meta

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        marked = dict(super().get_traceback_frame_variables(request, tb_frame))
        return [
            (name, MASK if is_secret_name(name) and value is not None else _Shown(value))
            for name, value in marked.items()
        ]


class HubExceptionReporter(ExceptionReporter):
    """Redacts the texts of the exceptions and the URL, which the filter does not see."""

    def get_traceback_data(self) -> Any:
        data: Any = super().get_traceback_data()
        for name in ("exception_value", "exception_notes", "request_insecure_uri"):
            if isinstance(data.get(name), str):
                data[name] = redact_text(data[name])
        if data.get("request_GET_items") is not None:
            data["request_GET_items"] = [
                (name, MASK if is_secret_parameter(str(name)) else redact(value))
                for name, value in data["request_GET_items"]
            ]
        return data

    def get_traceback_frames(self) -> Any:
        frames: Any = super().get_traceback_frames()
        for frame in frames:
            if frame.get("exc_cause") is not None:
                frame["exc_cause"] = redact_text(str(frame["exc_cause"]))
        return frames


class _Shown:
    """Shows a value redacted, and only when it is shown."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __repr__(self) -> str:
        try:
            return redact_text(repr(redact(self._value)))
        except Exception:
            return f"<{type(self._value).__name__}>"
