"""The form of an endpoint, and the questions that its actions ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from apps.events.catalog import EventType
from apps.events.selectors import types_of
from apps.kernel.admin import JSONFormField, MonoTextarea, MonoTextInput, SecretInput
from apps.kernel.errors import FieldError, InvalidInput
from apps.kernel.redaction import MASK
from apps.webhooks.api.shapes import kept_secrets, shown_headers
from apps.webhooks.events import TEST
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.services.endpoints import EDITABLE
from apps.webhooks.statuses import AuthType, Chosen, EndpointStatus, SecretKind


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = MonoTextarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    def to_python(self, value: Any) -> Any:
        text = "\n".join(value) if isinstance(value, (list, tuple)) else (value or "")
        return [line.strip() for line in text.splitlines() if line.strip()]


class NumbersField(forms.CharField):
    """A list of numbers, separated by commas or spaces."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(f"{one:g}" for one in value) if isinstance(value, (list, tuple)) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return list(value)
        found: list[float] = []
        for word in (value or "").replace(",", " ").split():
            try:
                number = float(word)
            except ValueError:
                raise forms.ValidationError(f"“{word[:20]}” is not a number.") from None
            found.append(int(number) if number == int(number) else number)
        return found


class HeadersField(LinesField):
    """Headers, one a line, as `Name: value`."""

    def prepare_value(self, value: Any) -> Any:
        return (
            "\n".join(f"{name}: {text}" for name, text in value.items()) if isinstance(value, dict) else value
        )

    def to_python(self, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        found: dict[str, str] = {}
        for line in super().to_python(value):
            name, colon, text = line.partition(":")
            if not colon:
                raise forms.ValidationError(f"“{line[:40]}” has no colon: a header reads like X-Shop: north.")
            found[name.strip()] = text.strip()
        return found


class EndpointForm(forms.ModelForm):
    """An endpoint. What is secret is written here and never shown again."""

    url = forms.CharField(
        label="URL",
        max_length=2000,
        widget=MonoTextInput,
        help_text=f"Keys in it show as {MASK} once it is saved. Left alone, it stays as it is.",
    )
    events = LinesField(
        help_text="One a line: a type such as clients.updated, a wildcard such as clients.*, or * for all.",
        widget=MonoTextarea({"rows": 4}),
    )
    event_filters = JSONFormField(
        label="Filters",
        required=False,
        help_text="Only events whose data fit, such as "
        '{"record.status": "paid", "record.total": {"gte": 100}}. '
        "Empty: all of these types. “Preview” shows what the data of an event are.",
    )
    custom_headers = HeadersField(
        label="Headers",
        required=False,
        widget=MonoTextarea({"rows": 3}),
        help_text=f"One a line, such as X-Shop: north. Secret values show as {MASK} and stay as they are.",
    )
    auth_username = forms.CharField(
        label="User name", required=False, max_length=200, widget=UnfoldAdminTextInputWidget
    )
    auth_header = forms.CharField(
        label="Header",
        required=False,
        max_length=100,
        widget=MonoTextInput,
        help_text="Name of the header that carries the key. Empty: X-API-Key.",
    )
    auth_token_url = forms.CharField(label="Token URL", required=False, max_length=2000, widget=MonoTextInput)
    auth_client_id = forms.CharField(label="Client id", required=False, max_length=300, widget=MonoTextInput)
    auth_scope = forms.CharField(
        label="Scope", required=False, max_length=1000, widget=MonoTextInput, help_text="May be empty."
    )
    auth_secret = forms.CharField(
        label="Token, password, key or client secret",
        required=False,
        max_length=4000,
        widget=SecretInput,
        help_text="Never shown again. Leave it empty to keep what is stored.",
    )
    auth_headers = HeadersField(
        label="Secret headers",
        required=False,
        widget=MonoTextarea({"rows": 3}),
        help_text=f"One a line. Their values show as {MASK} and stay as they are.",
    )
    custom_template = forms.CharField(
        label="Template",
        required=False,
        widget=MonoTextarea({"rows": 12}),
        help_text='Such as {"total": {{ data.record.total }}, "on": "{{ type | upper }}"}. '
        "In JSON a value outside of quotes becomes JSON, inside of quotes it is escaped. "
        "“Preview” shows what comes out.",
    )
    retry_intervals = NumbersField(
        required=False, help_text="Seconds before each retry, such as 5, 60, 600. Empty: the hub's schedule."
    )
    retry_on_status = NumbersField(
        label="Retry on status",
        required=False,
        help_text="HTTP statuses worth a retry, such as 429, 500, 503. Empty: all that are not 2xx.",
    )
    ip_allow_list = LinesField(
        label="IP allow list",
        required=False,
        widget=MonoTextarea({"rows": 3}),
        help_text="Networks that the URL's name may lead to, one a line. Empty: any that the hub may call.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = (
            "name", "description", "project", "url", "method", "events", "event_filters", "auth_type",
            "timeout", "retry_attempts", "retry_intervals", "retry_on_status", "ordering", "max_concurrency",
            "batch_delivery", "batch_size", "batch_window", "payload_format", "custom_content_type",
            "custom_template", "include_full_payload", "include_metadata", "include_timestamp",
            "rate_limit_per_second", "rate_limit_per_minute", "ip_allow_list", "validate_ssl", "sign_payload",
            "signature_header", "max_consecutive_failures",
        )  # fmt: skip
        widgets = {
            "description": UnfoldAdminTextareaWidget({"rows": 2}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoint = self.instance
        if endpoint.pk and not endpoint._state.adding:
            config = endpoint.auth_config
            self.initial["url"] = endpoint.url_shown
            self.initial["auth_token_url"] = config.get("token_url", "")
            self.initial["auth_client_id"] = config.get("client_id", "")
            self.initial["auth_scope"] = config.get("scope", "")
            self.initial["custom_headers"] = shown_headers(endpoint.headers)
            self.initial["auth_username"] = config.get("username", "")
            self.initial["auth_header"] = config.get("header", "")
            self.initial["auth_headers"] = dict.fromkeys(config.get("headers", {}), MASK)

    def settings_for(self, endpoint: WebhookEndpoint) -> dict[str, Any]:
        """What the services are to set, with what a mask stands for taken from the stored endpoint."""
        values = {name: self.cleaned_data[name] for name in EDITABLE if name in self.cleaned_data}
        values["event_filters"] = values.get("event_filters") or {}
        values["headers"] = self.cleaned_data["custom_headers"]
        values["auth_config"] = self._auth(endpoint)
        return kept_secrets(values, endpoint)

    def _auth(self, endpoint: WebhookEndpoint) -> dict[str, Any]:
        given = self.cleaned_data
        kind = given["auth_type"]
        # An empty secret keeps the stored one, as its mask does.
        same = not endpoint._state.adding and endpoint.auth_type == kind
        secret = given["auth_secret"] or (MASK if same else "")
        if kind == AuthType.BEARER:
            return {"token": secret}
        if kind == AuthType.BASIC:
            return {"username": given["auth_username"], "password": secret}
        if kind == AuthType.API_KEY:
            header = {"header": given["auth_header"]} if given["auth_header"] else {}
            return {"key": secret, **header}
        if kind == AuthType.OAUTH2:
            kept = endpoint.auth_config if same else {}
            more = {name: kept[name] for name in ("audience", "client_auth") if name in kept}
            scope = {"scope": given["auth_scope"]} if given["auth_scope"] else {}
            return {
                "token_url": given["auth_token_url"],
                "client_id": given["auth_client_id"],
                "client_secret": secret,
                **scope,
                **more,
            }
        if kind == AuthType.CUSTOM:
            return {"headers": given["auth_headers"]}
        return {}


# Where the form shows what the services say about these fields.
_PLACES = {
    "headers": "custom_headers",
    "auth_config/username": "auth_username",
    "auth_config/header": "auth_header",
    "auth_config/headers": "auth_headers",
    "auth_config/token_url": "auth_token_url",
    "auth_config/client_id": "auth_client_id",
    "auth_config/scope": "auth_scope",
    "auth_config": "auth_secret",
}


def placed(error: InvalidInput) -> InvalidInput:
    """The same refusal with pointers to the form's fields."""
    moved = []
    for one in error.errors:
        path = one.pointer.strip("/")
        place = next((p for p in _PLACES if path == p or path.startswith(f"{p}/")), "")
        pointer = f"/{_PLACES[place]}" if place else f"/{path.partition('/')[0]}"
        moved.append(FieldError(pointer, one.code, one.detail))
    return InvalidInput(error.detail, errors=moved, code=error.code)


class NewEndpointForm(EndpointForm):
    """A new endpoint may start in the state of a trial."""

    start = forms.ChoiceField(
        label="Start as",
        choices=[
            (EndpointStatus.ACTIVE, "Active: events are sent from now on"),
            (EndpointStatus.TESTING, "Testing: test messages only"),
        ],
        widget=UnfoldAdminSelectWidget,
    )


def _choices(declared: Iterable[EventType]) -> list[tuple[str, list[tuple[str, str]]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for one in declared:
        groups.setdefault(one.group or "Other", []).append((one.name, one.name))
    return sorted(groups.items())


class TestForm(forms.Form):
    """Which message to send."""

    __test__ = False  # not a test of ours
    wants_request = True

    event_type = forms.ChoiceField(label="Event type", initial=TEST, widget=UnfoldAdminSelectWidget)
    data = JSONFormField(  # type: ignore[assignment]
        label="Data",
        required=False,
        help_text="The type's sample, to be changed at will. Empty: the sample as it is.",
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        declared = types_of(request.organization)  # type: ignore[attr-defined]
        self.fields["event_type"].choices = _choices(declared)  # type: ignore[attr-defined]
        samples = {one.name: json.dumps(dict(one.sample), indent=2, ensure_ascii=False) for one in declared}
        self.fields["data"].widget.attrs |= {
            "data-samples": json.dumps(samples),
            "data-samples-by": self.add_prefix("event_type"),
        }

    def clean_data(self) -> Any:
        data = self.cleaned_data.get("data")
        if data is not None and not isinstance(data, dict):
            raise forms.ValidationError("The data of an event is an object: { … }.")
        return data


class PreviewForm(forms.Form):
    """Which event to show as this endpoint would get it."""

    event = forms.CharField(
        label="Event",
        required=False,
        max_length=60,
        widget=MonoTextInput,
        help_text="Id of a past event (evt_…). Empty: the last one that it listens for, else a sample.",
    )


class PauseForm(forms.Form):
    reason = forms.CharField(required=False, max_length=300, widget=UnfoldAdminTextInputWidget)


class ExpungeForm(forms.Form):
    reason = forms.CharField(
        required=False, max_length=300, widget=UnfoldAdminTextInputWidget, help_text="For the audit log."
    )


class RotateForm(forms.Form):
    """Which kind of secret, and how long the old one lives on."""

    kind = forms.ChoiceField(
        label="Kind",
        required=False,
        choices=[
            (SecretKind.HMAC, "One secret for both sides (HMAC-SHA256)"),
            (SecretKind.ED25519, "A private key here, a public key for receivers (ed25519)"),
        ],
        initial=SecretKind.HMAC,
        widget=UnfoldAdminSelectWidget,
    )

    keep_for = forms.TypedChoiceField(
        label="The old secret signs too",
        coerce=lambda hours: timedelta(hours=int(hours)),
        choices=[("0", "not at all"), ("1", "for an hour"), ("24", "for a day"), ("168", "for a week")],
        initial="24",
        widget=UnfoldAdminSelectWidget,
        help_text="Receivers that know either secret are content meanwhile.",
    )


class MomentInput(forms.DateTimeInput):
    """The browser's own picker of a date and a time; needs no script."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__({"class": " ".join(INPUT_CLASSES), "step": "60"}, format="%Y-%m-%dT%H:%M")


class ReplayForm(forms.Form):
    """What to send again."""

    since = forms.DateTimeField(
        widget=MomentInput,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        initial=lambda: timezone.now() - timedelta(hours=24),
    )
    until = forms.DateTimeField(
        required=False,
        widget=MomentInput,
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        help_text="Empty: until now.",
    )
    what = forms.ChoiceField(
        choices=[choice for choice in Chosen.choices if choice[0] != Chosen.SELECTED],
        initial=Chosen.FAILED,
        widget=UnfoldAdminSelectWidget,
    )
    event_types = forms.CharField(
        required=False,
        max_length=2000,
        widget=MonoTextInput,
        help_text="Names or wildcards such as orders.*, separated by commas. Empty: of any type.",
    )

    def clean_event_types(self) -> list[str]:
        return [name for name in re.split(r"[,\s]+", self.cleaned_data["event_types"]) if name]
