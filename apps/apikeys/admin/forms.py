"""The forms of a key, and the questions that its actions ask."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from apps.apikeys.admin.scope_grid import ScopesField
from apps.apikeys.models import APIKey
from apps.apikeys.models.limits import PER_WINDOW
from apps.apikeys.services.keys import (
    ALERTS,
    ALL_PERMISSIONS,
    DEFAULT_PERMISSIONS,
    RESTRICTIONS,
    ROTATION,
)
from apps.apikeys.services.limits import MOST
from apps.kernel.admin import MonoTextarea
from apps.kernel.admin.display import duration
from apps.kernel.api.versions import versions
from apps.kernel.errors import FieldError, InvalidInput

EVERYTHING, READING, CHOSEN = "everything", "reading", "chosen"

LIMITS = tuple(PER_WINDOW.values())

OVERLAPS = (
    ("0", "At once"),
    ("3600", "1 hour"),
    ("86400", "1 day"),
    ("604800", "1 week"),
    ("2592000", "30 days"),
)


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = MonoTextarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        text = "\n".join(value) if isinstance(value, list | tuple) else (value or "")
        return [line.strip() for line in text.splitlines() if line.strip()]


def _lines(label: str, help_text: str) -> LinesField:
    return LinesField(label=label, required=False, widget=MonoTextarea({"rows": 3}), help_text=help_text)


def _calls(label: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=1,
        max_value=MOST,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: what holds for every caller.",
    )


def _seconds(choices: tuple[tuple[str, str], ...], **more: Any) -> forms.TypedChoiceField:
    return forms.TypedChoiceField(choices=choices, coerce=int, widget=UnfoldAdminSelectWidget, **more)


def _with(choices: tuple[tuple[str, str], ...], value: int) -> tuple[tuple[str, str], ...]:
    """The choices, and the present value if it is none of them."""
    if str(value) in dict(choices):
        return choices
    return (*choices, (str(value), duration(value)))


class PinField(forms.ChoiceField):
    """The version, and if wanted the dated revision, that a caller holds."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            label="API version",
            required=False,
            choices=lambda: [("", "The organization's, else the oldest"), *versions.pins()],
            widget=UnfoldAdminSelectWidget,
            help_text="Answers addresses that name no version; a revision also holds inside its version.",
            **options,
        )

    def keep(self, held: str) -> None:
        """Offer what is held already, whatever it is."""
        if held and held not in dict(versions.pins()):
            self.choices = [*self.choices, (held, held)]  # type: ignore[misc]


class KeyForm(forms.ModelForm):
    """What may be changed of a key. Scopes and permissions can be taken away, never added."""

    description = forms.CharField(
        required=False, max_length=2000, widget=UnfoldAdminTextareaWidget({"rows": 2})
    )
    scopes = ScopesField(
        required=False,
        help_text="Scopes can be taken away, never added: create another key for more.",
    )
    allowed_resources = _lines(
        "Only these resources", "Ids or datasets of which a call's address must name one, such as clients."
    )
    allowed_endpoints = _lines("Only these endpoints", "One a line, such as GET /records/*.")
    ip_whitelist = _lines(
        "Only from these addresses", "IPs or CIDRs, such as 192.0.2.0/24. Empty: from anywhere."
    )
    ip_blacklist = _lines("Never from these addresses", "IPs or CIDRs.")
    allowed_origins = _lines("Only from these origins", "Such as https://shop.example.com.")
    allowed_referers = _lines(
        "Only from these pages", "Hosts such as *.example.com, or beginnings of addresses."
    )
    allowed_user_agents = _lines("Only these user agents", "Patterns, such as Shop/*.")
    api_version = PinField()
    rotation_overlap = _seconds(OVERLAPS, label="The old key ends", help_text="Until then both keys work.")
    alert_emails = _lines("Tell", "E-mail addresses. Empty: the organization's owners and administrators.")

    class Meta:
        model = APIKey
        fields = (
            "name",
            "description",
            "scopes",
            "can_read",
            "can_write",
            "can_delete",
            "can_admin",
            "expires_at",
            "never_expires",
            "api_version",
            *RESTRICTIONS,
            *ROTATION,
            *ALERTS,
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "api_version" in self.fields:
            pin: Any = self.fields["api_version"]
            pin.keep(self.instance.api_version)
        if "rotation_overlap" in self.fields:
            overlap: Any = self.fields["rotation_overlap"]
            overlap.choices = _with(OVERLAPS, self.instance.rotation_overlap)
        if "scopes" in self.fields and not self.instance._state.adding:
            grid: Any = self.fields["scopes"].widget
            grid.ceiling = frozenset(self.instance.scopes)
        if "signature_required" in self.fields and not self.instance._state.adding:
            field_ = self.fields["signature_required"]
            if not self.instance.signing_secret:
                field_.disabled = True
                field_.help_text = "Make a signing secret first: that also asks for signed calls."

    def attributes(self, values: dict[str, Any]) -> dict[str, Any]:
        """The services' names for what the form holds."""
        values = dict(values)
        permissions = {name: values.pop(f"can_{name}") for name in ALL_PERMISSIONS if f"can_{name}" in values}
        return {**values, **({"permissions": permissions} if permissions else {})}


class NewKeyForm(KeyForm):
    """What a key is created with."""

    access = forms.ChoiceField(
        label="May do",
        choices=[
            (CHOSEN, "What I choose below"),
            (READING, "Read everything"),
            (EVERYTHING, "Everything"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    scopes = None  # type: ignore[assignment]
    chosen = ScopesField(
        label="Scopes", required=False, help_text="What the key may do, and to what. “All” covers its row."
    )
    per_minute = _calls("Calls per minute")
    per_hour = _calls("Calls per hour")
    per_day = _calls("Calls per day")
    burst = _calls("Calls at once")

    class Meta(KeyForm.Meta):
        fields = (  # type: ignore[assignment]
            "name",
            "description",
            "key_type",
            "environment",
            *KeyForm.Meta.fields[3:],
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        days = settings.API_KEY_EXPIRY
        if "expires_at" in self.fields:
            self.fields["expires_at"].help_text = (
                f"Empty: {days} days from now." if days else "Empty: it never expires."
            )

    def clean(self) -> dict[str, Any] | None:
        values = super().clean() or self.cleaned_data
        if values.get("access") == CHOSEN and not values.get("chosen"):
            self.add_error("chosen", "Tick at least one scope, such as Records, Read.")
        return values

    def attributes(self, values: dict[str, Any]) -> dict[str, Any]:
        values = super().attributes(values)
        access, values["scopes"] = values.pop("access", CHOSEN), values.pop("chosen", [])
        values["rate_limits"] = {"whole": {name: values.pop(name, None) for name in LIMITS}}
        if access == EVERYTHING:
            return {**values, "scopes": ["*:*"], "permissions": ALL_PERMISSIONS}
        if access == READING:
            return {**values, "scopes": ["*:read"], "permissions": {**DEFAULT_PERMISSIONS, "write": False}}
        return values


def placed(error: InvalidInput) -> InvalidInput:
    """The service's refusal with pointers to the form's fields: `/scopes/0` is in the field `chosen`."""
    errors = []
    for item in error.errors:
        parts = item.pointer.strip("/").split("/")
        nested = parts[0] in ("security", "alerts", "rotation_policy", "rate_limits") and len(parts) > 1
        name = parts[1] if nested else parts[0]
        name = {"every_days": "rotate_every_days", "overlap_seconds": "rotation_overlap"}.get(name, name)
        errors.append(FieldError(f"/{'chosen' if name == 'scopes' else name}", item.code, item.detail))
        if name == "scopes":
            errors.append(FieldError("/scopes", item.code, item.detail))
    return InvalidInput(error.detail, errors=errors)


class RotateForm(forms.Form):
    overlap = forms.ChoiceField(
        label="The old key ends",
        choices=OVERLAPS,
        initial="86400",
        widget=UnfoldAdminSelectWidget,
        help_text="Until then both keys work.",
    )

    def overlap_of(self) -> timedelta:
        return timedelta(seconds=int(self.cleaned_data["overlap"]))


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="For the audit log.",
    )
