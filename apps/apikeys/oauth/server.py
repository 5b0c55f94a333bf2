"""oauthlib's server with the flows that the hub speaks, and no others.

Code with PKCE (S256 alone), client credentials, refresh and device code. Neither implicit nor hybrid nor
password grants exist here, whatever an application's row says.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.http import HttpRequest
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauthlib.oauth2.rfc6749 import errors
from oauthlib.oauth2.rfc6749.endpoints import AuthorizationEndpoint, RevocationEndpoint, TokenEndpoint
from oauthlib.oauth2.rfc6749.grant_types import AuthorizationCodeGrant, ClientCredentialsGrant
from oauthlib.oauth2.rfc6749.grant_types.authorization_code import code_challenge_method_s256
from oauthlib.oauth2.rfc6749.grant_types.base import GrantTypeBase
from oauthlib.oauth2.rfc6749.tokens import BearerToken
from oauthlib.openid.connect.core.grant_types import AuthorizationCodeGrant as OpenIDCodeGrant
from oauthlib.openid.connect.core.grant_types import RefreshTokenGrant
from oauthlib.openid.connect.core.grant_types.dispatchers import (
    AuthorizationCodeGrantDispatcher,
    AuthorizationTokenGrantDispatcher,
)

from apps.apikeys.models import Application
from apps.apikeys.oauth import devices, texts
from apps.apikeys.oauth.validator import HubValidator
from apps.apikeys.services import issuing


class CodeGrant(AuthorizationCodeGrant):
    """Authorization code with PKCE, S256 alone."""

    _code_challenge_methods = {"S256": code_challenge_method_s256}

    def create_authorization_code(self, request: Any) -> dict[str, str]:
        grant = {"code": texts.new(texts.CODE)}
        if request.state:
            grant["state"] = request.state
        return grant


class OpenIDGrant(OpenIDCodeGrant):
    """The same, with an id token."""

    def __init__(self, validator: HubValidator) -> None:
        self.proxy_target = CodeGrant(validator)
        self.custom_validators.post_auth.append(self.openid_authorization_validator)
        self.register_token_modifier(self.add_id_token)


class DeviceGrantType(GrantTypeBase):
    """RFC 8628 at the token endpoint."""

    def create_token_response(self, request: Any, token_handler: Any) -> tuple[dict[str, str], str, int]:
        headers = self._get_default_headers()
        try:
            self._check(request)
        except errors.OAuth2Error as error:
            headers.update(error.headers)
            return headers, error.json, error.status_code
        token = token_handler.create_token(request, refresh_token=True)
        self.request_validator.save_token(token, request)
        if "openid" in request.scopes:
            claims = {"aud": request.client_id}
            token["id_token"] = self.request_validator.finalize_id_token(
                claims, token, token_handler, request
            )
        return headers, json.dumps(token), 200

    def _check(self, request: Any) -> None:
        validator = self.request_validator
        if validator.client_authentication_required(request):
            if not validator.authenticate_client(request):
                raise errors.InvalidClientError(request=request)
        elif not validator.authenticate_client_id(request.client_id, request):
            raise errors.InvalidClientError(request=request)
        self.validate_grant_type(request)
        code = getattr(request, "device_code", None)
        if not code:
            raise errors.InvalidRequestError(description="Missing device_code parameter.", request=request)
        devices.poll(code, request)


class HubServer(AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint):
    def __init__(self, validator: HubValidator) -> None:
        plain, openid = CodeGrant(validator), OpenIDGrant(validator)
        bearer = BearerToken(validator, texts.access_token, issuing.access_token_seconds, texts.refresh_token)
        AuthorizationEndpoint.__init__(
            self,
            default_response_type="code",
            response_types={"code": AuthorizationCodeGrantDispatcher(plain, openid)},
            default_token_type=bearer,
        )
        TokenEndpoint.__init__(
            self,
            default_grant_type="authorization_code",
            grant_types={
                "authorization_code": AuthorizationTokenGrantDispatcher(validator, plain, openid),
                "client_credentials": ClientCredentialsGrant(validator),
                "refresh_token": RefreshTokenGrant(validator),
                Application.GRANT_DEVICE_CODE: DeviceGrantType(validator),
            },
            default_token_type=bearer,
        )
        RevocationEndpoint.__init__(self, validator)
        self.request_validator = validator


class Core(OAuthLibCore):
    """From Django's requests to oauthlib's and back."""

    def extract_headers(self, request: HttpRequest) -> dict[str, Any]:
        """Only what is asked for; not the whole of META, which is copied and scanned each time."""
        meta = request.META
        found = {"Content-Type": meta.get("CONTENT_TYPE", "")}
        if "HTTP_AUTHORIZATION" in meta:
            found["Authorization"] = found["HTTP_AUTHORIZATION"] = meta["HTTP_AUTHORIZATION"]
        if "HTTP_ORIGIN" in meta:
            found["Origin"] = meta["HTTP_ORIGIN"]
        return found


@cache
def core() -> Core:
    """The one that this process works with."""
    return Core(HubServer(HubValidator()))
