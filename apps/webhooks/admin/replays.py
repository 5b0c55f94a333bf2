"""Replays: what is sent again in the background, how far that is, and steering it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps.kernel.admin import (
    HubModelAdmin,
    Progress,
    ago,
    confirm_action,
    definition_list,
    empty,
    link,
    mono,
    muted,
    progress_bar,
    status_badge,
    words_filter,
)
from apps.kernel.admin.display import exact
from apps.webhooks.models import Replay
from apps.webhooks.services import replays
from apps.webhooks.statuses import Chosen, ReplayStatus


def progress(row: Replay) -> Progress:
    """How far a replay is; its pace is that of the time at work."""
    now = timezone.now()
    note = row.status_reason
    if row.is_waiting:
        note = "Waiting for a worker."
    elif row.is_running and row.total is None:
        note = "Counting."
    elif row.status == ReplayStatus.COMPLETED and row.total is not None and row.sent < row.total:
        note = f"{row.total - row.sent:,} were no longer to be sent when their turn came."
    return Progress(
        done=row.sent,
        total=row.sent if row.status == ReplayStatus.COMPLETED else row.total,
        active=row.is_running,
        status=row.status,
        unit="deliveries",
        started_at=now - timedelta(seconds=row.work_seconds),
        finished_at=now,
        note=note,
    )


def bar(row: Replay, *, compact: bool = False) -> SafeString:
    url = reverse("admin:webhooks_replay_progress", args=[row.number])
    return progress_bar(progress(row), url, compact=compact, reload=not compact)


@admin.register(Replay)
class ReplayAdmin(HubModelAdmin):
    scope_resource = "webhooks"
    audit_name = "replay"
    read_only = True
    list_display = ("number", "what_shown", "endpoint_shown", "state", "how_far", "by", "ordered")
    list_display_links = ("number",)
    list_filter = (words_filter("status", ReplayStatus.choices), "endpoint")
    list_select_related = ("endpoint",)
    search_fields = ("number__istartswith",)
    search_help_text = "Search by number"
    ordering = ("-id",)
    sortable_by = ()
    actions_detail = ("pause", "resume", "cancel")
    fields = ("progress_shown", "summary")
    readonly_fields = fields
    empty_icon = "replay"
    empty_title = "Nothing was replayed yet"
    empty_text = (
        "An endpoint's “Replay since” sends again what it got, or did not get, since a time; several "
        "deliveries that are retried together go the same way. Each such order is kept here, with how far "
        "it is."
    )
    empty_action = ("Endpoints", "admin:webhooks_webhookendpoint_changelist")

    # --- columns

    @admin.display(description="What")
    def what_shown(self, obj: Replay) -> str:
        return obj.get_what_display()

    @admin.display(description="Endpoint")
    def endpoint_shown(self, obj: Replay) -> str:
        if obj.endpoint is None:
            return muted("all of them")
        address = reverse("admin:webhooks_webhookendpoint_change", args=[obj.endpoint.number])
        return link(address, f"{obj.endpoint.number} {obj.endpoint.name}")

    @admin.display(description="Status")
    def state(self, obj: Replay) -> str:
        return status_badge(obj.status, title=obj.status_reason)

    @admin.display(description="Progress")
    def how_far(self, obj: Replay) -> str:
        if not obj.is_finished:
            return bar(obj, compact=True)
        return f"{obj.sent:,} sent again"

    @admin.display(description="By")
    def by(self, obj: Replay) -> str:
        return obj.actor_label or empty()

    @admin.display(description="Ordered")
    def ordered(self, obj: Replay) -> str:
        return ago(obj.created_at)

    # --- the page

    def progress_of(self, obj: Any) -> Progress:
        return progress(obj)

    @admin.display(description="Progress")
    def progress_shown(self, obj: Replay) -> str:
        return bar(obj)

    @admin.display(description="Order")
    def summary(self, obj: Replay) -> str:
        kinds = (
            ("that failed or were cancelled", obj.failed),
            ("that arrived", obj.delivered),
            ("that were never owed", obj.missing),
            ("that wait for their next try", obj.waiting),
        )
        counted = ", ".join(f"{number:,} {text}" for text, number in kinds if number)
        types = [mono(name) for name in obj.event_types]
        facts = [
            ("Status", format_html("{} {}", self.state(obj), muted(obj.status_reason))),
            ("What", self._what(obj)),
            ("Endpoint", self.endpoint_shown(obj)),
            ("Event types", mark_safe(", ".join(types)) if types else "any"),  # noqa: S308 - escaped by mono
            ("Since", exact(obj.since) if obj.since else "the beginning"),
            ("Until", exact(obj.until)),
            ("Counted", counted or empty()),
            ("Sent again", f"{obj.sent:,}"),
            ("Ordered", format_html("{} by {}", ago(obj.created_at), obj.actor_label or "nobody")),
            ("Ended", ago(obj.completed_at, never="not yet")),
        ]
        return definition_list(facts)

    @staticmethod
    def _what(obj: Replay) -> str:
        if obj.what != Chosen.SELECTED:
            return obj.get_what_display()
        if obj.delivery_ids:
            return f"{len(obj.delivery_ids):,} deliveries that were ticked"
        return f"Deliveries that are {' or '.join(obj.statuses)}" if obj.statuses else "All deliveries"

    # --- deeds

    def _status(self, request: HttpRequest, object_id: Any) -> str:
        known: dict[str, str] = request.__dict__.setdefault("_replay_status", {})
        if str(object_id) not in known:
            row = self.get_object(request, str(object_id))
            known[str(object_id)] = "" if row is None else row.status
        return known[str(object_id)]

    def _may(self, request: HttpRequest, object_id: Any, *statuses: str) -> bool:
        return self.has_write_permission(request) and (
            object_id is None or self._status(request, object_id) in statuses
        )

    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may(request, object_id, ReplayStatus.RUNNING)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may(request, object_id, ReplayStatus.PAUSED, ReplayStatus.FAILED)

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._may(request, object_id, ReplayStatus.RUNNING, ReplayStatus.PAUSED)

    @confirm_action(description="Pause", permissions=["pause"], icon="pause", instantly=True)
    def pause(self, request: HttpRequest, objects: models.QuerySet[Replay]) -> None:
        for row in objects.select_related("organization"):
            replays.pause(replay=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{row} is paused; what is owed by now is sent.")

    @confirm_action(description="Go on", permissions=["resume"], icon="play_arrow", instantly=True)
    def resume(self, request: HttpRequest, objects: models.QuerySet[Replay]) -> None:
        for row in objects.select_related("organization", "endpoint"):
            replays.resume(replay=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{row} goes on where it ended.")

    @confirm_action(
        description="Cancel",
        title="Cancel {object}?",
        button="Cancel the replay",
        permissions=["cancel"],
        icon="block",
        text="No more is sent again. What is owed by now is sent all the same.",
        danger=True,
    )
    def cancel(self, request: HttpRequest, objects: models.QuerySet[Replay]) -> None:
        for row in objects.select_related("organization"):
            replays.cancel(replay=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{row} was cancelled.")
