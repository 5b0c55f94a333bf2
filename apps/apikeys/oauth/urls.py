"""Addresses of the authorization server; the roof mounts them at the root."""

from __future__ import annotations

from django.urls import path

from apps.apikeys.oauth import endpoints, metadata, pages

urlpatterns = [
    path("oauth/authorize", pages.authorize, name="oauth-authorize"),
    path("oauth/device", pages.device, name="oauth-device"),
    path("oauth/token", endpoints.token, name="oauth-token"),
    path("oauth/revoke", endpoints.revoke, name="oauth-revoke"),
    path("oauth/introspect", endpoints.introspect, name="oauth-introspect"),
    path("oauth/device-authorization", endpoints.device_authorization, name="oauth-device-authorization"),
    path("oauth/userinfo", endpoints.userinfo, name="oauth-userinfo"),
    path(".well-known/oauth-authorization-server", metadata.authorization_server, name="oauth-metadata"),
    path(".well-known/openid-configuration", metadata.authorization_server, name="openid-configuration"),
    path(".well-known/oauth-protected-resource", metadata.protected_resource),
    path(".well-known/oauth-protected-resource/api", metadata.protected_resource, name="oauth-resource"),
    path(".well-known/jwks.json", metadata.key_set, name="jwks"),
]
