"""Making, changing and ending OAuth applications. The only writer of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone

from apps.apikeys.errors import ScopeNotHeld
from apps.apikeys.hashers import KeyedHasher
from apps.apikeys.models import Application
from apps.apikeys.oauth import redirects, texts
from apps.apikeys.principals import KeyPrincipal
from apps.apikeys.scopes import mistake_in
from apps.apikeys.services import ceilings, issuing
from apps.audit.services import entries
from apps.kernel import ids
from apps.kernel.api.versions import versions
from apps.kernel.errors import FieldError, InvalidInput
from apps.tenants.models import Organization
from apps.tenants.principals import Actor, Principal

CHANGEABLE = (
    "name", "description", "homepage", "redirect_uris", "allowed_origins", "flows", "scopes", "shared",
    "api_version", "is_active",
)  # fmt: skip
DEFAULT_OVERLAP = timedelta(0)
LONGEST_OVERLAP = timedelta(days=7)
_MOST_URIS = 20
_ORIGIN = re.compile(r"(?:https://[A-Za-z0-9.-]+|http://(?:localhost|127\.0\.0\.1|\[::1\]))(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class IssuedApplication:
    """An application with the one copy of its secret that there will ever be; public ones have none."""

    application: Application
    secret: str = field(repr=False, default="")


@transaction.atomic
def create(
    *,
    organization: Organization,
    actor: Actor,
    name: str,
    flows: Collection[str] = (Application.Flow.AUTHORIZATION_CODE,),
    redirect_uris: Collection[str] = (),
    scopes: Collection[str] = (),
    public: bool = False,
    description: str = "",
    homepage: str = "",
    allowed_origins: Collection[str] = (),
    shared: bool = False,
    api_version: str = "",
    by: Principal | None = None,
) -> IssuedApplication:
    """Register an application. Its tokens may have at most `scopes`; those of people, at most their roles'.

    Raises InvalidInput with every mistake, ScopeNotHeld for more than `by` may do (None: the hub's commands).
    """
    application = Application(
        organization=organization,
        client_id=ids.public("app", ids.uuid7()),
        client_type=Application.CLIENT_PUBLIC if public else Application.CLIENT_CONFIDENTIAL,
        client_secret="",
        algorithm=Application.NO_ALGORITHM,
        created_by=(actor.label or f"{actor.kind} {actor.ref}".strip())[:200],
    )
    _set(
        application,
        {
            "name": name, "flows": flows, "redirect_uris": redirect_uris, "scopes": scopes,
            "description": description, "homepage": homepage, "allowed_origins": allowed_origins,
            "shared": shared, "api_version": api_version,
        },
    )  # fmt: skip
    clean(application)
    check_held(application, by)
    secret = "" if public else _new_secret(application)
    application.save(force_insert=True)
    entries.record(
        organization=organization,
        actor=actor,
        action="application.created",
        target=application,
        changes={name: ["", value] for name, value in _told(application).items() if value},
    )
    return IssuedApplication(application, secret)


@transaction.atomic
def change(
    *, application: Application, actor: Actor, by: Principal | None = None, **values: Any
) -> Application:
    """Change fields of CHANGEABLE. Less scopes, or no activity, count from the next call on.

    Raises InvalidInput, ScopeNotHeld.
    """
    unknown = set(values) - set(CHANGEABLE)
    if unknown:
        raise TypeError(f"Not to be set on an application: {', '.join(sorted(unknown))}.")
    application = _locked(application)
    before = _told(application)
    if set(values) - {"is_active"} or values.get("is_active"):
        check_held(application, by)
    was_active = application.is_active
    held = list(application.scopes)
    _set(application, values)
    clean(application, held)
    check_held(application, by, only_if_active=True)
    after = _told(application)
    changes = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
    if not changes:
        return application
    application.save()
    if was_active and not application.is_active:
        issuing.end_tokens_of(application)
    issuing.forget(application)
    entries.record(
        organization=application.organization,
        actor=actor,
        action="application.updated",
        target=application,
        changes=changes,
    )
    return application


@transaction.atomic
def rotate_secret(
    *,
    application: Application,
    actor: Actor,
    overlap: timedelta = DEFAULT_OVERLAP,
    by: Principal | None = None,
) -> IssuedApplication:
    """Give a confidential application a new secret; the old one counts for `overlap` yet (up to 7 days).

    Raises InvalidInput for a public one or another overlap, ScopeNotHeld.
    """
    application = _locked(application)
    if application.is_public:
        raise InvalidInput("A public application has no secret: it proves itself by PKCE.", code="public")
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        detail = f"The overlap is 0 to {LONGEST_OVERLAP.days} days."
        raise InvalidInput(detail, errors=[FieldError("/overlap_seconds", "out_of_range", detail)])
    check_held(application, by)
    now = timezone.now()
    old = application.client_secret if overlap else ""
    secret = _new_secret(application)
    application.previous_secret = old
    application.previous_secret_until = now + overlap if overlap else None
    application.secret_rotated_at = now
    application.save()
    entries.record(
        organization=application.organization,
        actor=actor,
        action="application.secret_rotated",
        target=application,
        changes={"old_ends": ["", application.previous_secret_until or now]},
    )
    return IssuedApplication(application, secret)


@transaction.atomic
def delete(*, application: Application, actor: Actor, by: Principal | None = None) -> None:
    """Remove an application with all its tokens and consents. People with the right may remove any; a program
    only what it could have made."""
    application = _locked(application)
    if not _is_person(by):
        check_held(application, by)
    issuing.end_tokens_of(application)
    entries.record(
        organization=application.organization,
        actor=actor,
        action="application.deleted",
        target=application,
        changes={name: [value, ""] for name, value in _told(application).items() if value},
    )
    application.delete()


def secrets_by_pepper() -> Counter[str]:
    """How many client secrets each pepper has hashed: present ones, and old ones that still count."""
    found: Counter[str] = Counter()
    rows = Application.objects.order_by().values_list(
        "client_secret", "previous_secret", "previous_secret_until"
    )
    now = timezone.now()
    for present, previous, until in rows.iterator():
        live = [present, previous if until is not None and until > now else ""]
        found.update(text.split("$")[1] for text in live if text.count("$") == 2)
    return found


def check_held(application: Application, by: Principal | None, *, only_if_active: bool = False) -> None:
    """Raises ScopeNotHeld if an application may do more than who deals with it.

    Otherwise somebody could get more than they have by giving it to an application of theirs, or by taking
    over a mightier one's secret or redirect address.
    """
    if by is None or (only_if_active and not application.is_active):
        return
    lacking = [scope for scope in application.scopes if not by.allows(scope)]
    if lacking:
        raise ScopeNotHeld(
            f"Not yours to give: {', '.join(lacking)}. An application may have at most your own scopes."
        )
    if isinstance(by, KeyPrincipal):
        held = ceilings.of(by)
        if held.is_restricted:
            raise ScopeNotHeld("A key with restrictions cannot deal with applications, which have none.")


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # https://[ and https://host:99999
        return False


def clean(application: Application, held: Collection[str] = ()) -> None:
    """Raises InvalidInput with everything that makes no sense. `held` are the scopes that it had before."""
    errors: list[FieldError] = []

    def wrong(pointer: str, code: str, detail: str) -> None:
        errors.append(FieldError(pointer, code, detail))

    name = application.name
    if not name or len(name) > 120 or any(ord(c) < 32 for c in name):
        wrong("/name", "invalid", "The name that people see when they are asked: 1 to 120 characters.")
    if application.homepage and not _is_web_address(application.homepage):
        wrong("/homepage", "invalid", "A home page is an address with http or https.")
    flows = application.flows
    if not flows or any(flow not in Application.Flow.values for flow in flows):
        wrong("/flows", "invalid_choice", f"At least one of {', '.join(Application.Flow.values)}.")
    if application.is_public and Application.Flow.CLIENT_CREDENTIALS in flows:
        detail = "An application that keeps no secret cannot act for itself."
        wrong("/flows", "not_for_public", detail)
    uris = application.registered_uris
    if Application.Flow.AUTHORIZATION_CODE in flows and not uris:
        detail = "Name at least one address that people are sent back to."
        wrong("/redirect_uris", "required", detail)
    if len(uris) > _MOST_URIS:
        wrong("/redirect_uris", "too_many", f"At most {_MOST_URIS} addresses.")
    for n, uri in enumerate(uris[:_MOST_URIS]):
        if mistake := redirects.mistake_in(uri, public=application.is_public):
            wrong(f"/redirect_uris/{n}", "invalid", mistake)
    for n, origin in enumerate(application.allowed_origins.split()):
        if not _ORIGIN.fullmatch(origin):
            wrong(
                f"/allowed_origins/{n}",
                "invalid",
                "An origin is https and a host, such as https://app.example.com; http is for localhost only.",
            )
    for n, scope in enumerate(application.scopes):
        if mistake := mistake_in(scope, held):
            wrong(f"/scopes/{n}", "invalid", mistake)
    if application.api_version and (mistake := versions.check_pin(application.api_version)):
        wrong("/api_version", "invalid_choice", mistake)
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors[:3]), errors=errors)


def _set(application: Application, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name in ("redirect_uris", "allowed_origins"):
            value = " ".join(dict.fromkeys(uri.strip() for uri in value if uri.strip()))
        elif name == "scopes":
            value = sorted({str(scope).strip() for scope in value})
        elif name == "flows":
            value = [flow for flow in Application.Flow.values if flow in value] or list(value)
        elif isinstance(value, str):
            value = value.strip()
        setattr(application, name, value)
    first = application.flows[0] if application.flows else ""
    application.authorization_grant_type = Application.GRANT_OF.get(first, "")


def _new_secret(application: Application) -> str:
    secret = texts.new(texts.CLIENT_SECRET)
    application.client_secret = KeyedHasher().encode(secret, "")
    application.secret_hint = secret[-4:]
    return secret


def _locked(application: Application) -> Application:
    return (
        Application.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=application.pk)
    )


def _told(application: Application) -> dict[str, Any]:
    return {
        "name": application.name,
        "client_type": application.client_type,
        "description": application.description,
        "homepage": application.homepage,
        "flows": list(application.flows),
        "redirect_uris": application.registered_uris,
        "allowed_origins": application.allowed_origins.split(),
        "scopes": list(application.scopes),
        "shared": application.shared,
        "api_version": application.api_version,
        "is_active": application.is_active,
    }


def _is_person(by: Principal | None) -> bool:
    return by is None or by.actor.kind == "user"
