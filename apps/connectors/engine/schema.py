"""The JSON Schemas (2020-12) of a manifest and of its streams, built from the known strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.connectors.engine import times
from apps.connectors.engine.auth import STRATEGIES
from apps.connectors.engine.decode import DECODERS
from apps.connectors.engine.errors import Kind
from apps.connectors.engine.paginate import PAGINATORS

JSONSchema = dict[str, Any]

NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,59}$"}
TEXT = {"type": "string", "maxLength": 2000}
LABEL = {"type": "string", "minLength": 1, "maxLength": 120}
JMESPATH = {"type": "string", "minLength": 1, "maxLength": 500, "format": "jmespath"}
TEMPLATE = {"type": "string", "maxLength": 2000, "format": "template"}
SCALAR = {"type": ["string", "number", "integer", "boolean"], "format": "template"}
MOMENT = {"type": "string", "format": "moment"}


def _object(properties: Mapping[str, Any], *, required: tuple[str, ...] = (), **more: Any) -> JSONSchema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def _chosen(tag: str, options: Mapping[str, JSONSchema], **more: Any) -> JSONSchema:
    """An object whose `tag` names one of several forms; errors speak of the chosen form only."""
    return {
        "type": "object",
        "properties": {tag: {"enum": list(options)}},
        "required": [tag],
        "allOf": [
            {"if": {"properties": {tag: {"const": name}}, "required": [tag]}, "then": form}
            for name, form in options.items()
        ],
        **more,
    }


def paginate() -> JSONSchema:
    forms = {}
    for kind, paginator in PAGINATORS.items():
        forms[kind] = _object({"kind": {}, **paginator.schema}, required=paginator.required)
    forms["cursor"]["anyOf"] = [{"required": ["next_path"]}, {"required": ["last_row_path"]}]
    return _chosen("kind", forms)


def auth_mode() -> JSONSchema:
    forms = {
        mode: _object(
            {
                "mode": {},
                "label": LABEL,
                "help": TEXT,
                "settings": _object(strategy.settings),
                "credentials": {
                    "type": "array",
                    "items": _object(
                        {
                            "name": NAME,
                            "label": LABEL,
                            "help": TEXT,
                            "secret": {"type": "boolean"},
                            "required": {"type": "boolean"},
                        },
                        required=("name", "label"),
                    ),
                },
            }
        )
        for mode, strategy in STRATEGIES.items()
    }
    return _chosen("mode", forms)


def request() -> JSONSchema:
    return _object(
        {
            "method": {"enum": ["GET", "POST"]},
            "path": {**TEMPLATE, "pattern": r"^(?!\s*[A-Za-z][A-Za-z0-9+.-]*://)"},
            "query": {"type": "object", "additionalProperties": SCALAR},
            "headers": {"type": "object", "additionalProperties": TEMPLATE},
            "json": {"type": ["object", "array"]},
        },
        required=("path",),
    )


def incremental() -> JSONSchema:
    return _object(
        {
            "cursor_path": JMESPATH,
            "name": {"type": "string", "minLength": 1, "maxLength": 100},
            "in": {"enum": ["query", "header", "body"]},
            "op": {"enum": ["gt", "gte"]},
            "format": {"enum": list(times.FORMATS)},
            "lookback": {"type": "integer", "minimum": 0, "maximum": 31 * 86400},
            "start": MOMENT,
        },
        required=("cursor_path", "name"),
    )


def stream() -> JSONSchema:
    """One stream: the same in a manifest and in an integration of a connector with streams of one's own."""
    return _object(
        {
            "name": NAME,
            "label": LABEL,
            "description": TEXT,
            "request": request(),
            "records_path": JMESPATH,
            "remote_id": JMESPATH,
            "remote_version": JMESPATH,
            "paginate": paginate(),
            "incremental": incremental(),
            "deleted_when": JMESPATH,
            "dataset": {"type": "string", "maxLength": 60},
            "mapping": {"type": "object"},
        },
        required=("name", "request", "remote_id"),
    )


def test_request() -> JSONSchema:
    return _object(
        {"request": request(), "path_exists": JMESPATH, "identity_path": JMESPATH}, required=("request",)
    )


def error_rule() -> JSONSchema:
    return _object(
        {
            "when": _object(
                {
                    "status": {"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}},
                    "path": JMESPATH,
                    "equals": {"type": "array"},
                    "body_regex": {"type": "string", "format": "regex"},
                },
                minProperties=1,
                dependentRequired={"path": ["equals"], "equals": ["path"]},
            ),
            "kind": {"enum": [kind.value for kind in Kind]},
            "message": TEXT,
        },
        required=("when", "kind"),
    )


def form_field() -> JSONSchema:
    """One question of the connection form."""
    return _object(
        {
            "name": {**NAME, "pattern": r"^[a-z][a-z0-9_]{0,59}(\.[a-z][a-z0-9_]{0,59})?$"},
            "label": LABEL,
            "kind": {"enum": ["text", "url", "integer", "boolean", "choice"]},
            "help": TEXT,
            "placeholder": TEXT,
            "required": {"type": "boolean"},
            "default": {"type": ["string", "integer", "boolean"]},
            "pattern": {"type": "string", "format": "regex"},
            "choices": {"type": "array", "minItems": 1, "items": {"type": "string"}},
            "minimum": {"type": "integer"},
            "maximum": {"type": "integer"},
            "auth": {"type": "array", "items": {"enum": list(STRATEGIES)}},
        },
        required=("name", "label", "kind"),
    )


def manifest() -> JSONSchema:
    count = {"type": "integer", "minimum": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_object(
            {
                "slug": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,59}$"},
                "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
                "title": LABEL,
                "summary": {"type": "string", "minLength": 1, "maxLength": 200},
                "provider": LABEL,
                "type": NAME,
                "category": NAME,
                "status": {"enum": ["ga", "beta"]},
                "docs": {"type": "string", "pattern": "^https://"},
                "keywords": {"type": "array", "items": LABEL},
                "custom_streams": {"type": "boolean"},
                "environments": {
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": {"enum": ["production", "sandbox", "development", "staging"]},
                    "additionalProperties": _object({"base_url": TEMPLATE}, required=("base_url",)),
                },
                "fields": {"type": "array", "items": form_field()},
                "auth": {"type": "array", "minItems": 1, "items": auth_mode()},
                "http": _object(
                    {
                        "headers": {"type": "object", "additionalProperties": TEMPLATE},
                        "query": {"type": "object", "additionalProperties": SCALAR},
                        "decode": {"enum": list(DECODERS)},
                        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 300},
                    }
                ),
                "test": test_request(),
                "errors": {"type": "array", "items": error_rule()},
                "limits": _object({"per_minute": count, "per_hour": count, "per_day": count}),
                "streams": {"type": "array", "items": stream()},
            },
            required=(
                "slug",
                "version",
                "title",
                "summary",
                "type",
                "category",
                "environments",
                "auth",
                "test",
            ),
        ),
    }
