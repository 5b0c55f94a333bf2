"""What clients read to set themselves up: RFC 8414, OpenID Connect Discovery, RFC 9728 and the key set."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from apps.apikeys.models import Application
from apps.apikeys.scopes import supported
from apps.apikeys.services import signing

_SECRET_METHODS = ["client_secret_basic", "client_secret_post"]


def document() -> dict[str, Any]:
    """Where each endpoint is, and what it understands."""
    base = settings.HUB_BASE_URL
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/oauth/authorize",
        "token_endpoint": f"{base}/oauth/token",
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "userinfo_endpoint": f"{base}/oauth/userinfo",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "introspection_endpoint": f"{base}/oauth/introspect",
        "device_authorization_endpoint": f"{base}/oauth/device-authorization",
        "scopes_supported": supported(),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code",
            "client_credentials",
            "refresh_token",
            Application.GRANT_DEVICE_CODE,
        ],
        "token_endpoint_auth_methods_supported": [*_SECRET_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*_SECRET_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": _SECRET_METHODS,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "claims_parameter_supported": False,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [signing.ALGORITHM],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "azp", "at_hash", "name", "given_name",
            "family_name", "email", "email_verified",
        ],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "service_documentation": f"{base}/api/docs",
        "ui_locales_supported": ["en"],
    }  # fmt: skip


def resource() -> dict[str, Any]:
    base = settings.HUB_BASE_URL
    return {
        "resource": f"{base}/api",
        "authorization_servers": [base],
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "scopes_supported": [scope for scope in supported() if ":" in scope],
        "bearer_methods_supported": ["header"],
        "resource_name": "Integration Hub",
        "resource_documentation": f"{base}/api/docs",
    }


@require_safe
def authorization_server(request: HttpRequest) -> HttpResponse:
    """`/.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`."""
    return _public(document(), 3600)


@require_safe
def protected_resource(request: HttpRequest) -> HttpResponse:
    """`/.well-known/oauth-protected-resource/api` (RFC 9728)."""
    return _public(resource(), 3600)


@require_safe
def key_set(request: HttpRequest) -> HttpResponse:
    """`/.well-known/jwks.json`: what id tokens and access JWTs are checked with."""
    return _public(signing.key_set(), 300)


def _public(body: dict[str, Any], seconds: int) -> HttpResponse:
    headers = {"Cache-Control": f"public, max-age={seconds}", "Access-Control-Allow-Origin": "*"}
    return JsonResponse(body, headers=headers)
