"""The bases of every API view.

A view declares the scope of each action (or HTTP method); what declares none answers 403. It finds its caller
in `self.principal`, `self.organization` and `self.actor`, and its checked query parameters in
`self.parameters`. Idempotency-Key, problems, versions, ETags and pagination come with the base.

    class WidgetViewSet(HubViewSet):
        model = Widget
        serializer_class = WidgetSerializer
        scopes = {"list": "widgets:read", "retrieve": "widgets:read", "create": "widgets:write"}
        query_parameters = {"list": [Parameter("status", choices=("active", "paused"), column="status")]}

        def create(self, request): …
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from rest_framework import exceptions
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.viewsets import ViewSetMixin

from apps.kernel.api import etag, idempotency
from apps.kernel.api.changes import query_up
from apps.kernel.api.keyset import Order
from apps.kernel.api.pagination import CURSOR, LIMIT, HubCursorPagination
from apps.kernel.api.parameters import Parameter, declare, read
from apps.kernel.api.parsers import MAX_JSON_BYTES
from apps.kernel.api.permissions import ANY_CALLER, PUBLIC, Caller, DeclaredScope
from apps.kernel.api.versions import REVISION_HEADER, revision_of, versions
from apps.kernel.errors import BadRequest, EncodedBody, FieldError, NotFound
from apps.kernel.models import TimeOrdered

Parameters = Iterable[str | Parameter]


class HubAPIView(GenericAPIView[Any]):
    """A view by HTTP method; see the module."""

    # Action (of a view set) or HTTP method in small letters → scope, PUBLIC or ANY_CALLER.
    scopes: ClassVar[Mapping[str, str]] = {}
    # Either the parameters of every read, or a mapping from action or method to parameters.
    query_parameters: ClassVar[Mapping[str, Parameters] | Parameters] = ()
    # Fields that `?ordering=` may name; a mapping gives the column of each.
    ordering_fields: ClassVar[Collection[str] | Mapping[str, str]] = ()
    ordering: ClassVar[str] = "-id"
    # Columns that `?search=` looks into (istartswith unless a lookup is given).
    search_fields: ClassVar[Sequence[str]] = ()
    # Actions or methods that answer with everything at once, in the form of a page.
    whole_lists: ClassVar[Collection[str]] = ()
    # Action or method → features of the version (see versions.py) that it needs.
    features: ClassVar[Mapping[str, Collection[str]]] = {}
    # Whether it answers in versions that have ended.
    survives_sunset: ClassVar[bool] = False
    # Whether lists and objects take `?fields=a,b` for sparse answers.
    sparse: ClassVar[bool] = True

    model: ClassVar[type[models.Model] | None] = None
    organization_path: ClassVar[str] = "organization"
    lookup_url_kwarg: ClassVar[str] = "id"  # type: ignore[misc]
    lookup_value_regex: ClassVar[str] = "[^/]+"

    # Action or method → serializer of the body, and of the answer (with its status, if that is not 200).
    inputs: ClassVar[Mapping[str, type[Serializer[Any]]]] = {}
    outputs: ClassVar[Mapping[str, type[Serializer[Any]] | tuple[int, type[Serializer[Any]] | None]]] = {}

    # Action or method → the types of the files that it answers with.
    media_types: ClassVar[Mapping[str, Collection[str]]] = {}

    max_body_bytes: ClassVar[int] = MAX_JSON_BYTES
    # How long a POST with an Idempotency-Key may run before another with the same key takes over, in seconds.
    idempotency_lease: ClassVar[int] = 120

    pagination_class = HubCursorPagination
    permission_classes: Sequence[Any]
    metadata_class = None

    action: str | None = None
    parameters: dict[str, Any]
    request: Request

    # Who asks.

    @property
    def principal(self) -> Any:
        """The caller (`apps.tenants.principals.Principal`). Only for views that are not public."""
        return self.request.auth

    @property
    def organization(self) -> Any:
        return self.principal.organization

    @property
    def actor(self) -> Any:
        return self.principal.actor

    @property
    def what(self) -> str:
        """The action of a view set, else the HTTP method in small letters."""
        return self.action or (self.request.method or "get").lower()

    def needed_scope(self) -> str | None:
        """The scope declared for what is being done, PUBLIC, ANY_CALLER, or None."""
        if self.action is not None and self.action in self.scopes:
            return self.scopes[self.action]
        method = (self.request.method or "").lower()
        return self.scopes.get("get" if method == "head" else method)

    def required_scopes(self) -> list[str]:
        """The declared scope as a list, for the documentation; empty if none is needed."""
        scope = self.needed_scope()
        return [scope] if scope and scope not in (PUBLIC, ANY_CALLER) else []

    # One request.

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.args = args
        self.kwargs = kwargs
        drf_request = self.initialize_request(request, *args, **kwargs)
        self.request = drf_request
        self.headers = {}
        method = (request.method or "").lower()
        kwargs = {name: value for name, value in kwargs.items() if name != "version"}
        try:
            self.initial(drf_request, *args, **kwargs)
            handler = getattr(self, method)
            if method == "post" and "HTTP_IDEMPOTENCY_KEY" in request.META:
                return idempotency.run(self, drf_request, lambda: handler(drf_request, *args, **kwargs))
            response = handler(drf_request, *args, **kwargs)
        except Exception as exc:
            response = self.handle_exception(exc)
        return self.finish(response)

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "") and not request.META.get(
            "CONTENT_LENGTH"
        ):
            # Django believes only a declared length; the server ends the stream where the last chunk does.
            request._stream = request.META["wsgi.input"]
            request.META["CONTENT_LENGTH"] = "-1"
        return super().initialize_request(request, *args, **kwargs)

    def finish(self, response: Any) -> Any:
        """The response, complete but for rendering."""
        self.response = self.finalize_response(self.request, response, *self.args, **self.kwargs)
        return self.response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Version, caller, scope, limits, query parameters: in this order."""
        self.format_kwarg = None
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        request.version, request.versioning_scheme = self.determine_version(request, *args, **self.kwargs)
        named: str | None = self.kwargs.get("version")
        request.revision = versions.default_of(str(request.version))  # type: ignore[attr-defined]
        if named is not None:
            self.refuse_sunset(named)
        method = (request.method or "").lower()
        if method != "options" and not (method in self.http_method_names and hasattr(self, method)):
            raise exceptions.MethodNotAllowed(method.upper())
        if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            raise EncodedBody("Send the body as it is, without Content-Encoding.")
        if self.needed_scope() != PUBLIC:
            self.perform_authentication(request)
            caller = request.auth
        else:
            caller = None
        request.revision = revision_of(request, named, caller)  # type: ignore[attr-defined]
        if named is None:
            request.version = request.revision.version  # type: ignore[attr-defined]
            self.refuse_sunset(request.version)
        if any("\0" in str(value) for value in self.kwargs.values()):
            raise NotFound("There is nothing at this address: it contains a NUL character.")
        self.check_permissions(request)
        self.check_throttles(request)
        for feature in self.features.get(self.what, ()):
            self.need_feature(feature)
        self.parameters = read(query_up(request), self.declared_parameters(), also=self.also_allowed())

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        return self.marked(super().finalize_response(request, response, *args, **kwargs))

    def marked(self, response: Any) -> Any:
        """The response, saying which version and revision it is of."""
        version = getattr(self.request, "version", None)
        if version:
            response.headers["API-Version"] = version
            revision = getattr(self.request, "revision", None)
            if revision is not None:
                response.headers[REVISION_HEADER] = revision.date.isoformat()
        return response

    def refuse_sunset(self, version: str) -> None:
        """Raises Sunset (410) if the version has ended, unless the view tells of versions."""
        rehearsed = hasattr(self.request._request, "hub_revision")
        if not self.survives_sunset and not rehearsed:
            versions.refuse_sunset(version)

    def need_feature(self, feature: str) -> None:
        """Raises FeatureOff (403) if a feature is switched off in the version that is called."""
        versions.need(str(self.request.version), feature)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        raise exceptions.MethodNotAllowed(request.method or "")

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, exceptions.MethodNotAllowed):
            exc.allow = ", ".join(sorted(self.allowed_methods))  # type: ignore[attr-defined]
        response = self.get_exception_handler()(exc, self.get_exception_handler_context())
        assert response is not None
        response.exception = True
        return response

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        return Response(status=204, headers={"Allow": ", ".join(sorted(self.allowed_methods))})

    # What a list may be asked.

    def declared_parameters(self) -> dict[str, Parameter]:
        """All query parameters of the present action, by name. Override where they depend on the request."""
        return _parameters_of(type(self), self.what)

    @classmethod
    def parameters_of(cls, key: str) -> dict[str, Parameter]:
        """The declared parameters of an action or method, with those that come with pages."""
        declared = cls.query_parameters
        if isinstance(declared, Mapping):
            mine: Parameters = declared.get(key, ())
        else:
            mine = declared if key in ("list", "retrieve", "get", "head") else ()
        found: dict[str, Parameter] = {}
        if cls.is_list(key):
            found |= declare([LIMIT, CURSOR])
            if cls.ordering_fields:
                names = tuple(cls.ordering_fields)
                both = names + tuple(f"-{name}" for name in names)
                found |= declare(
                    [
                        Parameter(
                            "ordering",
                            f"Sort by one of {', '.join(names)}; a minus sign in front sorts descending.",
                            choices=both,
                        )
                    ]
                )
            if cls.search_fields:
                found |= declare([Parameter("search", "Text to look for.")])
        if cls.sparse and key in ("list", "retrieve", "get"):
            found |= declare(
                [Parameter("fields", "Names of the fields to answer with, separated by commas.")]
            )
        return found | declare(mine)

    @classmethod
    def is_list(cls, key: str) -> bool:
        """Whether the action answers with pages."""
        return key == "list" or getattr(getattr(cls, key, None), "paged", False)

    def also_allowed(self) -> str:
        """What else may be in a query string, as the end of a sentence."""
        return ""

    def order_of(self) -> Order:
        """The order of the present list."""
        asked = self.parameters.get("ordering") or self.ordering
        order = Order.parse(asked)
        if isinstance(self.ordering_fields, Mapping) and order.column in self.ordering_fields:
            return Order(self.ordering_fields[order.column], order.descending)
        return order

    # Objects and pages.

    def get_queryset(self) -> models.QuerySet[Any]:
        """The organization's rows of `model`. Override to add `select_related` or another scope."""
        assert self.model is not None, f"{type(self).__name__} sets neither model nor get_queryset()"
        return self.model._default_manager.filter(**{self.organization_path: self.organization})

    def filter_queryset(self, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Apply the parameters that name a column, and the search."""
        for name, parameter in self.declared_parameters().items():
            if parameter.column and name in self.parameters:
                queryset = queryset.filter(**{parameter.column: self.parameters[name]})
        text = self.parameters.get("search")
        if text and self.search_fields:
            condition = Q()
            for field in self.search_fields:
                condition |= Q(**{field if "__" in field else f"{field}__istartswith": text})
            queryset = queryset.filter(condition)
        return queryset

    def get_object(self) -> Any:
        """The object that the address names, by number or prefixed id. Raises NotFound."""
        return find(self.get_queryset(), self.kwargs[self.lookup_url_kwarg])

    def page(
        self,
        queryset: models.QuerySet[Any],
        render: Callable[[Any], Any] | None = None,
        *,
        filtered: bool = False,
    ) -> Response:
        """One page of the queryset; `render` makes the representation of a row (else the serializer)."""
        paginator = self.pagination_class()
        _ = self.wanted_fields  # refused before anything is read, also where the list is empty
        rows = paginator.paginate_queryset(
            queryset if filtered else self.filter_queryset(queryset), self.request, self
        )
        return paginator.get_paginated_response([self.represent(row, render) for row in rows])

    def represent(self, obj: Any, render: Callable[[Any], Any] | None = None) -> Any:
        """The representation of an object, reduced to `?fields=`."""
        data = (
            render(obj)
            if render is not None
            else self.get_serializer_class()(obj, context=self.get_serializer_context()).data
        )
        wanted = self.wanted_fields
        if wanted is None:
            return data
        if self.known_fields() is None:
            _refuse_unknown(wanted, data)
        return {name: value for name, value in data.items() if name in wanted or name == "id"}

    @cached_property
    def wanted_fields(self) -> frozenset[str] | None:
        """The names in `?fields=`, or None for all. Raises BadRequest for one that there is not."""
        text = self.parameters.get("fields")
        if not text:
            return None
        wanted = frozenset(name.strip() for name in text.split(",") if name.strip())
        known = self.known_fields()
        if known is not None:
            _refuse_unknown(wanted, known)
        return wanted

    def known_fields(self) -> Collection[str] | None:
        """What `?fields=` may name; None if only the representation itself can tell."""
        declared = self.outputs.get(self.what)
        serializer = (declared[1] if isinstance(declared, tuple) else declared) or self.serializer_class
        if serializer is None:
            return None
        fields: Mapping[str, Any] = serializer().fields  # type: ignore[attr-defined]
        return fields.keys()

    def answer(self, obj: Any, *, status: int = 200, render: Callable[[Any], Any] | None = None) -> Response:
        """The answer for one object: representation and, for objects that people edit, its ETag."""
        data = self.represent(obj, render)
        if hasattr(obj, "updated_at"):
            return etag.respond(self.request, obj, data, status=status)
        return Response(data, status=status)

    def check_if_match(self, obj: Any) -> bool:
        """Whether If-Match names this state. Raises PreconditionFailed if it names another."""
        return etag.check(self.request, obj)

    def validated(
        self, serializer_class: type[Any] | None = None, *, partial: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """The body, checked by the serializer in `inputs` or the given one. Raises DRF's ValidationError."""
        serializer = (serializer_class or self.inputs[self.what])(
            data=self.request.data, partial=partial, context=self.get_serializer_context(), **kwargs
        )
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class HubViewSet(ViewSetMixin, HubAPIView):  # type: ignore[misc]
    """A view by action. `list` and `retrieve` work once `model` and `serializer_class` are set and routed."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.page(self.get_queryset())

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.answer(self.get_object())


@cache
def _parameters_of(view: type[HubAPIView], key: str) -> dict[str, Parameter]:
    return view.parameters_of(key)


def _refuse_unknown(wanted: Collection[str], known: Collection[str]) -> None:
    unknown = sorted(name[:60] for name in wanted if name not in known)
    if unknown:
        detail = f"There is no field “{unknown[0]}” here. Fields: {', '.join(known)}."
        raise BadRequest(
            detail, errors=[FieldError("?fields", "unknown_field", detail)], code="unknown_field"
        )


def paged(method: Callable[..., Any]) -> Callable[..., Any]:
    """Marks an action that answers with pages, so that it takes `limit` and `cursor`."""
    method.paged = True  # type: ignore[attr-defined]
    return method


def find(queryset: models.QuerySet[Any], ref: str) -> Any:
    """The row with this number or prefixed public id. Raises NotFound, also for what cannot be one."""
    model: Any = queryset.model
    found = None
    if "\x00" not in ref and len(ref) <= 120:
        pk = model.parse_public_id(ref) if issubclass(model, TimeOrdered) else None
        if pk is not None:
            found = queryset.filter(pk=pk).first()
        elif any(field.name == "number" for field in model._meta.concrete_fields):
            found = queryset.filter(number=ref).first()
    if found is None:
        raise NotFound(f"There is no {model._meta.verbose_name} “{ref[:60]}”.")
    return found


__all__ = [
    "ANY_CALLER",
    "PUBLIC",
    "Caller",
    "DeclaredScope",
    "HubAPIView",
    "HubViewSet",
    "Parameter",
    "find",
    "paged",
]
