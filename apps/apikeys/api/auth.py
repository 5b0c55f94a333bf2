"""`/auth/token`: JSON Web Tokens for people."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.apikeys import sign_in
from apps.apikeys.errors import GrantRefused
from apps.apikeys.models import TokenFamily
from apps.apikeys.principals import SessionPrincipal
from apps.apikeys.services import families, sessions
from apps.kernel.api.addresses import client_ip
from apps.kernel.api.permissions import PUBLIC
from apps.kernel.api.serializers import StrictSerializer
from apps.kernel.api.views import HubAPIView
from apps.kernel.errors import RateLimited
from apps.tenants.middleware import actor_of
from apps.tenants.models import User

_LONGEST = 8192


class TokenRequestSerializer(StrictSerializer):
    """E-mail and password; or neither, with the session of the admin and its CSRF token."""

    email = serializers.CharField(required=False, max_length=254)
    password = serializers.CharField(required=False, max_length=1024, trim_whitespace=False, write_only=True)
    organization = serializers.CharField(
        required=False, max_length=120, help_text="Slug or id; may be left out by who is in one only."
    )
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        max_length=100,
        help_text="Less than the role holds, such as `records:read`. Left out: all that the role holds.",
    )


class RefreshRequestSerializer(StrictSerializer):
    refresh_token = serializers.CharField(max_length=200, write_only=True)


class RevokeRequestSerializer(StrictSerializer):
    token = serializers.CharField(max_length=_LONGEST, write_only=True, help_text="Refresh or access token.")


class TokensSerializer(serializers.Serializer[None]):
    """A pair of tokens. The refresh token is good once: each refresh gives the next."""

    access_token = serializers.CharField(read_only=True, help_text="A JSON Web Token, signed with RS256.")
    token_type = serializers.CharField(read_only=True)
    expires_in = serializers.IntegerField(read_only=True, help_text="Seconds that the access token lives.")
    refresh_token = serializers.CharField(read_only=True)
    refresh_expires_in = serializers.IntegerField(read_only=True)
    scope = serializers.CharField(read_only=True, help_text="What it may do, separated by spaces.")
    organization = serializers.CharField(read_only=True, help_text="The id of the organization.")


class _TokenView(HubAPIView):
    scopes = {"post": PUBLIC}
    sparse = False

    @staticmethod
    def tokens(issued: sessions.IssuedTokens) -> Response:
        data = {
            "access_token": issued.access,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "refresh_token": issued.refresh,
            "refresh_expires_in": int(families.LIFETIME.total_seconds()),
            "scope": " ".join(issued.scopes),
            "organization": issued.family.organization.public_id,
        }
        return Response(data, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


class TokenView(_TokenView):
    # Guesses are counted by account, too, together with those at the login page.
    public_rate = "60/m"
    inputs = {"post": TokenRequestSerializer}
    outputs = {"post": TokensSerializer}

    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """Get tokens for a person

        With e-mail and password, or with the session of the admin (and the header `X-CSRFToken`). The
        access token is sent as `Authorization: Bearer …`, lives 15 minutes, and may do what the person's role
        holds at each moment.
        """
        values = self.validated()
        inner = request._request
        if "password" in values or "email" in values:
            user = self._person(inner, values.get("email", ""), values.get("password", ""))
            origin, chosen = TokenFamily.Origin.PASSWORD, values.get("organization")
        else:
            caller = request.auth
            if not isinstance(caller, SessionPrincipal):
                raise GrantRefused("Give e-mail and password, or sign in to the admin first.")
            user, origin = caller.user, TokenFamily.Origin.SESSION
            chosen = values.get("organization") or caller.organization.slug
        issued = sessions.begin(
            user=user,
            organization=sessions.organization_for(user, chosen),
            origin=origin,
            actor=actor_of(inner, user),
            scopes=values.get("scopes"),
            user_agent=request.META.get("HTTP_USER_AGENT", ""),
        )
        return self.tokens(issued)

    @staticmethod
    @sensitive_variables()
    def _person(request: HttpRequest, email: str, password: str) -> User:
        attempt = sign_in.Attempt(request, email)
        if attempt.wait:
            raise RateLimited("Too many attempts to sign in. Wait a while.", retry_after=attempt.wait)
        user = sessions.authenticated(request, email=email, password=password)
        attempt.forget()
        return user


class TokenRefreshView(_TokenView):
    inputs = {"post": RefreshRequestSerializer}
    outputs = {"post": TokensSerializer}

    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """Get the next pair of tokens

        The refresh token is used up by this. One that comes a second time, at once or later, ends every token
        of that sign-in: somebody else may have it.
        """
        text = self.validated()["refresh_token"]
        return self.tokens(sessions.refresh(text, ip=client_ip(request._request)))


class TokenRevokeView(_TokenView):
    inputs = {"post": RevokeRequestSerializer}
    outputs = {"post": (204, None)}

    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """End a sign-in

        Takes its refresh token or its access token, and ends both and all that came before. What is no token
        of ours is answered alike.
        """
        sessions.revoke(self.validated()["token"], ip=client_ip(request._request))
        return Response(status=204, headers={"Cache-Control": "no-store"})
