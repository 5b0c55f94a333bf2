"""Places where files lie, in the admin: what they are, whether the hub gets in, and who uses them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.jobs.models import FileLocation
from apps.jobs.services import locations
from apps.kernel.admin import (
    HubModelAdmin,
    MonoTextarea,
    MonoTextInput,
    SecretInput,
    ago,
    badge,
    confirm_action,
    mono,
    muted,
)


class LocationForm(forms.ModelForm):
    """A place. Secrets are written here and never shown again."""

    secret = forms.CharField(
        label="Password, secret access key or token",
        required=False,
        max_length=4000,
        strip=False,
        widget=SecretInput,
        help_text="Never shown again. Empty: what is stored stays.",
    )
    private_key = forms.CharField(
        required=False,
        max_length=20_000,
        widget=MonoTextarea({"rows": 4, "placeholder": "-----BEGIN OPENSSH PRIVATE KEY-----"}),
        help_text="In the place of a password. Never shown again. Empty: what is stored stays.",
    )
    passphrase = forms.CharField(
        required=False, max_length=1000, strip=False, widget=SecretInput, help_text="Of the private key."
    )

    class Meta:
        model = FileLocation
        fields = locations.PLAIN
        widgets = {
            "description": UnfoldAdminTextareaWidget({"rows": 2}),
            "host_key": MonoTextarea({"rows": 2, "placeholder": "SHA256:…"}),
            "base_url": MonoTextInput({"placeholder": "https://partner.example.com/exports"}),
            "endpoint_url": MonoTextInput({"placeholder": "https://s3.example.com"}),
            "folder": MonoTextInput,
            "bucket": MonoTextInput,
            "host": MonoTextInput({"placeholder": "sftp.example.com"}),
        }
        labels = {
            "kind": "What it is",
            "base_url": "Address",
            "endpoint_url": "Service",
            "username": "User name or access key id",
        }
        help_texts = {
            "host_key": "The server's key or its fingerprint, as its administrator tells you. “Test "
            "connection” shows the one that the server has. Another key is refused.",
            "endpoint_url": "Empty: Amazon's. Else the address of your S3 service, such as MinIO.",
            "base_url": "What the addresses of all files of this place begin with.",
            "folder": "All paths are below it. Empty: the top, or on a server the user's own folder.",
            "bucket": "",
            "host": "",
            "port": "",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in locations.SECRETS:
            if name in self.fields and not self.instance.has_secret(name):
                field = self.fields[name]
                field.help_text = str(field.help_text).replace(" Empty: what is stored stays.", "")
                if isinstance(field.widget, SecretInput):
                    field.widget.attrs["placeholder"] = ""


@admin.register(FileLocation)
class FileLocationAdmin(HubModelAdmin):
    scope_resource = "locations"
    audit_name = "file_location"
    form = LocationForm
    list_display = ("name", "what", "where", "access", "used", "when")
    list_filter = ("kind",)
    search_fields = ("name__istartswith",)
    search_help_text = "Search by the beginning of the name"
    palette_fields = ("name",)
    ordering = ("-id",)
    sortable_by = ()
    actions_detail = ("test_now",)
    list_title = "Places"
    add_label = "Add a place"
    empty_icon = "folder_shared"
    empty_title = "No places yet"
    empty_text = (
        "A place is an S3 bucket, an SFTP server or a web address that scheduled imports fetch files from "
        "and exports are delivered to."
    )
    secret_fields = ("secret", "private_key", "passphrase")
    fieldsets = (
        (None, {"fields": ("name", "kind", "description")}),
        (
            "Where it is",
            {
                "fields": (
                    "host", "port", "host_key", "bucket", "endpoint_url", "region", "base_url", "folder",
                )
            },
        ),
        ("How the hub gets in", {"fields": ("username", "secret", "private_key", "passphrase")}),
    )  # fmt: skip
    conditional_fields = {
        "host": "kind == 'sftp'",
        "port": "kind == 'sftp'",
        "host_key": "kind == 'sftp'",
        "private_key": "kind == 'sftp'",
        "passphrase": "kind == 'sftp'",
        "bucket": "kind == 's3'",
        "endpoint_url": "kind == 's3'",
        "region": "kind == 's3'",
        "base_url": "kind == 'https'",
        "folder": "kind != 'https'",
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[FileLocation]:
        rows: QuerySet[FileLocation] = super().get_queryset(request)
        return rows.select_related("organization").annotate(
            users=Count("schedules", distinct=True) + Count("destinations__schedule", distinct=True)
        )

    @admin.display(description="Kind")
    def what(self, obj: FileLocation) -> str:
        return obj.get_kind_display()

    @admin.display(description="Where")
    def where(self, obj: FileLocation) -> str:
        return mono(obj.shown_address)

    @admin.display(description="Access")
    def access(self, obj: FileLocation) -> str:
        if obj.test_passed is None:
            return badge("not tested", "quiet")
        return badge("works", "good") if obj.test_passed else badge("refused", "bad")

    @admin.display(description="Schedules")
    def used(self, obj: Any) -> str:
        return str(obj.users) if obj.users else muted("–")

    @admin.display(description="Tested")
    def when(self, obj: FileLocation) -> str:
        return ago(obj.tested_at)

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> FileLocation:
        return locations.create(
            organization=request.organization,  # type: ignore[attr-defined]
            actor=request.actor,  # type: ignore[attr-defined]
            **values,
        )

    def service_update(
        self, request: HttpRequest, obj: Any, values: dict[str, Any], form: forms.ModelForm
    ) -> FileLocation:
        return locations.update(location=obj, actor=request.actor, **values)  # type: ignore[attr-defined]

    def service_delete(self, request: HttpRequest, obj: Any) -> None:
        locations.delete(location=obj, actor=request.actor)  # type: ignore[attr-defined]

    @confirm_action(
        description="Test connection",
        icon="network_check",
        permissions=["change"],
        instantly=True,
        title="Test {object}?",
        text="The hub signs in and looks around; nothing is changed there.",
    )
    def test_now(self, request: HttpRequest, objects: QuerySet[FileLocation]) -> None:
        for place in objects:
            passed, said = locations.test(location=place, actor=request.actor)  # type: ignore[attr-defined]
            if passed:
                messages.success(request, f"“{place}” works. {said}")
            else:
                messages.error(request, f"“{place}” does not work. {said}")
