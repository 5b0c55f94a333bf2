"""OpenAPI 3.1 from the declarations on the views: scopes, query parameters, inputs, outputs."""

from __future__ import annotations

import inspect
from typing import Any

import uritemplate
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, build_parameter_type
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers

from apps.kernel.api.parameters import Parameter
from apps.kernel.api.permissions import ANY_CALLER, PUBLIC

_CRUD = {
    "list": "List {many}",
    "retrieve": "Get {one}",
    "create": "Create {one}",
    "update": "Replace {one}",
    "partial_update": "Change {one}",
    "destroy": "Delete {one}",
}
_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "date-time": {"type": "string", "format": "date-time"},
}
# Handlers that answer with a file instead of JSON.
_RAW = ("HttpResponse", "HttpResponseBase", "FileResponse", "StreamingHttpResponse")
_IDEMPOTENCY_KEY = {"$ref": "#/components/parameters/IdempotencyKey"}
_IF_MATCH = {"$ref": "#/components/parameters/IfMatch"}


def schema_of(parameter: Parameter) -> dict[str, Any]:
    """JSON Schema of a query parameter."""
    schema = dict(_TYPES[parameter.type])
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.name == "limit":
        schema |= {"minimum": 1, "maximum": 200}
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema


def _named(variable: str) -> str:
    """What a variable in an address stands for, where the view does not say."""
    return "Number or id of the object." if variable == "id" else f"The {variable.replace('_', ' ')}."


class HubSchema(AutoSchema):
    """Knows HubAPIView's declarations. `@extend_schema` still has the last word."""

    @property
    def what(self) -> str:
        return getattr(self.view, "action", None) or self.method.lower()

    def _is_list_view(self, serializer: Any = None) -> bool:
        view: Any = self.view
        if hasattr(view, "is_list"):
            listed = view.is_list(self.what) or self.what in view.whole_lists
            return self.method == "GET" and bool(listed)
        return bool(super()._is_list_view(serializer))

    def get_operation_id(self) -> str:
        tokens = [token.replace("-", "_") for token in self._tokenize_path()] or ["root"]
        what = self.what
        if what in _CRUD:
            return "_".join([*tokens, what])
        actions = getattr(self.view, "action_map", None)
        if not actions:
            of_one = self.method == "GET" and self.path.endswith("}")
            return "_".join([*tokens, "retrieve" if of_one else self.method.lower()])
        # A further action's name is in its address already; of a list or of one object, it may be the same.
        if len(actions.keys() - {"head"}) > 1:  # DRF adds head at the first request
            tokens.append(self.method.lower())
        if "{" not in self.path:
            tokens.append("all")
        return "_".join(tokens)

    def get_tags(self) -> list[str]:
        return self._tokenize_path()[:1] or ["api"]

    def get_summary(self) -> str | None:
        first, _, _ = self._own_doc().partition("\n")
        if first:
            return first.rstrip(".")
        model = getattr(self.view, "model", None)
        if model is None:
            return (self._tokenize_path() or ["api"])[-1].replace("-", " ").capitalize()
        one, many = str(model._meta.verbose_name), str(model._meta.verbose_name_plural)
        article = "an" if one[:1].lower() in "aeiou" else "a"
        return _CRUD.get(self.what, "{many}").format(one=f"{article} {one}", many=many)

    def get_description(self) -> str:  # type: ignore[override]
        _, _, rest = self._own_doc().partition("\n")
        scope = self._scope()
        need = f"Needs the scope `{scope}`." if scope and scope not in (PUBLIC, ANY_CALLER) else ""
        return "\n\n".join(part for part in (rest.strip(), need) if part)

    def _own_doc(self) -> str:
        handler = getattr(self.view, self.what, None)
        if getattr(handler, "__module__", "") == "apps.kernel.api.views":
            return ""
        return inspect.cleandoc(getattr(handler, "__doc__", None) or "")

    def _scope(self) -> str | None:
        return self.view.needed_scope() if hasattr(self.view, "needed_scope") else PUBLIC

    def get_extensions(self) -> dict[str, Any]:
        scope = self._scope()
        return {"x-scope": scope} if scope and scope not in (PUBLIC, ANY_CALLER) else {}

    def get_auth(self) -> list[Any]:
        return [{}] if self._scope() == PUBLIC else list(super().get_auth())

    def get_request_serializer(self) -> Any:
        inputs = getattr(self.view, "inputs", {})
        if self.what in inputs:
            return inputs[self.what]
        if inputs or self.what not in ("create", "update", "partial_update"):
            return None
        return super().get_request_serializer()

    def get_response_serializers(self) -> Any:
        outputs = getattr(self.view, "outputs", {})
        if self.what not in outputs:
            if self.method == "DELETE":
                return {204: None}
            if self._handler_returns() in _RAW:
                kinds = getattr(self.view, "media_types", {}).get(self.what, ("application/octet-stream",))
                return {(200, kind): OpenApiTypes.BINARY for kind in kinds}
            return super().get_response_serializers()
        declared = outputs[self.what]
        status, serializer = declared if isinstance(declared, tuple) else (200, declared)
        return {status: serializer}

    def _handler_returns(self) -> str:
        """The name of what the handler is annotated to return."""
        annotation = getattr(getattr(self.view, self.what, None), "__annotations__", {}).get("return", "")
        return str(getattr(annotation, "__name__", annotation)).rpartition(".")[2]

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        described = getattr(self.view, "path_parameters", {})
        return [
            build_parameter_type(
                name=name,
                location="path",
                schema={"type": "string"},
                description=described.get(name) or _named(name),
            )
            for name in variables
        ]

    def _get_filter_parameters(self) -> list[dict[str, Any]]:
        if not hasattr(self.view, "parameters_of"):
            return list(super()._get_filter_parameters())  # type: ignore[no-untyped-call]
        return [
            build_parameter_type(
                name=parameter.name,
                location="query",
                schema=schema_of(parameter),
                description=parameter.description,
            )
            for parameter in self.view.parameters_of(self.what).values()
        ]

    def _get_parameters(self) -> list[dict[str, Any]]:
        parameters = list(super()._get_parameters())
        parameters += getattr(self.view, "openapi_parameters", {}).get(self.what, [])
        if self.method == "POST" and self._scope() != PUBLIC:
            parameters.append(_IDEMPOTENCY_KEY)
        if self.method in ("PUT", "PATCH") or (self.method == "DELETE" and uritemplate.variables(self.path)):
            parameters.append(_IF_MATCH)
        return parameters

    def _get_serializer_name(self, serializer: Any, direction: Any, bypass_extensions: bool = False) -> str:
        """The class's name; with the app's name in front where another app has taken it."""
        name = str(super()._get_serializer_name(serializer, direction, bypass_extensions))
        taken = self.registry._components.get((name, ResolvedComponent.SCHEMA))
        child = getattr(serializer, "child", serializer)
        kind = child if isinstance(child, type) else type(child)
        if taken is None or taken.object is kind or type(taken.object) is kind:
            return name
        return f"{kind.__module__.split('.')[1].title()}{name}"

    def get_paginated_name(self, serializer_name: str) -> str:
        return f"{serializer_name}Page"

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        # A list field's own limits say more than the child's.
        schema: Any = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]
        if (
            isinstance(field, serializers.ListField)
            and isinstance(schema, dict)
            and schema.get("type") == "array"
        ):
            if field.max_length is not None:
                schema["maxItems"] = field.max_length
            if field.min_length is not None:
                schema["minItems"] = field.min_length
        return schema


__all__ = ["HubSchema", "schema_of"]
