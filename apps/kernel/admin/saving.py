"""Saving through services: who owns a new row, what the audit log reads, and where a refusal is shown."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, FieldDoesNotExist, ValidationError
from django.db import IntegrityError, models
from django.http import HttpRequest, HttpResponse

from apps.kernel.admin.access import organization_of
from apps.kernel.admin.auditing import HistoryEntry, differences, journal
from apps.kernel.admin.scoping import ScopedAdmin
from apps.kernel.errors import Conflict, HubError, InvalidInput

log = logging.getLogger(__name__)

_REFUSAL = "_hub_refusal"


class SavingAdmin(ScopedAdmin):
    """Writes through the hooks `service_create`, `service_update` and `service_delete`.

    Their defaults save the row and write an audit entry (`<audit_name>.created` and so on). An app that has
    services overrides them and calls these instead; the service then writes its own audit entry.
    """

    audit_name = ""
    # Fields that are only ever named in the audit log, besides those that are encrypted or named like one.
    secret_fields: Sequence[str] = ()

    # --- hooks

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        """Create the object from the form's cleaned `values`; returns it."""
        obj: models.Model = form.instance
        obj.save()
        self.audit(request, "created", obj, differences(None, obj, values, self.secret_fields))
        return obj

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        """Change `obj` (as the database has it) to `values`, which holds only what the user changed."""
        if not values:
            return obj
        changed: models.Model = form.instance
        changed.save()
        self.audit(request, "updated", changed, differences(obj, changed, values, self.secret_fields))
        return changed

    def service_delete(self, request: HttpRequest, obj: models.Model) -> None:
        """Delete the object."""
        self.audit(request, "deleted", obj)
        obj.delete()

    def audit(
        self, request: HttpRequest, verb: str, target: models.Model, changes: dict[str, Any] | None = None
    ) -> None:
        """Write an audit entry for a deed that no service audits."""
        name = self.audit_name or str(self.opts.model_name)
        journal.record(request, action=f"{name}.{verb}", target=target, changes=changes)

    def history_of(self, request: HttpRequest, obj: models.Model) -> Sequence[HistoryEntry]:
        """What the object's history page lists, newest first."""
        return journal.history_of(request, obj)

    # --- Django's way there

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            before = self.get_queryset(request).get(pk=obj.pk)
            values = {
                name: form.cleaned_data[name] for name in form.changed_data if name in form.cleaned_data
            }
            saved = self.service_update(request, before, values, form)
        else:
            self._own(request, obj)
            saved = self.service_create(request, dict(form.cleaned_data), form)
        if saved is not obj:
            obj.__dict__.update(saved.__dict__)
        for action in self.get_actions_submit_line(request, obj.pk):
            if action.action_name in request.POST:
                action.method(request, obj)

    def _own(self, request: HttpRequest, obj: models.Model) -> None:
        """A new row belongs to the current organization and remembers who made it."""
        for name, value in (("organization", organization_of(request)), ("created_by", request.user)):
            try:
                field = self.opts.get_field(name)
            except FieldDoesNotExist:
                continue
            if isinstance(field, models.ForeignKey):
                setattr(obj, field.attname, value.pk if value is not None else None)
            elif name == "created_by" and isinstance(field, models.CharField):
                setattr(obj, name, str(value)[: field.max_length])

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.service_delete(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        for obj in queryset:
            self.service_delete(request, obj)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A service's refusal rolls everything back and is shown in the form, at its field."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (HubError, IntegrityError) as refusal:
            if request.method != "POST":
                raise
            if isinstance(refusal, IntegrityError):
                log.warning("A form of the admin was faster than another: %s", refusal)
                refusal = Conflict(f"There is another {self.opts.verbose_name} like this one already.")
            setattr(request, _REFUSAL, refusal)
            for name in request.FILES:
                for file in request.FILES.getlist(name):
                    file.seek(0)
            return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(
        self, request: HttpRequest, obj: Any | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        form = super().get_form(request, obj, change=change, **kwargs)
        own, refusal = self._own, getattr(request, _REFUSAL, None)

        class Owned(form):  # type: ignore[misc,valid-type]
            """Checks what is unique within the organization, too, and shows what a service refused."""

            def _post_clean(self) -> None:
                if self.instance._state.adding:
                    own(request, self.instance)
                super()._post_clean()
                if refusal is not None:
                    refuse(self, refusal)

            def _get_validation_exclusions(self) -> set[str]:
                return {*super()._get_validation_exclusions()} - {"organization"}

            def _update_errors(self, errors: ValidationError) -> None:
                super()._update_errors(_at_field(self, errors))

        Owned.__name__ = form.__name__
        return Owned

    # Django's own log entries are not written: the audit log is the only one.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        return None

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        return None

    def log_deletion(self, request: HttpRequest, obj: Any, object_repr: str) -> None:
        return None

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        return None


def _at_field(form: forms.ModelForm, errors: ValidationError) -> ValidationError:
    """“Project with this Organization and Slug already exists” becomes an error of the slug."""
    found: dict[str, list[ValidationError]] = {}
    given = errors.error_dict if hasattr(errors, "error_dict") else {NON_FIELD_ERRORS: errors.error_list}
    for name, listed in given.items():
        for error in listed:
            unique = [n for n in (error.params or {}).get("unique_check", ()) if n != "organization"]
            if error.code == "unique_together" and len(unique) == 1 and unique[0] in form.fields:
                label = str(form.fields[unique[0]].label or unique[0]).lower()
                text = f"There is another {form._meta.model._meta.verbose_name} with this {label}."
                found.setdefault(unique[0], []).append(ValidationError(text, code="unique"))
            else:
                found.setdefault(name, []).append(error)
    return ValidationError(found)


def refuse(form: forms.BaseForm, error: HubError) -> None:
    """Put an error of a service into a form: each part at its field, the rest on top."""
    said = False
    for item in error.errors if isinstance(error, InvalidInput) else ():
        name = next((part for part in reversed(item.pointer.split("/")) if part in form.fields), None)
        form.add_error(name, item.detail)
        said = True
    if not said:
        form.add_error(None, error.detail)
