"""The fields that say where an exported file is brought."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.jobs.models import FileLocation
from apps.jobs.schedule_statuses import DeliveryKind, LocationKind
from apps.jobs.services import naming
from apps.kernel.admin import MonoTextInput
from apps.kernel.errors import FieldError, InvalidInput
from apps.tenants.models import Organization


def split_words(text: str) -> list[str]:
    """What stands between commas, spaces and line ends."""
    return [word for word in text.replace(",", " ").replace(";", " ").split() if word]


class DeliveryFields(forms.Form):
    """To a place as a file, and by mail."""

    organization: Organization

    deliver_to = forms.ModelChoiceField(
        label="To the place",
        queryset=FileLocation.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        empty_label="none",
    )
    deliver_path = forms.CharField(
        label="As the file",
        required=False,
        max_length=500,
        widget=MonoTextInput({"placeholder": naming.DEFAULT}),
        help_text="Folders and name, with "
        + ", ".join(f"{{{name}}} ({said})" for name, said in naming.PLACEHOLDERS.items())
        + ".",
    )
    mail_to = forms.CharField(
        label="By mail to",
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextInputWidget,
        help_text="Addresses with commas between them. A large file comes as a link.",
    )

    def offer_places(self) -> None:
        """Offer the organization's places that files can be delivered to."""
        places = FileLocation.objects.filter(organization=self.organization).order_by("name")
        chooser = self.fields["deliver_to"]
        assert isinstance(chooser, forms.ModelChoiceField)
        chooser.queryset = places.exclude(kind=LocationKind.HTTPS)

    def destinations(self) -> list[dict[str, Any]]:
        """As the services take them."""
        given = self.cleaned_data
        made: list[dict[str, Any]] = []
        if (place := given.get("deliver_to")) is not None:
            path = given["deliver_path"].strip()
            made.append({"kind": DeliveryKind.LOCATION, "location": place, "path": path, "recipients": []})
        if mails := split_words(given.get("mail_to", "")):
            made.append({"kind": DeliveryKind.MAIL, "location": None, "path": "", "recipients": mails})
        return made


class DeliverForm(DeliveryFields):
    """Where the file of one export is brought."""

    def __init__(self, *args: Any, organization: Organization, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organization = organization
        self.offer_places()

    def place_errors(self, error: InvalidInput) -> bool:
        """Show at the fields what a service says about them; whether that was all."""
        ours: list[FieldError] = [one for one in error.errors if one.pointer.startswith("/destinations/")]
        for one in ours:
            self.add_error(field_of(one.pointer), one.detail)
        return bool(ours) and len(ours) == len(error.errors)


def field_of(pointer: str) -> str:
    """The field that shows what is wrong at `/destinations/n/…`."""
    return {"path": "deliver_path", "location": "deliver_to"}.get(pointer.rpartition("/")[2], "mail_to")
