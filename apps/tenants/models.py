"""Whose it is: organizations, their projects and members."""

from __future__ import annotations

from typing import Any, ClassVar
from zoneinfo import available_timezones

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models

from apps.kernel.models import Stamped, TimeOrdered
from apps.tenants.roles import Role


def validate_timezone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError(f"“{value}” is not a time zone of the IANA database, such as Europe/Berlin.")


class UserManager(BaseUserManager["User"]):
    """Users are found by their e-mail address, whatever its case."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):  # type: ignore[django-manager-missing]
    """A person who signs in to the admin. What they may do follows from their memberships."""

    username = None  # type: ignore[assignment]
    email = models.EmailField("e-mail address", unique=True)
    must_change_password = models.BooleanField(
        default=False,
        help_text="The password was given out by somebody else and is to be changed at the next sign-in.",
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()  # type: ignore[misc,assignment]

    def __str__(self) -> str:
        return self.get_full_name() or self.email

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(raw_password)
        self.must_change_password = False


class Organization(TimeOrdered, Stamped):  # type: ignore[django-manager-missing]
    """The tenant. Every row in the hub belongs to one; nothing crosses from one to another."""

    PREFIX = "org"

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    currency = models.CharField(max_length=3, default="EUR", help_text="ISO 4217 code of the home currency.")
    is_active = models.BooleanField(default=True)
    allow_http = models.BooleanField(
        "allow unencrypted HTTP",
        default=False,
        help_text="Let webhooks and integrations use http:// addresses.",
    )

    import_deletion_limit = models.PositiveIntegerField(
        "deletions without asking",
        default=1_000,
        help_text="An import that replaces all records asks before it deletes more of them than this.",
    )
    import_deletion_percent = models.PositiveSmallIntegerField(
        "deletions without asking, in percent",
        default=25,
        validators=[MaxValueValidator(100)],
        help_text="It also asks before it deletes more than ten records that are a larger part of all.",
    )

    api_version = models.CharField(
        "API version",
        max_length=20,
        blank=True,
        help_text="Pin of keys and applications that have none, such as v2 or v2@2026-11-15.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Project(TimeOrdered, Stamped):
    """A part of an organization that integrations, webhooks and imports may be assigned to."""

    PREFIX = "prj"

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60)
    description = models.TextField(blank=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="project_slug_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(Stamped):
    """A user's role in an organization."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.STAFF)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["organization", "user"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class NumberSequence(models.Model):
    """The last number given out, per organization, prefix and year."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    prefix = models.CharField(max_length=8)
    year = models.PositiveSmallIntegerField()
    last = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "prefix", "year"], name="sequence_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}-{self.year}-{self.last:05d}"
