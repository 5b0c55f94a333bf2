"""The organization, its people and projects."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from django.db import transaction

from apps.audit.services import entries
from apps.tenants.models import Membership, Organization, Project, User
from apps.tenants.principals import Actor, Principal
from apps.tenants.roles import Role, scopes_of
from apps.tenants.services import members, organizations
from integration_hub.demo.state import State
from integration_hub.demo.story import COLLEAGUES, COMPANY, OWNER, Person, Story

COMMAND = Actor("command", "demo", "make demo")
PROJECTS = (
    ("Rental desk", "rental-desk", "Stations, rentals and what guests see of them."),
    ("Fleet care", "fleet-care", "Inspections, workshop, and the models that we buy and sell."),
    ("Finance", "finance", "Billing, and everything that leaves for the books."),
)


def meet(state: State, say: Callable[[str], None]) -> tuple[Story, dict[Person, str]]:
    """The organization with its people and projects; passwords of those who are new here."""
    passwords: dict[Person, str] = {}
    owner = User.objects.filter(email__iexact=OWNER.email).first()
    owned = (
        Membership.objects.filter(user=owner, role=Role.OWNER, organization__name=COMPANY) if owner else None
    )
    membership = owned.select_related("organization").first() if owned is not None else None
    if owner is None or membership is None:
        organization, owner, passwords[OWNER] = _found(owner)
        say(f"Founded {COMPANY}.")
    else:
        organization = membership.organization
        say(f"{COMPANY} is here already: what is missing is added, what you changed stays.")
    story = Story(state, organization, say, users={OWNER: owner})
    _settle(story)
    _invite(story, passwords)
    _plan(story)
    return story, passwords


def _found(owner: User | None) -> tuple[Organization, User, str]:
    password = "" if owner is not None else _password()
    with transaction.atomic():
        if owner is None:
            owner = User.objects.create_user(
                OWNER.email, password, first_name=OWNER.first, last_name=OWNER.last, is_staff=True
            )
        organization = organizations.create(name=COMPANY, owner=owner, timezone="America/Chicago")
        entries.record(
            organization=organization, actor=COMMAND, action="organization.created", target=organization
        )
    return organization, owner, password


def _password() -> str:
    return f"{secrets.token_urlsafe(9)}-{secrets.token_urlsafe(4)}"


def _settle(story: Story) -> None:
    """Dollars, and plain HTTP: the other side of the demo is on this machine and has no certificate."""
    wanted = {"currency": "USD", "allow_http": True}
    organization = story.organization
    changes = {
        name: [getattr(organization, name), value]
        for name, value in wanted.items()
        if getattr(organization, name) != value
    }
    if not changes:
        return
    for name, value in wanted.items():
        setattr(organization, name, value)
    with transaction.atomic():
        organization.save(update_fields=[*wanted, "updated_at"])
        entries.record(
            organization=organization,
            actor=COMMAND,
            action="organization.updated",
            target=organization,
            changes=changes,
        )


def _invite(story: Story, passwords: dict[Person, str]) -> None:
    by = Principal(story.organization, story.actor(OWNER), scopes_of(Role.OWNER))
    for person in COLLEAGUES:
        known = Membership.objects.filter(organization=story.organization, user__email=person.email).first()
        if known is None:
            with transaction.atomic():
                invitation = members.invite(
                    by=by,
                    email=person.email,
                    role=person.role,
                    first_name=person.first,
                    last_name=person.last,
                )
                known = invitation.membership
                entries.record(
                    organization=story.organization,
                    actor=by.actor,
                    action="member.invited",
                    target=known,
                    changes={"role": [None, known.role]},
                )
            if invitation.password:
                passwords[person] = invitation.password
        story.users[person] = known.user


def _plan(story: Story) -> None:
    for name, slug, description in PROJECTS:
        project = Project.objects.filter(organization=story.organization, slug=slug).first()
        if project is None:
            project = Project(organization=story.organization, name=name, slug=slug, description=description)
            project.full_clean()
            with transaction.atomic():
                project.save()
                entries.record(
                    organization=story.organization,
                    actor=story.actor(OWNER),
                    action="project.created",
                    target=project,
                    changes={"name": ["", name]},
                )
        story.projects[slug] = project
