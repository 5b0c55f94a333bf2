"""What the home page offers whoever comes first: the ways in, and the first steps of a new organization."""

from __future__ import annotations

from collections.abc import Callable

from django.apps import apps
from django.http import HttpRequest

from apps.kernel.admin import dashboard
from apps.kernel.admin.access import organization_of


def _has(label: str, path: str = "organization") -> Callable[[HttpRequest], bool]:
    """Whether the organization has any row of a model; one query that stops at the first."""

    def done(request: HttpRequest) -> bool:
        model = apps.get_model(label)
        return model._default_manager.filter(**{path: organization_of(request)}).exists()

    return done


ACTIONS = (
    ("connect", "Connect a system", "hub", "admin:connectors_catalog", "integrations:write"),
    ("import", "Import a file", "upload_file", "admin:jobs_import_new", "jobs:write"),
    ("api-key", "Create an API key", "key", "admin:apikeys_apikey_add", "api-keys:write"),
    ("webhook", "Add a webhook", "webhook", "admin:webhooks_webhookendpoint_add", "webhooks:write"),
)
STEPS = (
    (
        "import",
        "Import a file",
        "A spreadsheet becomes records: columns are matched, and checked before anything is written.",
        "upload_file",
        "admin:jobs_import_new",
        "jobs.Job",
        "jobs:write",
    ),
    (
        "connect",
        "Connect a system",
        "Records then flow in by schedule, and each run can be watched.",
        "hub",
        "admin:connectors_catalog",
        "connectors.Integration",
        "integrations:write",
    ),
    (
        "dataset",
        "Define a dataset",
        "If the built-in ones do not fit: fields of your own, with types and rules.",
        "dataset",
        "admin:records_dataset_add",
        "",
        "datasets:write",
    ),
    (
        "webhook",
        "Add a webhook",
        "Tell another system, signed, as soon as something changes.",
        "webhook",
        "admin:webhooks_webhookendpoint_add",
        "webhooks.WebhookEndpoint",
        "webhooks:write",
    ),
    (
        "api-key",
        "Create an API key",
        "A program then reads and writes records over REST.",
        "key",
        "admin:apikeys_apikey_add",
        "apikeys.APIKey",
        "api-keys:write",
    ),
    (
        "member",
        "Invite a colleague",
        "With a role that says what they may see and do.",
        "group_add",
        "admin:tenants_membership_add",
        "members",
        "members:write",
    ),
)


def _has_custom_dataset(request: HttpRequest) -> bool:
    model = apps.get_model("records.Dataset")
    return model._default_manager.filter(organization=organization_of(request), kind="custom").exists()


def _has_colleague(request: HttpRequest) -> bool:
    model = apps.get_model("tenants.Membership")
    mine = model._default_manager.filter(organization=organization_of(request))
    return mine.exclude(user=request.user.pk).exists()


def register() -> None:
    """Put them on the home page. What no app provides, or the role does not permit, is left out."""
    for order, (name, title, icon, url, scope) in enumerate(ACTIONS, start=1):
        dashboard.quick_actions.register(
            dashboard.QuickAction(f"hub-{name}", order * 10, title, icon, url, scope=scope)
        )
    for order, (name, title, text, icon, url, model, scope) in enumerate(STEPS, start=1):
        done = {"": _has_custom_dataset, "members": _has_colleague}.get(model) or _has(model)
        dashboard.steps.register(
            dashboard.Step(f"hub-{name}", order * 10, title, text, icon, url, done=done, scope=scope)
        )
