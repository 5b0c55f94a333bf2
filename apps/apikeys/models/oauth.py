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
)


class ApplicationManager(models.Manager["Application"]):
    def get_by_natural_key(self, client_id: str) -> Application:
        return self.get(client_id=client_id)


class Application(AbstractApplication):
    """An external app of an organization, for which people or itself may get tokens."""

    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="applications",
        null=True,
        help_text="Whose data its tokens reach; without one, none.",
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
    objects = models.Manager["AccessToken"]()

    class Meta(AbstractAccessToken.Meta):
        pass


class RefreshToken(AbstractRefreshToken):
    objects = models.Manager["RefreshToken"]()

    class Meta(AbstractRefreshToken.Meta):
        pass


class IDToken(AbstractIDToken):
    objects = models.Manager["IDToken"]()

    class Meta(AbstractIDToken.Meta):
        pass


class Grant(AbstractGrant):
    objects = models.Manager["Grant"]()

    class Meta(AbstractGrant.Meta):
        pass


class DeviceGrant(AbstractDeviceGrant):
    objects = models.Manager["DeviceGrant"]()

    class Meta(AbstractDeviceGrant.Meta):
        pass
