"""Who is asking, on whose behalf, and what they may do: the one answer that every door works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.tenants.models import Organization
from apps.tenants.roles import allows


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something. `kind` is user, api_key, application, job, integration, command or system.

    `ref` identifies it within its kind (a public id or number), `label` is what a person reads.
    """

    kind: str
    ref: str = ""
    label: str = ""
    ip: str | None = None
    request_id: str = ""


SYSTEM = Actor("system", "system", "The hub")


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller, bound to one organization."""

    organization: Organization
    actor: Actor
    scopes: frozenset[str] = field(default_factory=frozenset)

    def allows(self, scope: str) -> bool:
        return allows(self.scopes, scope)
