"""OpenAPI from the declarations on the views."""

from __future__ import annotations

from drf_spectacular.openapi import AutoSchema


class HubSchema(AutoSchema):
    """Placeholder of the extensions below."""
