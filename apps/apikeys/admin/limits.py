"""Limits: the rules, and how much each caller has left of them at this moment."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.apikeys.limiter import get as get_limiter
from apps.apikeys.limiter.plans import SECOND
from apps.apikeys.models import APIKey, Application, RateLimit
from apps.apikeys.quotas import INSTALLATION
from apps.apikeys.services import limits
from apps.apikeys.services.limits import Target
from apps.apikeys.statuses import KeyStatus
from apps.kernel.admin import (
    HubModelAdmin,
    badge,
    confirm_action,
    duration,
    mono,
    muted,
    number,
)

SHOWN = 60
_NAMES = {"minute": "Minute", "hour": "Hour", "day": "Day", "burst": "At once"}
_SOURCES = {
    INSTALLATION: "the installation",
    RateLimit.For.ORGANIZATION: "every caller",
    RateLimit.For.KEY: "this key",
    RateLimit.For.APPLICATION: "this application",
}


class RateLimitForm(forms.ModelForm):
    """One rule. Empty numbers say nothing: what is less specific holds."""

    key = forms.ModelChoiceField(
        label="API key",
        queryset=APIKey.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="The keys that it is rotated to share its limits.",
    )
    application = forms.ModelChoiceField(
        queryset=Application.objects.none(), required=False, widget=UnfoldAdminSelectWidget
    )
    endpoint = forms.CharField(
        required=False,
        max_length=200,
        label="Only these endpoints",
        widget=UnfoldAdminTextInputWidget({"placeholder": "GET /records/*"}),
        help_text="Method and path without /api and version; * stands for anything. Empty: all calls. "
        "Such limits hold besides those of all calls.",
    )

    class Meta:
        model = RateLimit
        fields = ("subject_kind", "endpoint", "per_minute", "per_hour", "per_day", "burst", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rule = self.instance
        if rule.pk is not None and not rule._state.adding:
            target = limits.target_of(rule)
            if rule.subject_kind in self.fields and target.object is not None:
                self.initial[rule.subject_kind] = target.object.pk

    def clean(self) -> dict[str, Any] | None:
        values = super().clean() or self.cleaned_data
        kind = values.get("subject_kind", self.instance.subject_kind)
        if kind in ("key", "application") and kind in self.fields and not values.get(kind):
            self.add_error(kind, f"Choose the {'API key' if kind == 'key' else 'application'}.")
        return values


@admin.register(RateLimit)
class RateLimitAdmin(HubModelAdmin):
    scope_resource = "api-keys"
    audit_name = "rate_limit"
    list_display = ("whose", "calls", "minute", "hour", "day", "at_once", "state")
    list_filter = ("subject_kind", "enabled")
    ordering = ("-id",)
    sortable_by = ()
    list_title = "Rate limits"
    change_list_template = "hub/apikeys/limits_list.html"
    add_label = "Add a limit"
    empty_icon = "speed"
    empty_title = "No limits of your own yet"
    empty_text = (
        "Until there are some, the installation's limit holds for each key and application by itself. "
        "Set one for every caller, for one key or application, or for some endpoints."
    )
    conditional_fields = {"key": "subject_kind == 'key'", "application": "subject_kind == 'application'"}
    actions = ("reset",)
    actions_detail = ("left", "reset")
    fieldsets = (
        (None, {"fields": ("subject_kind", "key", "application", "endpoint")}),
        (
            "Calls",
            {
                "fields": (("per_minute", "per_hour"), ("per_day", "burst"), "enabled"),
                "description": "Of each window the most specific number counts: the key's or application's, "
                "else that of every caller, else the installation's.",
            },
        ),
    )

    def get_form(
        self, request: HttpRequest, obj: Any | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        kwargs["form"] = RateLimitForm
        form = super().get_form(request, obj, change=change, **kwargs)
        fields: dict[str, Any] = form.base_fields
        organization = _organization(request)
        if "key" in fields:
            fields["key"].queryset = _keys(organization)
            fields["application"].queryset = Application.objects.filter(organization=organization)
        return form

    # --- columns

    @admin.display(description="For")
    def whose(self, obj: RateLimit) -> str:
        if obj.subject_kind == RateLimit.For.ORGANIZATION:
            return obj.get_subject_kind_display()
        target = limits.target_of(obj)
        if target.object is None:
            return muted("(gone)")
        return format_html("{}<br>{}", str(target.object), muted(obj.get_subject_kind_display()))

    @admin.display(description="Calls")
    def calls(self, obj: RateLimit) -> str:
        return mono(obj.endpoint) if obj.endpoint else muted("all")

    @admin.display(description="Minute")
    def minute(self, obj: RateLimit) -> str:
        return _shown(obj.per_minute)

    @admin.display(description="Hour")
    def hour(self, obj: RateLimit) -> str:
        return _shown(obj.per_hour)

    @admin.display(description="Day")
    def day(self, obj: RateLimit) -> str:
        return _shown(obj.per_day)

    @admin.display(description="At once")
    def at_once(self, obj: RateLimit) -> str:
        return _shown(obj.burst)

    @admin.display(description="State")
    def state(self, obj: RateLimit) -> str:
        return badge("in force", "good") if obj.enabled else badge("lifted", "quiet")

    # --- writing

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        return limits.save(
            target=self._target(request, values),
            actor=_actor(request),
            endpoint=values.get("endpoint", ""),
            values=values,
        )

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(obj, RateLimit)
        found = form.cleaned_data
        return limits.save(
            target=self._target(request, found),
            actor=_actor(request),
            endpoint=found["endpoint"],
            values=found,
            rule=obj,
        )

    def service_delete(self, request: HttpRequest, obj: models.Model) -> None:
        assert isinstance(obj, RateLimit)
        limits.remove(rule=obj, actor=_actor(request))

    def _target(self, request: HttpRequest, values: dict[str, Any]) -> Target:
        organization = _organization(request)
        if values["subject_kind"] == RateLimit.For.KEY:
            return limits.of_key(values["key"])
        if values["subject_kind"] == RateLimit.For.APPLICATION:
            return limits.of_application(organization, values["application"])
        return limits.everybody(organization)

    # --- deeds

    @confirm_action(
        description="Reset",
        title="Reset what was counted for {object}?",
        icon="restart_alt",
        permissions=["write"],
        text="Everything that was counted is forgotten: whoever has used up a limit may call again at once. "
        "The limits themselves stay.",
    )
    def reset(self, request: HttpRequest, objects: models.QuerySet[RateLimit]) -> None:
        targets: list[Target] = []
        for rule in objects.select_related("organization"):
            if rule.subject_kind == RateLimit.For.ORGANIZATION:
                targets += [target for target, _ in _callers(rule.organization)]
            else:
                targets.append(limits.target_of(rule))
        for target in targets:
            limits.reset(target=target, actor=_actor(request))
        messages.success(request, f"Reset for {len(targets)} caller{'' if len(targets) == 1 else 's'}.")

    @confirm_action(description="How much is left", icon="speed", permissions=["view"], instantly=True)
    def left(self, request: HttpRequest, objects: models.QuerySet[RateLimit]) -> HttpResponse:
        rule = objects.get()
        if rule.subject_kind == RateLimit.For.ORGANIZATION:
            return HttpResponseRedirect(reverse("admin:apikeys_limits_now"))
        return HttpResponseRedirect(_address(limits.target_of(rule)))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("now/", view(self.now_view), name="apikeys_limits_now"),
            path("now/<str:kind>/<str:ref>/", view(self.now_view), name="apikeys_limits_of"),
            path(
                "now/<str:kind>/<str:ref>/reset/",
                view(require_POST(self.reset_view)),
                name="apikeys_limits_reset",
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        now = reverse("admin:apikeys_limits_now")
        return super().changelist_view(request, {"hub_limits_now": now, **(extra_context or {})})

    def now_view(self, request: HttpRequest, kind: str = "", ref: str = "") -> HttpResponse:
        """Each caller's limits as they stand; with `?part` only what changes."""
        if not self.has_view_permission(request):
            raise Http404
        organization = _organization(request)
        callers = [_found(organization, kind, ref)] if kind else _callers(organization)
        context: dict[str, Any] = {
            "callers": [_told(target, name) for target, name in callers],
            "one": bool(kind),
            "is_down": get_limiter().is_down,
            "counts_here": not get_limiter().is_shared,
            "at": timezone.now(),
            "may_write": self.has_write_permission(request),
        }
        if "part" in request.GET:
            response = TemplateResponse(request, "hub/apikeys/limits_part.html", context)
        else:
            trail = [{"title": "Rate limits", "link": self.list_url()}]
            if kind and context["may_write"]:
                context |= self._rule_link(callers[0][0])
            context |= {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": f"Limits of {callers[0][1]}" if kind else "How much is left",
                "hub_trail": trail,
                "list_url": self.list_url(),
            }
            request.current_app = self.admin_site.name
            response = TemplateResponse(request, "hub/apikeys/limits.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def _rule_link(self, target: Target) -> dict[str, str]:
        """Where the limits of a caller's calls are changed, or set for the first time."""
        rule = next((rule for rule in limits.rules_of(target) if not rule.endpoint), None)
        if rule is not None:
            return {"rule_url": self.object_url(rule), "rule_label": "Change its limits"}
        if target.object is None or getattr(target.object, "status", "") == KeyStatus.REVOKED:
            return {}
        chosen = urlencode({"subject_kind": target.kind, target.kind: target.object.pk})
        return {
            "rule_url": f"{reverse('admin:apikeys_ratelimit_add')}?{chosen}",
            "rule_label": "Set limits of its own",
        }

    def reset_view(self, request: HttpRequest, kind: str, ref: str) -> HttpResponse:
        """Asks, then forgets what was counted for one caller."""
        if not self.has_write_permission(request):
            raise Http404
        target, name = _found(_organization(request), kind, ref)
        back = _address(target)
        if "_confirmed" in request.POST:
            limits.reset(target=target, actor=_actor(request))
            messages.success(request, f"What was counted for {name} is forgotten.")
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": f"Reset what was counted for “{name}”?",
            "text": "Everything that was counted is forgotten: it may call again at once. Its limits stay.",
            "button": "Reset",
            "icon": "restart_alt",
            "danger": False,
            "rows": [],
            "more": 0,
            "form": None,
            "back": back,
            "action_name": "",
            "selected": [],
            "is_popup": False,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "hub/admin/confirm.html", context)


def _actor(request: HttpRequest) -> Any:
    return request.actor  # type: ignore[attr-defined]


def _organization(request: HttpRequest) -> Any:
    return request.organization  # type: ignore[attr-defined]


def _keys(organization: Any) -> models.QuerySet[APIKey]:
    """The keys that can still be used; of each group the newest."""
    successor = APIKey.objects.filter(group=models.OuterRef("group"), id__gt=models.OuterRef("id"))
    found = APIKey.objects.filter(organization=organization).exclude(
        status__in=[KeyStatus.REVOKED, KeyStatus.EXPIRED]
    )
    return found.exclude(models.Exists(successor)).select_related("organization")


def _callers(organization: Any) -> list[tuple[Target, str]]:
    """The keys and applications of the organization, last used first."""
    keys = _keys(organization).order_by(models.F("last_used_at").desc(nulls_last=True), "-id")[:SHOWN]
    apps = Application.objects.filter(organization=organization).order_by("name")[:SHOWN]
    return [
        *((limits.of_key(key), str(key)) for key in keys),
        *((limits.of_application(organization, found), str(found)) for found in apps),
    ]


def _found(organization: Any, kind: str, ref: str) -> tuple[Target, str]:
    if kind == "key":
        key = (
            APIKey.objects.select_related("organization")
            .filter(organization=organization, number=ref)
            .first()
        )
        if key is not None:
            return limits.of_key(key), str(key)
    elif kind == "application":
        application = Application.objects.filter(organization=organization, client_id=ref).first()
        if application is not None:
            return limits.of_application(organization, application), str(application)
    raise Http404("There is no such caller.")


def _address(target: Target) -> str:
    if target.object is None:
        return reverse("admin:apikeys_limits_now")
    ref = getattr(target.object, "number", "") or target.id
    return reverse("admin:apikeys_limits_of", args=[target.kind, ref])


def _told(target: Target, name: str) -> dict[str, Any]:
    state = limits.state_of(target)
    rows = []
    for item, standing in state.limits:
        limit = item.counter.limit
        used = limit - standing.remaining
        share = 100 * used / limit
        rows.append(
            {
                "name": _NAMES[item.counter.name.partition(" ")[0]],
                "endpoint": item.endpoint,
                "limit": limit,
                "shown": f"{standing.remaining:,} of {limit:,}",
                "used": used,
                "percent": f"{share:.1f}",
                "tone": "bad" if not standing.remaining else "warn" if share >= 80 else "",
                "more_in": _span(-(-standing.wait // SECOND)) if used else "",
                "source": _SOURCES.get(item.source, item.source),
            }
        )
    url = _address(target)
    return {
        "name": name,
        "rows": rows,
        "throttled": state.throttled,
        "wait": _span(state.wait),
        "url": url,
        "reset_url": f"{url}reset/",
    }


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds < 60 else str(duration(seconds))


def _shown(value: int | None) -> str:
    return str(number(value)) if value is not None else muted("–")
