"""How callers authenticate, for OpenAPI."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from apps.apikeys.scopes import supported, tell


class APIKeyScheme(OpenApiAuthenticationExtension):
    target_class = "apps.apikeys.authentication.APIKeyAuthentication"
    name = ["bearerKey", "headerKey"]

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        return [
            {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "API key",
                "description": "An API key, such as sk_live_…, in the header Authorization: Bearer.",
            },
            {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": "The same key, in a header of its own.",
            },
        ]

    def get_security_requirement(self, auto_schema: AutoSchema) -> Any:
        scopes = auto_schema.view.required_scopes()  # type: ignore[attr-defined]
        return [{"bearerKey": scopes}, {"headerKey": scopes}]


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "apps.apikeys.authentication.TokenAuthentication"
    name = ["oauth2", "bearerToken"]

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        scopes = {scope: tell(scope).sentence for scope in supported()}
        return [
            {
                "type": "oauth2",
                "description": "An external application, for a person or for itself. Codes need PKCE (S256).",
                "flows": {
                    "authorizationCode": {
                        "authorizationUrl": "/oauth/authorize",
                        "tokenUrl": "/oauth/token",
                        "refreshUrl": "/oauth/token",
                        "scopes": scopes,
                    },
                    "clientCredentials": {"tokenUrl": "/oauth/token", "scopes": scopes},
                },
            },
            {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A JSON Web Token of `POST /api/v1/auth/token`.",
            },
        ]

    def get_security_requirement(self, auto_schema: AutoSchema) -> Any:
        scopes = auto_schema.view.required_scopes()  # type: ignore[attr-defined]
        return [{"oauth2": scopes}, {"bearerToken": scopes}]


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "apps.apikeys.authentication.SessionAuthentication"
    name = "adminSession"

    def get_security_definition(self, auto_schema: AutoSchema) -> Any:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "hub_session",
            "description": "The session of somebody signed in to the admin; unsafe methods need X-CSRFToken.",
        }

    def get_security_requirement(self, auto_schema: AutoSchema) -> Any:
        return {"adminSession": auto_schema.view.required_scopes()}  # type: ignore[attr-defined]
