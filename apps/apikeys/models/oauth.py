"""django-oauth-toolkit's models, swapped so that applications belong to organizations."""

from __future__ import annotations

from django.db import models
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractApplication,
    AbstractDeviceGrant,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
    ApplicationManager,
)


class Application(AbstractApplication):
    """An external app of an organization, for which people or itself may get tokens."""

    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="applications",
        null=True,
        help_text="Whose data its tokens reach. Empty only for what the toolkit registers by itself; reaches nothing.",
    )
    description = models.TextField(blank=True)
    scopes = models.JSONField(default=list, blank=True, help_text="The most that its tokens may be granted.")
    api_version = models.CharField(max_length=20, blank=True)
    is_active = models.BooleanField(default=True)

    objects = ApplicationManager()

    class Meta(AbstractApplication.Meta):
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name or self.client_id


class AccessToken(AbstractAccessToken):
    class Meta(AbstractAccessToken.Meta):
        pass


class RefreshToken(AbstractRefreshToken):
    class Meta(AbstractRefreshToken.Meta):
        pass


class IDToken(AbstractIDToken):
    class Meta(AbstractIDToken.Meta):
        pass


class Grant(AbstractGrant):
    class Meta(AbstractGrant.Meta):
        pass


class DeviceGrant(AbstractDeviceGrant):
    class Meta(AbstractDeviceGrant.Meta):
        pass
