"""django-oauth-toolkit's models, swapped so that applications and tokens belong to organizations.

Nothing in these tables can be used by who reads them: secrets and user codes are keyed hashes, tokens and
codes, which are random and long, SHA-256. A token is good while its family is: ending the family, one row,
ends everything that came from one consent, whatever is being refreshed at that moment.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractApplication,
    AbstractDeviceGrant,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
)

from apps.kernel.models import Stamped, TimeOrdered


class ApplicationManager(models.Manager["Application"]):
    def get_by_natural_key(self, client_id: str) -> Application:
        return self.get(client_id=client_id)


class Application(AbstractApplication):
    """An external app of an organization, for which people or itself may get tokens."""

    class Flow(models.TextChoices):
        AUTHORIZATION_CODE = "authorization_code", "A person agrees in their browser"
        DEVICE_CODE = "device_code", "A person types a code that a device shows"
        CLIENT_CREDENTIALS = "client_credentials", "It acts for itself, with its secret"

    # The toolkit knows one flow per application; this is the first of `flows`.
    GRANT_OF: ClassVar[dict[str, str]] = {
        Flow.AUTHORIZATION_CODE: AbstractApplication.GRANT_AUTHORIZATION_CODE,
        Flow.DEVICE_CODE: AbstractApplication.GRANT_DEVICE_CODE,
        Flow.CLIENT_CREDENTIALS: AbstractApplication.GRANT_CLIENT_CREDENTIALS,
    }

    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="applications",
        null=True,
        help_text="Whose data its tokens reach; without one, none.",
    )
    description = models.TextField(blank=True)
    homepage = models.CharField(
        "home page", blank=True, max_length=300, help_text="Where people learn what it is."
    )
    flows = models.JSONField(default=list, blank=True, help_text="The ways in which it gets tokens.")
    scopes = models.JSONField(default=list, blank=True, help_text="The most that its tokens may be granted.")
    shared = models.BooleanField(
        "open to other organizations",
        default=False,
        help_text="Members of other organizations may authorize it for their data, too.",
    )
    api_version = models.CharField(max_length=20, blank=True)
    is_active = models.BooleanField(default=True)
    secret_hint = models.CharField(max_length=8, blank=True, editable=False, help_text="The secret's end.")
    secret_rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    previous_secret = models.CharField(max_length=255, blank=True, editable=False)
    previous_secret_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.CharField(max_length=200, blank=True, editable=False)

    objects = ApplicationManager()

    class Meta(AbstractApplication.Meta):
        verbose_name = "OAuth application"
        ordering = ["name"]
        indexes = [
            models.Index(fields=["organization", "id"], name="application_org"),
            models.Index(fields=["organization", "name", "id"], name="application_name"),
        ]

    def __str__(self) -> str:
        return self.name or self.client_id

    @property
    def public_id(self) -> str:
        """The client id is what the outside knows it by."""
        return str(self.client_id)

    @property
    def is_public(self) -> bool:
        """Whether it runs where a secret cannot be kept: in a browser, on a phone, on a desk."""
        return bool(self.client_type == self.CLIENT_PUBLIC)

    @property
    def registered_uris(self) -> list[str]:
        return list(self.redirect_uris.split())

    @property
    def origins(self) -> list[str]:
        return list(self.allowed_origins.split())

    @property
    def updated_at(self) -> datetime:
        """As the API's ETags call it."""
        moment: datetime = self.updated
        return moment

    def allows_flow(self, flow: str) -> bool:
        return flow in self.flows

    def is_usable(self, request: Any = None) -> bool:
        """Whether it and its organization are active."""
        return bool(self.is_active and self.organization is not None and self.organization.is_active)


class TokenFamily(TimeOrdered):
    """All tokens that came from one sign-in or one consent, one after the other.

    Tokens are good only while `ended_at` is empty. Whoever refreshes changes this row first, so that
    refreshing and ending wait for each other. Without an application it is a chain of JSON Web Tokens.
    """

    PREFIX = "fam"

    class Origin(models.TextChoices):
        CODE = "code", "Consent in the browser"
        DEVICE = "device", "Code of a device"
        PASSWORD = "password", "E-mail and password"
        SESSION = "session", "Session of the admin"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+", db_index=False)
    application = models.ForeignKey(
        Application, on_delete=models.CASCADE, null=True, related_name="families", db_index=False
    )
    origin = models.CharField(max_length=12, choices=Origin.choices)
    scopes = models.JSONField(default=list)
    generation = models.PositiveIntegerField(default=0, help_text="How often it was refreshed.")
    pepper_id = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(help_text="Unless it is refreshed before.")
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=60, blank=True)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = "token family"
        verbose_name_plural = "token families"
        indexes = [
            models.Index(fields=["user", "application", "organization"], name="token_family_of"),
            models.Index(fields=["application", "id"], name="token_family_application"),
            models.Index(fields=["organization", "id"], name="token_family_org"),
            models.Index(fields=["expires_at"], name="token_family_expiry"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def needing_peppers(cls) -> models.QuerySet[TokenFamily]:
        """The families whose refresh tokens must still match."""
        return cls.objects.filter(ended_at=None, expires_at__gt=timezone.now())

    def is_live(self, now: datetime | None = None) -> bool:
        return self.ended_at is None and (now or timezone.now()) < self.expires_at


class Consent(TimeOrdered, Stamped):
    """What a person allowed an application to do in an organization. Remembered until it is taken back."""

    PREFIX = "cns"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="consents")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="consents")
    scopes = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "application", "organization"], name="consent_unique"),
        ]
        indexes = [models.Index(fields=["organization", "id"], name="consent_org")]

    def __str__(self) -> str:
        return f"{self.application} for {self.user}"


def _organization(null: bool) -> models.ForeignKey[Any, Any]:
    return models.ForeignKey("tenants.Organization", on_delete=models.CASCADE, related_name="+", null=null)


class AccessToken(AbstractAccessToken):
    """A bearer token. Without a user the application acts for itself."""

    organization = _organization(null=True)
    family = models.ForeignKey(TokenFamily, on_delete=models.CASCADE, null=True, related_name="+")

    objects = models.Manager["AccessToken"]()

    class Meta(AbstractAccessToken.Meta):
        indexes = [models.Index(fields=["expires"], name="access_token_expiry")]


class RefreshToken(AbstractRefreshToken):
    """Good once. Used tokens are kept while their family may live: seeing one again ends the family."""

    organization = _organization(null=True)
    family = models.ForeignKey(TokenFamily, on_delete=models.CASCADE, null=True, related_name="+")
    scope = models.TextField(blank=True, help_text="The most that may be asked for when refreshing.")

    objects = models.Manager["RefreshToken"]()

    class Meta(AbstractRefreshToken.Meta):
        pass


class IDToken(AbstractIDToken):
    """The toolkit asks for it. The hub's id tokens tell who signed in and open nothing, so none is kept."""

    objects = models.Manager["IDToken"]()

    class Meta(AbstractIDToken.Meta):
        pass


class Grant(AbstractGrant):
    """An authorization code, hashed. It is kept after its use, to recognize it when it comes again."""

    organization = _organization(null=True)
    family = models.ForeignKey(TokenFamily, on_delete=models.CASCADE, null=True, related_name="+")
    used_at = models.DateTimeField(null=True)
    auth_time = models.DateTimeField(null=True)

    objects = models.Manager["Grant"]()

    class Meta(AbstractGrant.Meta):
        indexes = [models.Index(fields=["expires"], name="grant_expiry")]


class DeviceGrant(AbstractDeviceGrant):
    """What a device asked for. Its codes are keyed hashes."""

    CONSUMED = "consumed"

    organization = _organization(null=True)
    auth_time = models.DateTimeField(null=True)
    polled_at = models.DateTimeField(null=True)

    objects = models.Manager["DeviceGrant"]()

    class Meta(AbstractDeviceGrant.Meta):
        indexes = [
            models.Index(fields=["user_code"], name="device_grant_user_code"),
            models.Index(fields=["expires"], name="device_grant_expiry"),
        ]
