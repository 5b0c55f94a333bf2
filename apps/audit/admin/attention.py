"""A broken audit log on the home page: the organization's, and for the operator the hub's own."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

from apps.audit.models import HUB, AuditChain
from apps.audit.services.entries import chain_of
from apps.kernel.admin import dashboard, organization_of


def problems(request: HttpRequest) -> list[dashboard.Problem]:
    names = [chain_of(organization_of(request))]
    if getattr(request.user, "is_superuser", False):
        names.append(HUB)
    broken = AuditChain.objects.filter(pk__in=names, intact=False)
    return [
        dashboard.Problem(
            title="The audit log is broken" if chain.chain != HUB else "The hub's own audit log is broken",
            text=chain.problems[0]["detail"] if chain.problems else "It is not what the hub has written.",
            href=reverse("admin:audit_auditentry_changelist"),
            when=chain.checked_at,
        )
        for chain in broken
    ]


def register() -> None:
    dashboard.attention.register(dashboard.Attention("audit", problems, scope="audit:read"))
