"""The sidebar: ordered by what people come to do, not by app. What a role may not see is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from apps.kernel.admin.access import allows, organization_of
from apps.records.models import Dataset

SHOWN_DATASETS = 40


@dataclass(frozen=True)
class Item:
    """One line. `url` is a URL's name within the admin; the line is left out while no app provides it."""

    title: str
    icon: str
    url: str
    scope: str = ""
    query: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Group:
    title: str
    items: tuple[Item, ...]
    collapsible: bool = False


BEFORE = (Group("", (Item("Home", "home", "index", exact=True),)),)
DATA = (
    Item("All datasets", "dataset", "records_dataset_changelist", "datasets:read"),
    Item("Mappings", "alt_route", "records_mapping_changelist", "mappings:read"),
    Item("Changes", "history", "records_change_changelist", "records:read"),
)
AFTER = (
    Group(
        "Connect",
        (
            Item("Integrations", "hub", "connectors_integration_changelist", "integrations:read"),
            Item("Sync jobs", "sync", "connectors_syncjob_changelist", "syncs:read"),
            Item("Call log", "receipt_long", "connectors_integrationlog_changelist", "integrations:read"),
            Item("Catalog", "storefront", "connectors_catalog", "integrations:read"),
        ),
    ),
    Group(
        "Import & export",
        (
            Item("New import", "upload_file", "jobs_import_new", "jobs:write"),
            Item("New export", "download", "jobs_export_new", "jobs:write"),
            Item("Jobs", "checklist", "jobs_job_changelist", "jobs:read"),
            Item("Templates", "bookmark", "jobs_importtemplate_changelist", "jobs:read"),
            Item("Remembered", "psychology", "jobs_rememberedmapping_changelist", "mappings:read"),
            Item("Schedules", "schedule", "jobs_jobschedule_changelist", "schedules:read"),
            Item("Places", "folder_shared", "jobs_filelocation_changelist", "locations:read"),
        ),
    ),
    Group(
        "Webhooks",
        (
            Item("Live", "sensors", "webhooks_live", "webhooks:read"),
            Item("Endpoints", "webhook", "webhooks_webhookendpoint_changelist", "webhooks:read"),
            Item("Deliveries", "send", "webhooks_delivery_changelist", "webhooks:read"),
            Item("Replays", "replay", "webhooks_replay_changelist", "webhooks:read"),
            Item("Inbound", "move_to_inbox", "webhooks_inboundwebhook_changelist", "webhooks:read"),
            Item("Inbound addresses", "dns", "webhooks_inboundreceiver_changelist", "integrations:read"),
            Item("Payments", "payments", "webhooks_merchanttransaction_changelist", "webhooks:read"),
            Item("Events", "bolt", "events_event_changelist", "events:read"),
            Item("Event types", "category", "events_types", "events:read"),
        ),
    ),
    Group(
        "Access",
        (
            Item("API keys", "key", "apikeys_apikey_changelist", "api-keys:read"),
            Item("OAuth applications", "apps", "apikeys_application_changelist", "applications:read"),
            Item("API usage", "monitoring", "apikeys_usage", "api-keys:read"),
            Item("Rate limits", "speed", "apikeys_ratelimit_changelist", "api-keys:read"),
            Item("Request log", "list_alt", "apikeys_requestlog_changelist", "api-keys:read"),
            Item("API versions", "layers", "apikeys_apiversion_changelist", "api-keys:read"),
            Item("Members", "group", "tenants_membership_changelist", "members:read"),
            Item("Projects", "folder", "tenants_project_changelist", "projects:read"),
        ),
    ),
    Group(
        "Watch",
        (
            Item("Health", "monitor_heart", "health_healthcheck_changelist", "health:read"),
            Item("Alerts", "notifications", "health_alert_changelist", "health:read"),
            Item("Backups", "backup", "backups_backup_changelist", "backups:read"),
            Item("Audit log", "policy", "audit_auditentry_changelist", "audit:read"),
        ),
    ),
    Group(
        "Settings", (Item("Organization", "settings", "tenants_organization_settings", "organization:read"),)
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups as Unfold wants them, for the current organization and role."""
    if organization_of(request) is None:
        return []
    groups = [*BEFORE, Group("Data", DATA), *AFTER]
    found = []
    for group in groups:
        items = [entry for item in group.items if (entry := _entry(request, item)) is not None]
        if group.title == "Data":
            items = _datasets(request) + items
        if items:
            found.append(
                {"title": group.title, "separator": False, "collapsible": group.collapsible, "items": items}
            )
    return found


def _entry(request: HttpRequest, item: Item) -> dict[str, Any] | None:
    if item.scope and not allows(request, item.scope):
        return None
    try:
        link = reverse(f"admin:{item.url}")
    except NoReverseMatch:
        return None
    return {
        "title": item.title,
        "icon": item.icon,
        "link": link + (f"?{item.query}" if item.query else ""),
        "active": _is_active(request.path, link, item.exact),
    }


def _is_active(path: str, link: str, exact: bool = False) -> Any:
    """As a callable: Unfold would try to import a string and calls what it is given."""
    active = path == link if exact else path.startswith(link)
    return lambda _: active


def _datasets(request: HttpRequest) -> list[dict[str, Any]]:
    """Each dataset of the organization, custom ones included."""
    if not allows(request, "records:read"):
        return []
    rows = Dataset.objects.filter(organization=organization_of(request), archived_at=None).order_by("name")
    found = []
    for slug, name, icon in rows.values_list("slug", "name", "icon")[:SHOWN_DATASETS]:
        try:
            link = reverse("admin:data_list", args=[slug])
        except NoReverseMatch:
            return []
        found.append(
            {
                "title": name,
                "search_title": name,
                "icon": icon or "database",
                "link": link,
                "active": _is_active(request.path, link),
            }
        )
    return found
