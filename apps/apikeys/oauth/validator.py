"""The hub's answers to what oauthlib asks while it speaks OAuth2: clients, scopes, codes and id tokens.

The toolkit's validator with what it lacks: codes and user codes hashed, a code good once even at once, a code
or refresh token that comes again ends its family, organizations, exact redirect addresses. What is issued is
written by `services/issuing.py`.
"""

from __future__ import annotations

import base64
import binascii
import logging
from typing import Any
from urllib.parse import unquote_plus

from django.conf import settings
from django.utils import timezone
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauthlib.oauth2.rfc6749 import errors

from apps.apikeys.hashers import KeyedHasher
from apps.apikeys.models import Application, Grant, RefreshToken
from apps.apikeys.oauth import redirects, texts
from apps.apikeys.scopes import PERSONAL, is_scope
from apps.apikeys.services import families, issuing, people, signing
from apps.tenants import selectors
from apps.tenants.roles import allows

logger = logging.getLogger("hub.oauth")

_FLOWS = {
    "authorization_code": {Application.Flow.AUTHORIZATION_CODE},
    "client_credentials": {Application.Flow.CLIENT_CREDENTIALS},
    "refresh_token": {Application.Flow.AUTHORIZATION_CODE, Application.Flow.DEVICE_CODE},
    Application.GRANT_DEVICE_CODE: {Application.Flow.DEVICE_CODE},
}
ID_TOKEN_SECONDS = 3600


def secret_matches(application: Application, secret: str) -> bool:
    """Whether it is the application's secret, or the one before it while that still counts."""
    hasher = KeyedHasher()
    stored = application.client_secret
    if stored and hasher.verify(secret, stored):
        return True
    until = application.previous_secret_until
    return bool(
        application.previous_secret
        and until is not None
        and timezone.now() < until
        and hasher.verify(secret, application.previous_secret)
    )


class HubValidator(OAuth2Validator):
    # --- clients

    def _load_application(self, client_id: Any, request: Any) -> Application | None:
        known = request.client
        if isinstance(known, Application) and known.client_id == client_id:
            return known
        request.client = None
        if not isinstance(client_id, str) or "\x00" in client_id or len(client_id) > 255:
            return None
        found = Application.objects.select_related("organization").filter(client_id=client_id).first()
        if found is None or not found.is_usable(request):
            return None
        request.client = found
        return found

    def _basic(self, request: Any) -> tuple[str, str] | None:
        """Client id and secret of the Authorization header, or None without a Basic one."""
        kind, _, text = (request.headers.get("HTTP_AUTHORIZATION") or "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            client_id, separator, secret = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return ("", "")
        return (unquote_plus(client_id), unquote_plus(secret)) if separator else ("", "")

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Only an active public client that shows no secret need not prove itself."""
        if self._basic(request) is not None or request.client_secret:
            return True
        application = self._load_application(request.client_id, request)
        return application is None or not application.is_public

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        """Whether a confidential client has shown its secret, in one way only."""
        basic = self._basic(request)
        if basic is not None:
            client_id, secret = basic
            if request.client_secret or (request.client_id and request.client_id != client_id):
                return False
        else:
            client_id, secret = request.client_id or "", request.client_secret or ""
        application = self._load_application(client_id, request)
        if application is None or application.is_public:
            # As much work as for a known client with a wrong secret.
            KeyedHasher().encode(secret, "")
            request.client = None
            return False
        if not secret or "\x00" in secret or not secret_matches(application, secret):
            return False
        request.client_id = application.client_id
        return True

    def authenticate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        application = self._load_application(client_id, request)
        return application is not None and application.is_public

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return self._load_application(client_id, request) is not None

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return any(request.client.allows_flow(flow) for flow in _FLOWS.get(grant_type, ()))

    def validate_response_type(
        self, client_id: str, response_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return response_type == "code" and bool(client.allows_flow(Application.Flow.AUTHORIZATION_CODE))

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return True

    def is_origin_allowed(self, client_id: str, origin: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return request.client is not None and origin in request.client.allowed_origins.split()

    # --- redirect addresses and scopes

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return redirects.is_registered(redirect_uri, request.client.registered_uris)

    def confirm_redirect_uri(
        self, client_id: str, code: str, redirect_uri: str, client: Any, *args: Any, **kwargs: Any
    ) -> bool:
        request = args[0] if args else kwargs["request"]
        grant = self._grant(code, request)
        return grant is not None and grant.redirect_uri == redirect_uri

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        alone = request.grant_type == "client_credentials"
        for scope in scopes:
            if scope in PERSONAL:
                if alone:
                    return False
            elif not (is_scope(scope) or scope == "admin:*") or not allows(set(client.scopes), scope):
                return False
        return True

    def get_default_scopes(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return list(request.client.scopes)

    # --- codes

    def _grant(self, code: str, request: Any) -> Grant | None:
        """The code's row, once per request."""
        known = request.__dict__.setdefault("_hub_grant", {})
        if code not in known:
            rows = Grant.objects.select_related("user", "organization", "application")
            known[code] = rows.filter(code=texts.checksum(code)).first()
        found: Grant | None = known[code]
        return found

    def get_authorization_code_scopes(
        self, client_id: str, code: str, redirect_uri: str, request: Any
    ) -> list[str]:
        grant = self._grant(code, request)
        return grant.scope.split() if grant is not None else []

    def get_authorization_code_nonce(
        self, client_id: str, code: str, redirect_uri: str, request: Any
    ) -> str | None:
        grant = self._grant(code, request)
        return (grant.nonce or None) if grant is not None else None

    def save_authorization_code(
        self, client_id: str, code: dict[str, str], request: Any, *args: Any, **kwargs: Any
    ) -> None:
        issuing.authorization_code(request, code["code"])

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        grant = self._grant(code, request)
        if grant is None or grant.application_id != client.pk:
            return False
        if grant.used_at is not None:
            issuing.replayed(grant, request)
            return False
        organization = grant.organization
        if grant.is_expired() or organization is None or not organization.is_active:
            return False
        if not selectors.scopes_in(grant.user, organization):
            return False
        request.user, request.organization = grant.user, organization
        request.scopes = grant.scope.split()
        request.hub_auth_time = grant.auth_time
        return True

    def get_code_challenge(self, code: str, request: Any) -> str | None:
        grant = self._grant(code, request)
        return (grant.code_challenge or None) if grant is not None else None

    def get_code_challenge_method(self, code: str, request: Any) -> str | None:
        grant = self._grant(code, request)
        return (grant.code_challenge_method or None) if grant is not None else None

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        """It was used up in the transaction that issued the token."""

    # --- tokens

    def save_bearer_token(self, token: dict[str, Any], request: Any, *args: Any, **kwargs: Any) -> None:
        try:
            issuing.tokens(token, request)
        except issuing.UsedBefore as error:
            families.end_reused(error.family_id)
            raise errors.InvalidGrantError(request=request) from None
        except issuing.Ended:
            raise errors.InvalidGrantError(request=request) from None

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        row = (
            RefreshToken.objects.select_related("family", "user", "organization")
            .filter(token_checksum=texts.checksum(refresh_token), application=client)
            .order_by("-id")
            .first()
        )
        if row is None or row.family is None or row.organization is None:
            return False
        if row.revoked is not None:
            families.end_reused(row.family_id)
            return False
        if not row.family.is_live() or not row.organization.is_active:
            return False
        if row.organization_id != client.organization_id and not client.shared:
            return False
        if not selectors.scopes_in(row.user, row.organization):
            return False
        request.user, request.organization = row.user, row.organization
        request.refresh_token_instance = row
        request.hub_auth_time = row.family.created_at
        return True

    def get_original_scopes(self, refresh_token: str, request: Any, *args: Any, **kwargs: Any) -> str:
        return str(request.refresh_token_instance.scope)

    def rotate_refresh_token(self, request: Any) -> bool:
        return True

    def revoke_token(self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any) -> None:
        issuing.revoke(token, application=request.client)

    # --- id tokens

    def validate_silent_login(self, request: Any) -> bool:
        return True  # the view has looked

    def validate_silent_authorization(self, request: Any) -> bool:
        return True  # the view has looked

    def finalize_id_token(
        self, id_token: dict[str, Any], token: Any, token_handler: Any, request: Any
    ) -> str:
        now = int(timezone.now().timestamp())
        moment = getattr(request, "hub_auth_time", None) or request.user.last_login
        claims = {
            **id_token,
            "iss": settings.HUB_BASE_URL,
            "sub": people.subject(request.user),
            "azp": request.client_id,
            "iat": now,
            "exp": now + ID_TOKEN_SECONDS,
            **people.claims(request.user, request.scopes),
        }
        if moment is not None:
            claims["auth_time"] = int(moment.timestamp())
        return signing.sign(claims, typ="JWT")
