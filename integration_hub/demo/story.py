"""Who and what the demo is about, and how its steps tell what they did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from apps.records import selectors
from apps.records.models import Dataset
from apps.tenants.models import Organization, Project, User
from apps.tenants.principals import Actor
from apps.tenants.roles import Role
from integration_hub.demo.state import State

COMPANY = "Meridian Car Hire"


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the demo's organization."""

    role: Role
    first: str
    last: str

    @property
    def email(self) -> str:
        return f"{self.first}.{self.last}@meridian.example".lower()


OWNER = Person(Role.OWNER, "Mara", "Lindqvist")
ADMIN = Person(Role.ADMIN, "Tomas", "Okafor")
DEVELOPER = Person(Role.DEVELOPER, "Priya", "Raman")
STAFF = Person(Role.STAFF, "Jonas", "Weber")
AUDITOR = Person(Role.AUDITOR, "Helen", "Castillo")
COLLEAGUES = (ADMIN, DEVELOPER, STAFF, AUDITOR)


@dataclass
class Story:
    """The demo while it is being told: `say` prints a line."""

    state: State
    organization: Organization
    say: Callable[[str], None]
    users: dict[Person, User] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)

    def user(self, person: Person) -> User:
        return self.users[person]

    def actor(self, person: Person) -> Actor:
        """The person as services know whoever is signed in."""
        user = self.users[person]
        return Actor("user", user.email, str(user))

    def dataset(self, slug: str) -> Dataset:
        return selectors.dataset_of(self.organization, slug)
