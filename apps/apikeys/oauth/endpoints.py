"""The endpoints that programs call: token, revocation, introspection, device authorization, user info."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from oauthlib.common import Request

from apps.apikeys.models import AccessToken, Application, RefreshToken
from apps.apikeys.oauth import devices, texts
from apps.apikeys.oauth.server import core
from apps.apikeys.services import bearers, people
from apps.kernel.api.problems import respond
from apps.kernel.errors import Unauthenticated

FORM = "application/x-www-form-urlencoded"
LONGEST = 64 * 1024
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

View = Callable[[HttpRequest], HttpResponse]


def told(error: str, description: str, status: int = 400, **headers: str) -> HttpResponse:
    """An error as OAuth2 tells it (RFC 6749 §5.2)."""
    body = {"error": error, "error_description": description}
    return JsonResponse(body, status=status, headers={**_NO_STORE, **headers})


def form_endpoint(view: View) -> View:
    """A POST with a form of reasonable size, each parameter once, all of it text."""

    @csrf_exempt
    @sensitive_post_parameters()
    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": "POST, OPTIONS"})
        if request.method != "POST":
            return told("invalid_request", "Use POST.", 405, Allow="POST, OPTIONS")
        if (request.content_type or "").lower() != FORM:
            return told("invalid_request", f"Send a body of type {FORM}.")
        if request.GET:
            return told("invalid_request", "Parameters belong into the body, not into the address.")
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > LONGEST:
            return told("invalid_request", f"The body may have at most {LONGEST:,} bytes.", 413)
        try:
            for name, values in request.POST.lists():
                if len(values) > 1 and name != "resource":
                    return told("invalid_request", "A parameter is given more than once.")
                if any("\x00" in text or "\ufffd" in text for text in (name, *values)):
                    return told("invalid_request", "A parameter holds characters that are not text.")
        except (SuspiciousOperation, RequestDataTooBig, UnreadablePostError, ValueError):
            return told("invalid_request", "The body could not be read.")
        return view(request)

    return checked


@form_endpoint
@sensitive_variables()
def token(request: HttpRequest) -> HttpResponse:
    """`POST /oauth/token`."""
    _, headers, body, status = core().create_token_response(request)
    response = HttpResponse(body, status=status, content_type="application/json")
    for name, value in {**headers, **_NO_STORE}.items():
        response.headers[name] = value
    if status == 401:
        _challenge(request, response)
    return response


@form_endpoint
@sensitive_variables()
def revoke(request: HttpRequest) -> HttpResponse:
    """`POST /oauth/revoke` (RFC 7009). What is unknown, or another client's, is answered alike: 200."""
    if request.POST.get("token_type_hint") not in (None, "access_token", "refresh_token"):
        return told("unsupported_token_type", "The hint is access_token or refresh_token.")
    _, headers, body, status = core().create_revocation_response(request)
    response = HttpResponse(body or "", status=status, content_type="application/json")
    for name, value in {**headers, **_NO_STORE}.items():
        response.headers[name] = value
    if status == 401:
        _challenge(request, response)
    return response


@form_endpoint
@sensitive_variables()
def introspect(request: HttpRequest) -> HttpResponse:
    """`POST /oauth/introspect` (RFC 7662), for clients with a secret.

    They learn about their own tokens and those for their organization's data; of any other only that it is
    not active.
    """
    client = _client(request)
    if client is None:
        response = told("invalid_client", "Client authentication failed.", 401)
        _challenge(request, response)
        return response
    text = request.POST.get("token", "")
    if not text:
        return told("invalid_request", "Missing token parameter.")
    return JsonResponse(_about(text, client) or {"active": False}, headers=_NO_STORE)


@form_endpoint
def device_authorization(request: HttpRequest) -> HttpResponse:
    """`POST /oauth/device-authorization` (RFC 8628)."""
    asked = _request(request)
    validator = core().server.request_validator
    if validator.client_authentication_required(asked):
        known = validator.authenticate_client(asked)
    else:
        known = validator.authenticate_client_id(asked.client_id, asked)
    if not known:
        response = told("invalid_client", "Client authentication failed.", 401)
        _challenge(request, response)
        return response
    application: Application = asked.client
    if not application.allows_flow(Application.Flow.DEVICE_CODE):
        return told("unauthorized_client", "This application is not registered for the device flow.")
    scopes = request.POST.get("scope", "").split() or list(application.scopes)
    if not validator.validate_scopes(application.client_id, scopes, application, asked):
        return told("invalid_scope", "The application is not registered for one of these scopes.")
    return JsonResponse(devices.begin(application, scopes), headers=_NO_STORE)


@csrf_exempt
def userinfo(request: HttpRequest) -> HttpResponse:
    """`GET` or `POST /oauth/userinfo` (OpenID Connect): who the token's person is, as its scopes allow."""
    if request.method not in ("GET", "POST"):
        return HttpResponse(status=405, headers={"Allow": "GET, POST"})
    kind, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    bearer = bearers.find(text.strip()) if kind.lower() == "bearer" and text else None
    if bearer is None or bearer.user is None or "openid" not in bearer.granted:
        error = Unauthenticated("Show an access token that was given the scope openid.", code="invalid_token")
        response = respond(request, error)
        error_word = 'error="invalid_token"' if text else ""
        scope = 'scope="openid"'
        response.headers["WWW-Authenticate"] = ", ".join(
            part for part in ('Bearer realm="Integration Hub"', error_word, scope) if part
        )
        return response
    body = {"sub": people.subject(bearer.user), **people.claims(bearer.user, bearer.granted)}
    return JsonResponse(body, headers=_NO_STORE)


def _request(request: HttpRequest) -> Any:
    uri, method, body, headers = core()._extract_params(request)
    return Request(uri, method, body, headers)


def _client(request: HttpRequest) -> Application | None:
    """The confidential client that has proved itself."""
    asked = _request(request)
    return asked.client if core().server.request_validator.authenticate_client(asked) else None


def _may_see(organization_id: Any, application: Application | None, client: Application) -> bool:
    if application is not None and application.pk == client.pk:
        return True
    return bool(organization_id == client.organization_id)


def _about(text: str, client: Application) -> dict[str, Any] | None:
    """What introspection tells of a good token, or None."""
    bearer = bearers.look_up(text)
    if bearer is not None and _may_see(bearer.organization.pk, bearer.application, client):
        found: dict[str, Any] = {
            "active": True,
            "iss": settings.HUB_BASE_URL,
            "token_type": "Bearer",
            "scope": " ".join(bearer.granted),
            "exp": int(bearer.expires),
            "organization": bearer.organization.public_id,
            "jti": bearer.token_id,
        }
        if bearer.row_id is not None:
            created = AccessToken.objects.values_list("created", flat=True).get(pk=bearer.row_id)
            found["iat"] = int(created.timestamp())
        return {**found, **_of_whom(bearer.application, bearer.user)}
    row = (
        RefreshToken.objects.select_related("family", "application", "user", "organization")
        .filter(token_checksum=texts.checksum(text), revoked=None)
        .first()
    )
    if row is None or row.family is None or row.organization is None or not row.family.is_live():
        return None
    if not row.application.is_usable() or not _may_see(row.organization_id, row.application, client):
        return None
    return {
        "active": True,
        "iss": settings.HUB_BASE_URL,
        "token_type": "refresh_token",
        "scope": row.scope,
        "iat": int(row.created.timestamp()),
        "exp": int(row.family.expires_at.timestamp()),
        "organization": row.organization.public_id,
        **_of_whom(row.application, row.user),
    }


def _of_whom(application: Application | None, user: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if application is not None:
        found["client_id"] = application.client_id
    if user is not None:
        found |= {"sub": people.subject(user), "username": user.email}
    elif application is not None:
        found["sub"] = application.client_id
    return found


def _challenge(request: HttpRequest, response: HttpResponse) -> None:
    """RFC 6749 §5.2: whoever tried the Authorization header is told the scheme that counts here."""
    response.headers["WWW-Authenticate"] = 'Basic realm="Integration Hub", charset="UTF-8"'


__all__ = [
    "device_authorization", "introspect", "revoke", "token", "told", "userinfo",
]  # fmt: skip
