"""Deeds of the admin that ask first, and deeds that are done by POST only.

    @confirm_action(
        description="Revoke", title="Revoke {object}?", danger=True, icon="block", permissions=["change"],
        text="Programs that use the key are refused from this second on. This cannot be undone.",
    )
    def revoke(self, request, objects): ...

One method serves `actions` (rows ticked in the list), `actions_detail` and `actions_row` (one object): it is
called with a scoped queryset. It may return a response; otherwise the user goes back where they came from.
A HubError that it raises is shown as its sentence. `form_class` adds questions to the page: the method is
then called with the valid form as third argument; a form with `wants_request = True` gets `request=`.
`instantly=True` skips the page for clicks in a browser
(still POST only): for harmless deeds such as “Test connection”.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant

from apps.kernel.errors import HubError, InvalidInput

LISTED = 20


def _form(form_class: type[Form] | None, request: HttpRequest, *, asked: bool) -> Form | None:
    """The questions; a form with `wants_request = True` is told who asks."""
    if form_class is None:
        return None
    more: dict[str, Any] = {"request": request} if getattr(form_class, "wants_request", False) else {}
    return form_class(request.POST if asked else None, **more)


def confirm_action(
    *,
    description: str,
    title: str = "",
    text: str | Callable[..., str] = "",
    details: Callable[..., SafeString] | None = None,
    button: str = "",
    danger: bool = False,
    permissions: Sequence[str] = ("change",),
    icon: str | None = None,
    url_path: str | None = None,
    form_class: type[Form] | None = None,
    instantly: bool = False,
    variant: ActionVariant | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make an admin method an action that is confirmed on a page of its own (see the module's text).

    `{object}` in `title` and `text` stands for the one object or for “3 API keys”; `text` may be a
    callable `(model_admin, request, queryset) -> str`; `details` is called likewise, for HTML that stands
    below it. `permissions` as for Unfold's actions: each names a
    `has_<name>_permission` method.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def inner(self: Any, request: HttpRequest, target: Any = None, **kwargs: Any) -> HttpResponse | None:
            for permission in permissions:
                if not getattr(self, f"has_{permission}_permission")(request):
                    raise PermissionDenied
            from_list = isinstance(target, QuerySet)
            if from_list:
                objects = self.get_queryset(request).filter(pk__in=target.values("pk"))
                back = request.get_full_path()
            else:
                object_id = str(kwargs.get("object_id", target))
                one = self.find(request, object_id)
                if one is None:
                    return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
                objects = self.get_queryset(request).filter(pk=one.pk)
                back = _back(request) or self.object_url(one)
            asked = request.method == "POST" and ("_confirmed" in request.POST)
            form = _form(form_class, request, asked=asked)
            if asked and (form is None or form.is_valid()):
                arguments = (objects,) if form is None else (objects, form)
                try:
                    response = function(self, request, *arguments)
                except HubError as error:
                    if form is None or not isinstance(error, InvalidInput) or not _onto(form, error):
                        messages.error(request, error.detail)
                        return HttpResponseRedirect(back)
                else:
                    return response if isinstance(response, HttpResponse) else HttpResponseRedirect(back)
            return _page(self, request, objects, from_list, back, form)

        def _page(
            self: Any,
            request: HttpRequest,
            objects: QuerySet[Any],
            from_list: bool,
            back: str,
            form: Form | None,
        ) -> HttpResponse:
            rows = list(objects[: LISTED + 1])
            count = len(rows) if len(rows) <= LISTED else objects.count()
            opts = self.opts
            named = f"“{rows[0]}”" if count == 1 and rows else f"{count:,} {opts.verbose_name_plural}"
            said = text(self, request, objects) if callable(text) else text
            context = {
                **self.admin_site.each_context(request),
                "opts": opts,
                "media": self.media + (form.media if form is not None else self.media),
                "title": (title or f"{description} {{object}}?").replace("{object}", named),
                "text": said.replace("{object}", named),
                "details": details(self, request, objects) if details is not None else "",
                "button": button or description,
                "danger": danger,
                "icon": icon,
                "rows": rows[:LISTED] if count > 1 else [],
                "more": max(0, count - LISTED),
                "form": form,
                "back": back,
                "action_name": function.__name__ if from_list else "",
                "selected": getattr(request, "hub_ticked", []) if from_list else [],
                "select_across": request.POST.get("select_across", "0") if from_list else "0",
                "checkbox_name": ACTION_CHECKBOX_NAME,
                "is_popup": False,
            }
            request.current_app = self.admin_site.name
            return TemplateResponse(request, "hub/admin/confirm.html", context)

        attributes: dict[str, Any] = {
            "short_description": description,
            "allowed_permissions": list(permissions),
            "icon": icon,
            "variant": variant or (ActionVariant.DANGER if danger else ActionVariant.DEFAULT),
            "attrs": {"data-post": "1"} if instantly else {},
            "original_function_name": function.__name__,
        }
        if url_path:
            attributes["url_path"] = url_path
        inner.__dict__.update(attributes)
        return inner

    return decorate


def _back(request: HttpRequest) -> str:
    """The page that the user came from, if it is one of ours; carried through the confirmation as `_back`."""
    came = request.POST.get("_back") or request.META.get("HTTP_REFERER", "")
    if came and url_has_allowed_host_and_scheme(
        came, {request.get_host()}, require_https=request.is_secure()
    ):
        path = "/" + came.split("://", 1)[-1].split("/", 1)[-1] if "://" in came else came
        return path if path.startswith("/admin/") and path != request.path else ""
    return ""


def _onto(form: Form, error: InvalidInput) -> bool:
    """Put a service's field errors at the form's fields; False if none of them has a field there."""
    placed = False
    for item in error.errors:
        name = item.pointer.rstrip("/").rsplit("/", 1)[-1]
        if name in form.fields:
            form.add_error(name, item.detail)
            placed = True
    return placed
