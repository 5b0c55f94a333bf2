"""Where inbound webhooks meet the rest of the house: who may be called, and what a call may cause.

The app that receives webhooks knows schemes, rows and retries; the apps around it know integrations, syncs
and records. They stand on one floor and do not see each other, so they meet here, below both:

- a **keeper** finds the party that an address belongs to, and keeps its secret (`apps.connectors` registers
one);
- an **effect** is something that a route may cause, by its name (`event`, `sync`, `record`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from apps.kernel.errors import TransientError
from apps.kernel.registry import Registry

if TYPE_CHECKING:
    from apps.tenants.models import Organization
    from apps.tenants.principals import Actor


@dataclass(frozen=True, slots=True)
class Source:
    """A party that providers may call: an integration, as far as the receiving side needs it.

    `state` is `open` (its calls are taken and worked off), `held` (taken, worked off later) or `closed`.
    """

    organization_id: UUID
    number: str
    code: str
    name: str
    connector: str
    provider: str
    state: str
    url: str
    _secret: Callable[[], str | None] = field(repr=False, compare=False)

    @property
    def secret(self) -> str | None:
        """The present secret; decrypted when it is asked for."""
        return self._secret()


class Keeper(Protocol):
    """Finds sources and keeps their secrets."""

    @property
    def name(self) -> str: ...

    def by_code(self, code: str) -> Source | None:
        """The source at this address, in one query; None if there is none."""

    def by_number(self, organization: Organization, number: str) -> Source | None:
        """The organization's source of this number."""

    def set_secret(self, organization: Organization, number: str, secret: str, actor: Actor) -> None:
        """Keep a new secret. Tells `secret_changes` of the one before it."""

    def streams(self, organization: Organization, number: str) -> Sequence[str]:
        """Names of the streams that a route may have synced."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A verified inbound webhook, as effects see it. `payload` is what its body says (JSON or form), or
    None.
    """

    organization: Organization
    source: Source
    id: str
    event_type: str
    external_id: str
    payload: Any
    received_at: datetime


class NotNow(TransientError):
    """An effect cannot happen yet for a reason that is no failure (a sync is running): tried again,
    uncounted.
    """

    code = "not_now"


@dataclass(frozen=True)
class Effect:
    """Something a route may cause.

    `check(organization, source number, parameters)` returns problems as (pointer, sentence) pairs;
    `run(arrival, parameters)` does it in the caller's transaction, and returns what to note: `ref` (the
    public id or number of what came of it) and `text`. It raises errors of the kernel's tree.
    `run_many(arrivals, parameters)`, if there is one, does the same for several arrivals of one source with
    fewer statements, and notes something for each; what it raises fails them all, and `run` is tried then.
    """

    name: str
    title: str
    check: Callable[[Any, str, Mapping[str, Any]], Sequence[tuple[str, str]]]
    run: Callable[[Arrival, Mapping[str, Any]], Mapping[str, str]]
    run_many: Callable[[Sequence[Arrival], Mapping[str, Any]], Sequence[Mapping[str, str]]] | None = None


@dataclass(frozen=True)
class SecretChange:
    """A listener: `told(organization_id, number, old secret)` in the transaction that replaces the secret."""

    name: str
    told: Callable[[UUID, str, str], None]


keepers: Registry[Keeper] = Registry("Keeper of inbound sources")
effects: Registry[Effect] = Registry("Inbound effect")
secret_changes: Registry[SecretChange] = Registry("Listener to changed secrets")


def by_code(code: str) -> tuple[Keeper, Source] | None:
    """The source that the address belongs to."""
    for keeper in keepers:
        found = keeper.by_code(code)
        if found is not None:
            return keeper, found
    return None


def by_number(organization: Organization, number: str) -> tuple[Keeper, Source] | None:
    """The organization's source of this number."""
    for keeper in keepers:
        found = keeper.by_number(organization, number)
        if found is not None:
            return keeper, found
    return None
