"""Settings of the REST API, its documentation, and OAuth2. Read by settings.py."""

from __future__ import annotations

from typing import Any

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_SCHEMA_CLASS": "apps.kernel.api.schema.HubSchema",
    "DEFAULT_RENDERER_CLASSES": ["apps.kernel.api.renderers.HubJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.kernel.api.parsers.HubJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.apikeys.authentication.APIKeyAuthentication",
        "apps.apikeys.authentication.TokenAuthentication",
        "apps.apikeys.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "apps.kernel.api.permissions.DeclaredScope",
        "apps.apikeys.restrictions.KeyRestrictions",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["apps.apikeys.limits.HubThrottle"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "apps.kernel.api.negotiation.JSONNegotiation",
    "DEFAULT_VERSIONING_CLASS": "apps.kernel.api.versions.HubVersioning",
    "DEFAULT_PAGINATION_CLASS": "apps.kernel.api.pagination.HubCursorPagination",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "apps.kernel.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "UNAUTHENTICATED_TOKEN": None,
    "URL_FORMAT_OVERRIDE": None,
    "FORMAT_SUFFIX_KWARG": None,
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "TEST_REQUEST_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "rest_framework.renderers.MultiPartRenderer",
    ],
}

DESCRIPTION = """\
Records, integrations, jobs, events and webhooks of one organization.

**Authentication.** Send an API key: `Authorization: Bearer sk_live_…`. Keys are made in the admin or at
`POST api-keys`. Each operation names the scope that it needs.

**Errors** are problem details (RFC 9457): `code` is for programs, `detail` for people, `errors` points at
each wrong value.

**Lists** come in pages: follow `next` and `previous`. `limit` is 50 unless told, at most 200.

**Idempotency.** Give each `POST` an `Idempotency-Key`; repeating the call within 24 hours gives the same
answer.

**Editing.** `GET` answers with an `ETag`; send it as `If-Match` when you change the object, and nobody's
change is lost.

The [guides](/api/docs/getting-started) tell more; the [changelog](/api/changelog) what became different.
"""

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Integration Hub",
    "DESCRIPTION": DESCRIPTION,
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "LICENSE": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": r"/api/v[0-9]+",
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": True,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    "SORT_OPERATION_PARAMETERS": False,
    "PREPROCESSING_HOOKS": ["apps.kernel.api.schema_hooks.only_versioned"],
    "POSTPROCESSING_HOOKS": ["apps.kernel.api.schema_hooks.finish"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "persistAuthorization": False,
        "displayOperationId": False,
        "filter": True,
        "requestSnippetsEnabled": True,
        "tryItOutEnabled": True,
        "defaultModelsExpandDepth": 0,
    },
}

# Endpoints and flows are the hub's own (apps.apikeys.oauth); this is for the toolkit's models and checks.
OAUTH2_PROVIDER: dict[str, Any] = {
    "OAUTH2_VALIDATOR_CLASS": "apps.apikeys.oauth.validator.HubValidator",
    "OAUTH2_BACKEND_CLASS": "apps.apikeys.oauth.server.Core",
    "SCOPES_BACKEND_CLASS": "apps.apikeys.scopes.HubScopes",
    "PKCE_REQUIRED": True,
    "ACCESS_TOKEN_EXPIRE_SECONDS": 900,
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 60,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 30 * 24 * 3600,
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
    "CLIENT_SECRET_HASHER": "hub_hmac_sha256",
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https", "http"],
    "ALLOW_URI_WILDCARDS": False,
    "ALLOW_LOCALHOST_LOOPBACK": True,
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
}
