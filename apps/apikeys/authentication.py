"""Who is calling: an API key or a token in a header, or a person who is signed in to the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from apps.apikeys import key_format, limiter
from apps.apikeys.errors import KeyInAddress, KeyRefused, TokenRefused
from apps.apikeys.models import APIKey
from apps.apikeys.principals import ApplicationPrincipal, KeyPrincipal, SessionPrincipal
from apps.apikeys.restrictions import check_source
from apps.apikeys.services import bearers, keys, verified
from apps.kernel.api.addresses import client_ip
from apps.kernel.api.problems import CHALLENGE
from apps.kernel.errors import Forbidden, Unauthenticated
from apps.tenants import selectors
from apps.tenants.models import Organization
from apps.tenants.principals import Actor


class KeyUser(AnonymousUser):
    """`request.user` of a keyed call: nobody in particular, but authenticated."""

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_anonymous(self) -> bool:  # type: ignore[override]
        return False


_KEY_USER = KeyUser()


class APIKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>` or `X-API-Key: <key>`.

    The order: checksum, digest, status and expiry, organization; then where the call comes from (addresses,
    HTTPS, origin, referer, user agent). Scopes, resources, size and limits follow in the view.

    Leaves on the Django request who came in (`hub_principal`), or the primary key of the key that was
    refused although its secret was right (`hub_refused_key`).
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        meta = request.META
        query = meta.get("QUERY_STRING")
        if query:
            refuse_key_in(query, request)
        text = _presented(meta)
        if text is None:
            return None
        inner: Any = request._request
        # What is remembered is no older than this; the limits ask anew if it has become old meanwhile.
        inner.hub_generation = limiter.generation()
        key = verified.recall(text)
        if key is None:
            taken = verified.generation()
            try:
                key = keys.verify(text)
            except KeyRefused as error:
                inner.hub_refused_key = error.key_id
                raise
            verified.remember(text, key, taken)
        ip = client_ip(request)
        try:
            check_source(key, request, ip)
        except Forbidden:
            inner.hub_refused_key = key.pk
            raise
        actor = Actor("api_key", key.number, key.name, ip, getattr(inner, "request_id", ""))
        principal = KeyPrincipal(key.organization, actor, scopes_of(key), key)
        inner.hub_principal = principal
        return _KEY_USER, principal

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def scopes_of(key: APIKey) -> frozenset[str]:
    """The key's scopes as a set, made once per cached key."""
    found: frozenset[str] | None = key.__dict__.get("_scopes")
    if found is None:
        found = key.__dict__["_scopes"] = frozenset(key.scopes)
    return found


def _presented(meta: Any) -> str | None:
    """The key that the headers carry. Raises KeyRefused for two different ones."""
    header = meta.get("HTTP_X_API_KEY")
    text = header.strip() if header else None
    authorization = meta.get("HTTP_AUTHORIZATION")
    if authorization:
        kind, _, credentials = authorization.partition(" ")
        credentials = credentials.strip()
        if kind.lower() == "bearer" and (text is not None or _for_us(credentials)):
            if text is not None and text != credentials:
                raise KeyRefused("Two different credentials were given. Send one.")
            text = credentials
    return text


def _for_us(credentials: str) -> bool:
    # Other bearer tokens have other shapes; what begins like a key is judged as one.
    return (
        credentials.partition("_")[0] in ("sk", "pk", "rk")
        or key_format.ANYWHERE.search(credentials) is not None
    )


def refuse_key_in(query: str, request: Any) -> None:
    """Raises KeyInAddress if a query string carries an API key; a real one is marked as exposed."""
    found = key_format.ANYWHERE.search(query)
    if found is None:
        return
    try:
        key = keys.verify(found.group())
    except Unauthenticated:
        pass
    else:
        keys.mark_exposed(key=key, actor=Actor("api_key", key.number, key.name, client_ip(request)))
    raise KeyInAddress(
        "An API key was sent in the address, where logs and histories keep it. Rotate that key, and send "
        "keys in the header “Authorization: Bearer <key>”."
    )


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`: an access token of OAuth2, or a JSON Web Token of `auth/token`.

    Keys were judged before. A token in the address is no token.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        inner: Any = request._request
        meta = inner.META
        kind, _, text = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        text = text.strip()
        if _for_us(text):
            return None
        inner.hub_generation = limiter.generation()
        bearer = bearers.find(text)
        if bearer is None:
            raise TokenRefused("The access token is not valid: unknown, expired or revoked. Get a new one.")
        user, application = bearer.user, bearer.application
        ip, request_id = client_ip(inner), getattr(inner, "request_id", "")
        if application is None:
            assert user is not None
            actor = Actor("user", user.email, str(user), ip, request_id)
        elif user is None:
            actor = Actor("application", application.client_id, application.name, ip, request_id)
        else:
            # Two people with one application are two actors.
            ref = f"{application.client_id}:{user.email}"
            actor = Actor("application", ref, f"{user} through {application.name}", ip, request_id)
        principal = ApplicationPrincipal(
            bearer.organization, actor, bearer.scopes, application, user, bearer.token_id
        )
        inner.hub_principal = principal
        return user if user is not None else _KEY_USER, principal

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SessionAuthentication(BaseAuthentication):
    """A person signed in to the admin, acting in their current organization with the scopes of their role.

    Unsafe methods need the CSRF token. Not consulted when credentials were given in a header.
    """

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        inner: Any = request._request
        if "HTTP_AUTHORIZATION" in inner.META:
            return None
        user = getattr(inner, "user", None)
        if user is None or not user.is_active or not user.is_authenticated:
            return None
        self.enforce_csrf(inner)
        organization = self.organization_of(inner, user)
        if organization is None:
            raise Forbidden("You are not a member of any active organization.", code="no_organization")
        actor = getattr(inner, "actor", None) or Actor(
            "user", user.email, str(user), client_ip(inner), getattr(inner, "request_id", "")
        )
        principal = SessionPrincipal(organization, actor, selectors.scopes_in(user, organization), user)
        inner.hub_principal = principal
        return user, principal

    @staticmethod
    def organization_of(request: Any, user: Any) -> Organization | None:
        """The organization chosen in the admin, else the person's first."""
        chosen: Organization | None = getattr(request, "organization", None)
        return chosen if chosen is not None else selectors.organizations_of(user).first()

    @staticmethod
    def enforce_csrf(request: Any) -> None:
        check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]
        check.process_request(request)
        reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]
        if reason:
            raise Forbidden(
                "The CSRF token is missing or wrong. Send the cookie's value in the header X-CSRFToken.",
                code="csrf_failed",
            )

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE
