"""What holds for every address of the API, those included that will be added."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from django.urls import URLPattern, URLResolver
from rest_framework.test import APIClient

from apps.apikeys.services import keys, usage, verified
from apps.audit.models import AuditEntry
from apps.kernel.api.permissions import ANY_CALLER, PUBLIC
from apps.kernel.api.schema import HubSchema
from apps.kernel.api.views import HubAPIView
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.roles import SCOPES, Role, allows
from apps.tenants.services import organizations
from integration_hub.api import routes
from tests.house.samples import Maker

RESOURCES = {scope.partition(":")[0] for scopes in SCOPES.values() for scope in scopes} - {"*"}
# What is the same for everybody, by its address.
# What every caller may ask about themselves.
OWN_ADDRESSES = {"api-keys/current", "api-keys/current/collect"}
GLOBAL = {
    "connectors/{slug}",
    "event-types/{id}",
    "versions/{version_name}",
    "versions/{version_name}/changes",
    # The door of providers: they belong to no organization, and their calls are counted.
    "webhooks/receive/{code}",
}
# What strangers may call: it proves itself by other means than credentials.
PUBLIC_ADDRESSES = {
    "webhooks/receive/{code}",
    "versions",
    "versions/{version_name}",
    "versions/{version_name}/changes",
    "health",
    "health/live",
    "health/ready",
    "export/{id}/download",
    "auth/token",
    "auth/token/refresh",
    "auth/token/revoke",
}


@dataclass(frozen=True)
class Operation:
    """One method at one address."""

    address: str
    method: str
    view: type[HubAPIView]
    what: str

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.address}"

    @property
    def scope(self) -> str | None:
        return self.view.scopes.get(self.what, self.view.scopes.get(self.method))

    @property
    def variables(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.address)


def _operations(patterns: list[Any], prefix: str = "") -> Iterator[Operation]:
    for pattern in patterns:
        text = prefix + _address(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from _operations(pattern.url_patterns, text)
            continue
        assert isinstance(pattern, URLPattern)
        view = getattr(pattern.callback, "cls", None)
        assert view is not None, f"{text} is not a view of the API's base classes"
        assert issubclass(view, HubAPIView), f"{text}: {view.__name__} is not a HubAPIView"
        actions = getattr(pattern.callback, "actions", None)
        methods = actions or {name: name for name in view.http_method_names if hasattr(view, name)}
        for method, what in methods.items():
            if method not in ("options", "head"):
                yield Operation(text, method, view, what)


def _address(pattern: str) -> str:
    text = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"{\1}", pattern)
    text = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", text)
    return re.sub(r"[\^$]|\\Z", "", text)


OPERATIONS = list(_operations(list(routes)))


def test_the_addresses_are_found() -> None:
    found = {str(operation) for operation in OPERATIONS}
    assert len(OPERATIONS) > 40
    assert {"GET api-keys", "POST records/{dataset}/bulk", "DELETE records/{dataset}/{id}"} <= found


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_operation_declares_a_scope_that_some_role_has(operation: Operation) -> None:
    scope = operation.scope
    assert scope, f"{operation} declares no scope: it would answer 403"
    if scope == PUBLIC:
        assert operation.address in PUBLIC_ADDRESSES, f"{operation} is open to everybody"
        return
    if scope == ANY_CALLER:
        assert operation.address in OWN_ADDRESSES, f"{operation} needs no scope"
        return
    resource, _, action = scope.partition(":")
    assert resource in RESOURCES, f"{operation} needs {scope}, which no role names"
    assert action in ("read", "write", "delete", "manage"), f"{operation} needs {scope}"
    assert allows(SCOPES[Role.ADMIN], scope) or allows(SCOPES[Role.OWNER], scope)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_reading_needs_reading_and_writing_more(operation: Operation) -> None:
    if operation.scope in (PUBLIC, ANY_CALLER, None):
        return
    action = str(operation.scope).partition(":")[2]
    if operation.method == "get":
        assert action in ("read", "manage"), f"{operation} reads with {operation.scope}"
    else:
        assert action != "read" or operation.address.endswith(("/validate", "/preview")), (
            f"{operation} changes with {operation.scope}"
        )
    if operation.method == "delete":
        assert action in ("delete", "manage"), f"{operation} deletes with {operation.scope}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_addresses_have_one_form(operation: Operation) -> None:
    assert re.fullmatch(r"[a-z0-9{}/_.-]+", operation.address), operation.address
    assert not operation.address.endswith("/")
    assert "pk" not in operation.variables


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_operation_is_described_by_the_houses_schema(operation: Operation) -> None:
    assert isinstance(operation.view.schema, HubSchema)


# The sweep: everything of another organization, at every address.


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def globex(db: None) -> Organization:
    return organizations.create(name="Globex")


@pytest.fixture
def client(acme: Organization) -> Iterator[APIClient]:
    verified.forget_all()
    usage.forget_all()
    issued = keys.create(
        organization=acme,
        name="sweep",
        actor=SYSTEM,
        scopes=["*:*"],
        permissions=keys.ALL_PERMISSIONS,
        never_expires=True,
    )
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
    yield client
    verified.forget_all()


def _owned() -> list[type[models.Model]]:
    """Every model of ours whose rows belong to an organization."""
    return [
        model
        for model in apps.get_models()
        if model.__module__.startswith("apps.")
        and any(field.name == "organization" for field in model._meta.concrete_fields)
        and model._meta.app_label != "apikeys"
    ]


def _names(row: models.Model) -> set[str]:
    """All that a row might be asked for by."""
    found = {str(row.pk), row.pk.hex if hasattr(row.pk, "hex") else ""}
    for name in ("number", "public_id", "slug", "code"):
        found.add(str(getattr(row, name, "") or ""))
    key = getattr(row, "key", None)
    if key:
        found.add(f"key:{key}")
    return {name for name in found if len(name) > 3 and "<" not in name}


def _state(organization: Organization) -> dict[str, list[Any]]:
    return {
        model._meta.label: list(
            model._base_manager.filter(organization=organization).order_by("pk").values_list()
        )
        for model in [*_owned(), apps.get_model("apikeys", "APIKey")]
    }


@pytest.fixture
def foreign(globex: Organization) -> set[str]:
    """The names of one row of every kind that Globex has, and nobody else."""
    maker = Maker(globex)
    names: set[str] = set()
    for model in _owned():
        if model is not AuditEntry:
            names |= _names(maker.make(model))
    theirs = keys.create(organization=globex, name="theirs", actor=SYSTEM)
    names |= {theirs.key.public_id, str(theirs.key.pk)}
    assert len(names) > 40
    return names


def _calls(operation: Operation, foreign: set[str]) -> Iterator[str]:
    """The operation's addresses with foreign names, and with one's own where there are two."""
    for name in sorted(foreign):
        quoted = name.replace("/", "%2F").replace(" ", "%20")
        if len(operation.variables) == 1:
            yield re.sub(r"{\w+}", quoted, operation.address)
        elif operation.variables:
            yield operation.address.replace("{dataset}", "clients").replace("{id}", quoted)
            yield operation.address.replace("{dataset}", quoted).replace("{id}", quoted)


@pytest.mark.parametrize(
    "operation", [o for o in OPERATIONS if o.variables and o.address not in GLOBAL], ids=str
)
def test_what_belongs_to_another_organization_is_not_there(
    operation: Operation, client: APIClient, foreign: set[str], globex: Organization
) -> None:
    before = _state(globex)
    for address in _calls(operation, foreign):
        response = getattr(client, operation.method)(f"/api/v1/{address}", format="json")
        # A body may be refused before the object is looked for; that tells nothing.
        expected = (404,) if operation.method in ("get", "delete") else (400, 404, 415, 422)
        if operation.scope == PUBLIC:
            expected = (401, 403, 404)
        assert response.status_code in expected, (address, response.status_code, response.content[:300])
    assert _state(globex) == before


@pytest.mark.parametrize(
    "operation",
    [o for o in OPERATIONS if o.method == "get" and not o.variables and o.scope != PUBLIC],
    ids=str,
)
def test_lists_and_filters_show_nothing_of_another_organization(
    operation: Operation, client: APIClient, foreign: set[str]
) -> None:
    addresses = [f"/api/v1/{operation.address}"]
    for parameter in operation.view.parameters_of(operation.what).values():
        if (
            parameter.type == "string"
            and not parameter.choices
            and parameter.name not in ("cursor", "fields")
        ):
            addresses += [f"/api/v1/{operation.address}?{parameter.name}={name}" for name in sorted(foreign)]
    for address in addresses:
        response = client.get(address)
        assert response.status_code in (200, 400, 404, 422), address
        if response.status_code == 200:
            text = (response.getvalue() if response.streaming else response.content).decode()
            assert "Globex" not in text
            shown = [name for name in foreign if name in text and name not in address and "_" in name]
            assert shown == [], address


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.scope != PUBLIC], ids=str)
def test_without_credentials_nothing_is_told(operation: Operation, db: None) -> None:
    address = re.sub(r"{\w+}", "x", operation.address)
    response = getattr(APIClient(raise_request_exception=False), operation.method)(f"/api/v1/{address}")
    assert response.status_code == 401, (operation, response.content[:200])
    assert response["Content-Type"] == "application/problem+json"
