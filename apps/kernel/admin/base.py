"""HubModelAdmin: what every admin of the hub is made of. See README.md beside it for how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ShowFacets, display
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.safestring import mark_safe
from unfold.admin import StackedInline, TabularInline, checkbox
from unfold.enums import ActionVariant

from apps.kernel.admin.access import allows
from apps.kernel.admin.changelist import HubChangeList
from apps.kernel.admin.dependants import dependants_of
from apps.kernel.admin.exporting import ListExport
from apps.kernel.admin.paginator import BigTablePaginator
from apps.kernel.admin.progress import Progress
from apps.kernel.admin.saving import SavingAdmin
from apps.kernel.admin.widgets import JSONFormField, JSONTextarea, NativeDate, NativeDateTime
from apps.kernel.errors import HubError

# JSON is checked while one types; dates and times are picked in the browser's own way.
OVERRIDES: dict[type[models.Field[Any, Any]], dict[str, Any]] = {
    models.JSONField: {"widget": JSONTextarea, "form_class": JSONFormField},
    models.DateTimeField: {"widget": NativeDateTime, "form_class": forms.DateTimeField},
    models.DateField: {"widget": NativeDate},
}


class Permissions:
    """Rights from the role's scopes: view needs `<scope_resource>:read`, change `:write`, delete `:delete`.

    An empty `scope_resource` leaves the operator (superuser) only.
    """

    scope_resource = ""
    # Nobody adds, changes or deletes: logs, histories, what programs write.
    read_only = False
    can_add = True
    can_change = True
    can_delete = True

    def has_scope(self, request: HttpRequest, action: str) -> bool:
        """Whether the role permits `<scope_resource>:<action>`."""
        if not self.scope_resource:
            return bool(getattr(request.user, "is_superuser", False) and request.user.is_active)
        return allows(request, f"{self.scope_resource}:{action}")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_scope(request, "read")

    def has_view_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return self.has_scope(request, "read")

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return self.can_add and not self.read_only and self.has_scope(request, "write")

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return self.can_change and not self.read_only and self.has_scope(request, "write")

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return self.can_delete and not self.read_only and self.has_scope(request, "delete")

    def has_write_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """For actions on rows that are not edited by hand: retry, cancel, replay."""
        return self.has_scope(request, "write")


class HubModelAdmin(Permissions, ListExport, SavingAdmin):
    """A ModelAdmin that is scoped, audited, quick on long lists and explains itself when empty."""

    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    paginator = BigTablePaginator
    list_fullwidth = True
    list_filter_submit = True
    warn_unsaved_form = True
    compressed_fields = True
    delete_confirmation_template = "hub/admin/delete.html"
    delete_selected_confirmation_template = "hub/admin/delete_selected.html"
    object_history_template = "hub/admin/history.html"
    formfield_overrides = OVERRIDES

    # The empty state: a headline, a sentence that says what one would see here, and the way to the first one.
    empty_icon = "inbox"
    empty_title = ""
    empty_text = ""
    # (label, address or name of a URL); without it the Add button is offered to whoever may add.
    empty_action: tuple[str, str] | None = None
    # What the list is called, if not by the model's plural name.
    list_title = ""
    save_and_more = False
    change_form_show_cancel_button = True
    # What the button above the list says instead of “Add integration”.
    add_label = ""
    # Models that `service_delete` deals with: not listed as dependants.
    delete_ignores: Sequence[type[models.Model]] = ()

    # --- lists

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HubChangeList]:
        return HubChangeList

    def known_count(self, request: HttpRequest, rows: models.QuerySet[Any]) -> int | None:
        """The exact number of `rows` where it is known without counting them; None counts up to 10,000."""
        return None

    def get_paginator(
        self,
        request: HttpRequest,
        queryset: Any,
        per_page: int,
        orphans: int = 0,
        allow_empty_first_page: bool = True,
    ) -> Paginator:
        known = self.known_count(request, queryset)
        return BigTablePaginator(
            queryset,
            per_page,
            orphans,
            allow_empty_first_page,
            known_count=None if known is None else lambda: known,
        )

    def empty_state(self, request: HttpRequest) -> dict[str, Any]:
        """What the list says when it holds nothing at all."""
        action = self.empty_action
        if action is not None:
            label, target = action
            try:
                href = target if target.startswith("/") else reverse(target)
            except NoReverseMatch:
                href = ""
        elif self.has_add_permission(request):
            name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_add"
            label, href = f"Add {self.opts.verbose_name}", reverse(name)
        else:
            label, href = "", ""
        return {
            "icon": self.empty_icon,
            "title": self.empty_title or f"No {self.opts.verbose_name_plural} yet",
            "text": self.empty_text,
            "label": label if href else "",
            "href": href,
        }

    @display(description=mark_safe(checkbox.render("action_toggle_all", "1")))  # noqa: S308 - ours
    def action_checkbox(self, obj: models.Model) -> str:
        """Rows are ticked by their public name, too."""
        return str(checkbox.render(ACTION_CHECKBOX_NAME, self.ref_of(obj)))

    def response_action(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> HttpResponse | None:
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if ticked:
            data = request.POST.copy()
            keys = self.by_refs(request, ticked).order_by().values_list("pk", flat=True)
            data.setlist(ACTION_CHECKBOX_NAME, [str(key) for key in keys])
            request.POST = data  # type: ignore[assignment]
            request.hub_ticked = ticked  # type: ignore[attr-defined]
        return super().response_action(request, queryset)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        if not self.has_delete_permission(request):
            actions.pop("delete_selected", None)
        return actions

    def get_unfold_action(self, action: str) -> Any:
        found = super().get_unfold_action(action)
        found.variant = found.variant or ActionVariant.DEFAULT
        return found

    # --- one object

    def object_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """For views of one's own: the object inside the organization, or 404."""
        obj = self.find(request, object_id)
        if obj is None or not self.has_view_permission(request, obj):
            raise Http404(f"{self.opts.verbose_name} {object_id} does not exist.")
        return obj

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """One button saves, one leaves; the rest of Django's only where an admin asks for them."""
        context.setdefault("show_save_and_continue", self.save_and_more)
        context.setdefault("show_save_and_add_another", self.save_and_more)
        if kwargs.get("add") and self.add_label:
            context["title"] = self.add_label
        return super().render_change_form(request, context, *args, **kwargs)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        return super().response_add(request, obj, post_url_continue or self.object_url(obj))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Stay at the address with the public id."""
        if "_continue" in request.POST and "_popup" not in request.POST:
            messages.success(request, f"The {self.opts.verbose_name} “{obj}” was changed.")
            return HttpResponseRedirect(self.object_url(obj))
        return super().response_change(request, obj)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Counted dependants instead of Django's list of every single one."""
        rows = (
            objs
            if isinstance(objs, models.QuerySet)
            else self.get_queryset(request).filter(pk__in=[obj.pk for obj in objs])
        )
        found = dependants_of(rows.order_by(), self.delete_ignores)
        count = len(objs) if not isinstance(objs, models.QuerySet) else objs.count()
        perms: set[str] = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        protected = [*found.blocking, *(f"— {name}" for name in found.examples)]
        return found.taken, {str(self.opts.verbose_name_plural): count}, perms, protected

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A refusal of the service is a sentence on the object's page."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except HubError as refusal:
            messages.error(request, refusal.detail)
        except (models.ProtectedError, models.RestrictedError):
            messages.error(
                request, f"Other objects depend on this {self.opts.verbose_name}: nothing was deleted."
            )
        obj = self.find(request, object_id)
        return HttpResponseRedirect(self.object_url(obj) if obj is not None else self.list_url())

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The audit log's entries about the object."""
        obj = self.find(request, object_id)
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {obj}",
            "opts": self.opts,
            "object": obj,
            "entries": self.history_of(request, obj),
            "back": self.object_url(obj),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.object_history_template, context)

    # --- progress that moves

    def progress_of(self, obj: Any) -> Progress | None:
        """How far the object's work is; None if it has none. Served at `…/<id>/progress/`."""
        return None

    def progress_url(self, obj: Any) -> str:
        return self.object_url(obj, "progress")

    def progress_view(self, request: HttpRequest, object_id: str) -> JsonResponse:
        progress = self.progress_of(self.object_or_404(request, object_id))
        if progress is None:
            raise Http404("There is no progress to show.")
        return JsonResponse(progress.as_json(), headers={"Cache-Control": "no-store"})

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_progress"
        view = self.admin_site.admin_view(self.progress_view)
        progress = path("<path:object_id>/progress/", view, name=name)
        return [*self.list_export_urls(), progress, *super().get_urls()]


class _HubInline(Permissions):
    """Rows of another model on an object's page; rights as above, from the inline's own `scope_resource`."""

    extra = 0
    show_change_link = True
    formfield_overrides = OVERRIDES


class HubTabularInline(_HubInline, TabularInline):
    pass


class HubStackedInline(_HubInline, StackedInline):
    pass
