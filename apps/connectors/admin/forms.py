"""The connection form: made of what a connector's manifest asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.connectors.engine.manifest import FormField, Manifest
from apps.connectors.models import Integration
from apps.connectors.services.checking import MAX_INTERVAL
from apps.connectors.statuses import Direction
from apps.kernel.admin import MonoTextInput, SecretInput
from apps.tenants.models import Organization, Project

INTERVALS = (
    ("", "By hand only"),
    ("5", "Every 5 minutes"),
    ("15", "Every 15 minutes"),
    ("30", "Every 30 minutes"),
    ("60", "Every hour"),
    ("360", "Every 6 hours"),
    ("1440", "Every day"),
    ("10080", "Every week"),
    ("minutes", "Every … minutes"),
    ("crontab", "By crontab"),
)
_LIMITS = ("requests_per_minute", "requests_per_hour", "requests_per_day")


def _number(label: str, help_text: str = "", **limits: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, required=False, help_text=help_text, widget=UnfoldAdminTextInputWidget, **limits
    )


class ConnectionForm(forms.Form):
    """Name, address, authentication, schedule and limits of one integration."""

    name = forms.CharField(max_length=120, widget=UnfoldAdminTextInputWidget)
    description = forms.CharField(
        required=False, max_length=10_000, widget=UnfoldAdminTextareaWidget({"rows": 2})
    )
    code = forms.SlugField(
        max_length=60, required=False, widget=MonoTextInput,
        help_text="Part of the address that inbound webhooks are sent to. Empty: made from the name.",
    )  # fmt: skip
    project = forms.ModelChoiceField(Project.objects.none(), required=False, widget=UnfoldAdminSelectWidget)
    schedule = forms.ChoiceField(
        choices=INTERVALS, required=False, widget=UnfoldAdminSelectWidget({"data-switch": "schedule"})
    )
    interval = forms.IntegerField(
        label="Minutes", required=False, min_value=1, max_value=MAX_INTERVAL,
        widget=UnfoldAdminTextInputWidget({"data-for": "minutes"}),
    )  # fmt: skip
    crontab = forms.CharField(
        label="Crontab", required=False, max_length=100,
        widget=MonoTextInput({"data-for": "crontab", "placeholder": "*/15 8-18 * * mon-fri"}),
        help_text="Minute, hour, day, month and weekday, in the organization's time zone.",
    )  # fmt: skip
    sync_direction = forms.ChoiceField(
        label="Direction",
        choices=[(Direction.INBOUND, Direction.INBOUND.label), (Direction.NONE, Direction.NONE.label)],
        widget=UnfoldAdminSelectWidget,
    )
    sync_enabled = forms.BooleanField(
        label="Syncing is on", required=False, initial=True, widget=UnfoldBooleanSwitchWidget
    )
    timeout = forms.FloatField(
        label="Time-out of a call in seconds", required=False, min_value=0.1, max_value=300,
        widget=UnfoldAdminTextInputWidget,
    )  # fmt: skip
    retry_attempts = _number("Tries of a failing call", min_value=1, max_value=20)
    requests_per_minute = _number("Calls per minute", min_value=1)
    requests_per_hour = _number("Calls per hour", min_value=1)
    requests_per_day = _number(
        "Calls per day",
        "Held across all workers. Empty: what the catalog knows of the provider.",
        min_value=1,
    )

    def __init__(
        self,
        *args: Any,
        manifest: Manifest,
        organization: Organization,
        integration: Integration | None = None,
        **kwargs: Any,
    ) -> None:
        self.manifest, self.integration = manifest, integration
        kwargs.setdefault("initial", {**_initial(manifest, integration), **(kwargs.pop("begin", None) or {})})
        super().__init__(*args, **kwargs)
        project: Any = self.fields["project"]
        project.queryset = Project.objects.filter(organization=organization, is_active=True)
        if not project.queryset.exists():
            del self.fields["project"]
        self.fields["environment"] = forms.ChoiceField(
            choices=[(name, name.capitalize()) for name in manifest.base_urls], widget=UnfoldAdminSelectWidget
        )
        self.fields["auth_mode"] = forms.ChoiceField(
            label="Authentication",
            choices=[(mode.mode, mode.label) for mode in manifest.auth],
            widget=UnfoldAdminSelectWidget({"data-switch": "auth_mode"})
            if len(manifest.auth) > 1
            else forms.HiddenInput(),
        )
        for field in manifest.fields:
            self.fields[_config_name(field.name)] = _config_field(field)
        for mode in manifest.auth:
            for credential in mode.credentials:
                self.fields[_credential_name(mode.mode, credential.name)] = self._credential(
                    mode.mode, credential
                )
        for name in _LIMITS:
            known = getattr(manifest.limits, name.replace("requests_", ""))
            if known:
                self.fields[name].widget.attrs["placeholder"] = f"{known:,}"

    def _credential(self, mode: str, credential: Any) -> forms.Field:
        stored = self._is_set(mode, credential.name)
        note = "Stored. Leave it empty to keep it." if stored and credential.secret else credential.help
        widget: forms.Widget = SecretInput() if credential.secret else MonoTextInput()
        widget.attrs["data-for"] = mode
        if credential.secret and not stored:
            widget.attrs["placeholder"] = ""
        return forms.CharField(
            label=credential.label,
            required=False,
            strip=False,
            max_length=20_000,
            widget=widget,
            help_text=note,
        )

    def _is_set(self, mode: str, name: str) -> bool:
        row = self.integration
        return bool(row and row.auth_mode == mode and (row.credentials or {}).get(name))

    # The parts of the page.

    def general(self) -> Iterator[forms.BoundField]:
        yield from self._some("name", "description", "project", "code")

    def address(self) -> Iterator[forms.BoundField]:
        if len(self.manifest.base_urls) > 1:
            yield self["environment"]
        yield from self._some(*(_config_name(f.name) for f in self.manifest.fields if not f.auth))

    def authentication(self) -> Iterator[forms.BoundField]:
        yield self["auth_mode"]
        for mode in self.manifest.auth:
            yield from self._some(*(_credential_name(mode.mode, c.name) for c in mode.credentials))
        yield from self._some(*(_config_name(f.name) for f in self.manifest.fields if f.auth))

    def timing(self) -> Iterator[forms.BoundField]:
        yield from self._some("schedule", "interval", "crontab", "sync_direction", "sync_enabled")

    def limits(self) -> Iterator[forms.BoundField]:
        yield from self._some("timeout", "retry_attempts", *_LIMITS)

    def _some(self, *names: str) -> Iterator[forms.BoundField]:
        for name in names:
            if name in self.fields:
                yield self[name]

    # What the services are to set.

    def values(self, streams: list[dict[str, Any]] | None) -> dict[str, Any]:
        data = self.cleaned_data
        found = {
            name: data[name]
            for name in ("name", "description", "auth_mode", "sync_direction", "sync_enabled", *_LIMITS)
        }
        found["environment"] = data.get("environment") or next(iter(self.manifest.base_urls))
        if "project" in self.fields:
            found["project"] = data["project"]
        if data.get("code"):
            found["code"] = data["code"]
        return {**found, **self._schedule(), "config": self._config(streams)}

    def _schedule(self) -> dict[str, Any]:
        choice = self.cleaned_data.get("schedule") or ""
        minutes = int(choice) if choice.isdigit() else 0
        if choice == "minutes":
            minutes = self.cleaned_data.get("interval") or 0
        crontab = (self.cleaned_data.get("crontab") or "").strip() if choice == "crontab" else ""
        return {"auto_sync": bool(choice), "sync_interval_minutes": minutes, "sync_crontab": crontab}

    def _config(self, streams: list[dict[str, Any]] | None) -> dict[str, Any]:
        data = self.cleaned_data
        config = dict(self.integration.config) if self.integration else {}
        for field in self.manifest.fields:
            value = data.get(_config_name(field.name))
            if field.auth and data.get("auth_mode") not in field.auth:
                value = None
            _put(config, field.name, value)
        for name in ("timeout", "retry_attempts"):
            _put(config, name, data.get(name))
        if streams is not None:
            config["streams"] = streams
        return config

    def credentials(self) -> dict[str, str]:
        """What was typed in for the chosen authentication; empty secrets stay as they are."""
        chosen = self.manifest.auth_mode(self.cleaned_data["auth_mode"])
        found: dict[str, str] = {}
        for credential in chosen.credentials if chosen else ():
            value = self.cleaned_data.get(_credential_name(self.cleaned_data["auth_mode"], credential.name))
            if value or not credential.secret:
                found[credential.name] = value or ""
        return found

    def place(self, pointer: str, detail: str) -> None:
        """Show a refusal of the services at its field, or on top."""
        parts = [part for part in pointer.split("/") if part]
        name = None
        if parts[:1] == ["credentials"] and len(parts) > 1:
            name = _credential_name(self.cleaned_data.get("auth_mode", ""), parts[1])
        elif parts[:1] == ["config"]:
            name = _config_name(".".join(parts[1:])) if len(parts) > 1 else None
            name = name if name in self.fields else ".".join(parts[1:2])
        elif parts:
            name = {
                "auto_sync": "schedule",
                "sync_interval_minutes": "interval"
                if self.cleaned_data.get("schedule") == "minutes"
                else "schedule",
                "sync_crontab": "crontab",
            }.get(parts[0], parts[0])
        self.add_error(name if name in self.fields else None, detail)


def _config_name(name: str) -> str:
    return "config__" + name.replace(".", "__")


def _credential_name(mode: str, name: str) -> str:
    return f"credential__{mode}__{name}"


def _config_field(field: FormField) -> forms.Field:
    attrs: dict[str, Any] = {}
    if field.auth:
        attrs["data-for"] = " ".join(field.auth)
    if field.placeholder:
        attrs["placeholder"] = field.placeholder
    # What is needed is told by the services, in the same words as in the API.
    common: dict[str, Any] = {"label": field.label, "required": False, "help_text": field.help}
    if field.kind == "choice":
        choices = [(choice, choice.replace("_", " ").capitalize()) for choice in field.choices]
        return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget(attrs), **common)
    if field.kind == "boolean":
        return forms.BooleanField(widget=UnfoldBooleanSwitchWidget(attrs), **common)
    if field.kind == "integer":
        return forms.IntegerField(
            min_value=field.minimum,
            max_value=field.maximum,
            widget=UnfoldAdminTextInputWidget(attrs),
            **common,
        )
    keeps_space = field.name.endswith("prefix")
    return forms.CharField(max_length=2000, strip=not keeps_space, widget=MonoTextInput(attrs), **common)


def _put(config: dict[str, Any], name: str, value: Any) -> None:
    """Set a value of the settings by its dotted name; an empty one takes it out."""
    group, _, inner = name.rpartition(".")
    place = config
    if group:
        place = dict(config.get(group) or {})
    if value in (None, ""):
        place.pop(inner, None)
    else:
        place[inner] = value
    if group:
        if place:
            config[group] = place
        else:
            config.pop(group, None)


def _value(config: Mapping[str, Any], name: str, default: Any) -> Any:
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return default if value is None else value


def _initial(manifest: Manifest, row: Integration | None) -> dict[str, Any]:
    config = row.config if row else {}
    found: dict[str, Any] = {
        _config_name(field.name): _value(config, field.name, field.default) for field in manifest.fields
    }
    found |= {"timeout": config.get("timeout"), "retry_attempts": config.get("retry_attempts")}
    if row is None:
        mode = manifest.auth[0].mode
        return {
            **found,
            "name": "" if manifest.custom_streams else manifest.title,
            "auth_mode": mode,
            "sync_direction": Direction.INBOUND,
            "schedule": "60",
        }
    minutes = str(row.sync_interval_minutes or "")
    schedule = "crontab" if row.sync_crontab else minutes if minutes in dict(INTERVALS) else "minutes"
    chosen = manifest.auth_mode(row.auth_mode)
    for credential in chosen.credentials if chosen else ():
        if not credential.secret:
            stored = (row.credentials or {}).get(credential.name, "")
            found[_credential_name(row.auth_mode, credential.name)] = stored
    return {
        **found,
        **{
            name: getattr(row, name)
            for name in (
                "name", "description", "code", "project", "environment", "auth_mode", "sync_direction",
                "sync_enabled", *_LIMITS,
            )
        },
        "schedule": schedule if row.auto_sync else "",
        "interval": row.sync_interval_minutes or None,
        "crontab": row.sync_crontab,
    }  # fmt: skip
