"""Whose rows the admin shows: every queryset, lookup, choice list and object address goes through here.

What belongs to another organization does not exist, in the same words as what never existed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from unfold.admin import ModelAdmin as UnfoldModelAdmin

from apps.kernel.admin.access import organization_of
from apps.kernel.admin.filters import filter_for

# Public ids and numbers: nothing that the admin would have to quote (`unquote` leaves them as they are).
_PLAIN = re.compile(r"[a-z]+_[0-9a-z]{26}|[A-Z]+-[0-9]{4}-[0-9]+")
# What the range filter appends to a field's name.
_RANGE = re.compile(r"_(from|to)")


def scoped_rows(request: HttpRequest, model: type[models.Model], site: AdminSite) -> models.QuerySet[Any]:
    """The rows of `model` that the user may choose from in the current organization.

    A registered HubModelAdmin decides; without one, a field called `organization` does; a model that has
    neither offers nothing.
    """
    registered = site._registry.get(model)
    if isinstance(registered, ScopedAdmin):
        return registered.get_queryset(request)
    organization = organization_of(request)
    try:
        model._meta.get_field("organization")
    except FieldDoesNotExist:
        return model._default_manager.none()
    if organization is None:
        return model._default_manager.none()
    return model._default_manager.filter(organization=organization)


class ScopedAdmin(UnfoldModelAdmin):
    """Scopes a ModelAdmin to `request.organization` through `organization_path`.

    `organization_path` is the lookup from the model to its organization (`"organization"`,
    `"integration__organization"`); None only for what belongs to the whole installation, which then only
    the operator (superuser) sees.
    """

    organization_path: str | None = "organization"
    # Lookups that addresses may use besides those of `list_filter`, such as `integration__number`.
    allowed_lookups: Sequence[str] = ()

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = super().get_queryset(request)
        if self.organization_path is None:
            return rows if getattr(request.user, "is_superuser", False) else rows.none()
        organization = organization_of(request)
        if organization is None:
            return rows.none()
        return rows.filter(**{self.organization_path: organization})

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any | None:
        """By public id (`int_01h…`), number (`INT-2026-00001`) or key, always inside the organization."""
        if from_field:
            return super().get_object(request, object_id, from_field)
        return self.by_refs(request, [str(object_id)]).first()

    def find(self, request: HttpRequest, object_id: str) -> Any | None:
        """The object that a piece of an address names, written as it is or quoted as Django's admin does."""
        found = self.get_object(request, object_id)
        plain = unquote(object_id)
        return self.get_object(request, plain) if found is None and plain != object_id else found

    def by_refs(self, request: HttpRequest, refs: Iterable[str]) -> models.QuerySet[Any]:
        """The organization's objects that these public ids, numbers or keys name."""
        parse = getattr(self.model, "parse_public_id", None)
        keys: list[Any] = []
        numbers: list[str] = []
        for ref in refs:
            if parse is not None and (key := parse(ref)) is not None:
                keys.append(key)
            elif self._has_number and ref.count("-") == 2:
                numbers.append(ref)
            else:
                with contextlib.suppress(ValidationError, ValueError):
                    keys.append(self.opts.pk.to_python(ref))
        wanted = models.Q(pk__in=keys)
        if numbers:
            wanted |= models.Q(number__in=numbers)
        return self.get_queryset(request).filter(wanted)

    def ref_of(self, obj: models.Model) -> str:
        """How addresses and forms name an object: number, public id, or its key if it has neither."""
        return str(getattr(obj, "number", None) or getattr(obj, "public_id", None) or obj.pk)

    @property
    def _has_number(self) -> bool:
        return any(field.name == "number" for field in self.opts.concrete_fields)

    def object_url(self, obj: models.Model, view: str = "change") -> str:
        """The address of an object's page."""
        ref = self.ref_of(obj)
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{view}"
        return reverse(name, args=[ref if _PLAIN.fullmatch(ref) else quote(ref)])

    def list_url(self) -> str:
        return reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_changelist")

    # --- what addresses may ask for

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what a filter of this list uses: any other lookup could be used to guess hidden values."""
        if request is None or not super().lookup_allowed(lookup, value, request):
            return False
        names = {item if isinstance(item, str) else item[0] for item in self._named_filters(request)}
        names |= {*self.allowed_lookups, "pk__in", "pk__exact", f"{self.opts.pk.name}__exact"}
        if self.date_hierarchy:
            names.add(self.date_hierarchy)
        return any(
            lookup == name or lookup.startswith(f"{name}__") or _RANGE.fullmatch(lookup.removeprefix(name))
            for name in names
        )

    def _named_filters(self, request: HttpRequest) -> list[Any]:
        found: list[Any] = []
        for item in self.get_list_filter(request):
            if isinstance(item, (str, tuple)):
                found.append(item)
            elif parameter := getattr(item, "parameter_name", None):
                found.append(parameter)
        return found

    def get_list_filter(self, request: HttpRequest) -> Sequence[Any]:
        return [filter_for(self.model, item) for item in super().get_list_filter(request)]

    # --- choices of forms

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if "queryset" not in kwargs:
            kwargs["queryset"] = scoped_rows(request, db_field.remote_field.model, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(
        self, db_field: models.ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if "queryset" not in kwargs:
            kwargs["queryset"] = scoped_rows(request, db_field.remote_field.model, self.admin_site)
        return super().formfield_for_manytomany(db_field, request, **kwargs)
