"""Inviting people, changing what they may do, seeing them off."""

from __future__ import annotations

import pytest

from apps.kernel.errors import Conflict, Forbidden, InvalidInput
from apps.tenants.models import Membership, Organization, User
from apps.tenants.principals import Principal
from apps.tenants.services import members
from tests.people import PASSWORD, member, principal_of


@pytest.fixture
def owner(acme: Organization) -> Principal:
    return principal_of(member(acme, "owner"), acme, "owner")


@pytest.fixture
def administrator(acme: Organization) -> Principal:
    return principal_of(member(acme, "admin"), acme, "admin")


def test_a_new_person_gets_an_account_and_a_password_for_the_first_sign_in(owner: Principal) -> None:
    invitation = members.invite(
        by=owner, email=" Ada@Example.com ", role="developer", first_name="Ada", last_name="Lovelace"
    )

    user = User.objects.get(email="ada@example.com")
    assert str(user) == "Ada Lovelace"
    assert user.is_staff
    assert not user.is_superuser
    assert user.must_change_password
    assert invitation.password is not None
    assert user.check_password(invitation.password)
    assert (invitation.membership.organization, invitation.membership.role) == (
        owner.organization,
        "developer",
    )


def test_a_password_chosen_by_oneself_need_not_be_changed(owner: Principal) -> None:
    members.invite(by=owner, email="ada@example.com", role="staff")
    user = User.objects.get(email="ada@example.com")

    user.set_password("my own words here")
    user.save()

    assert not User.objects.get(email="ada@example.com").must_change_password


def test_one_time_passwords_differ_and_are_long() -> None:
    made = {members.one_time_password() for _ in range(200)}

    assert len(made) == 200
    assert all(len(password) == 23 for password in made)


def test_a_person_with_an_account_elsewhere_keeps_their_password(
    owner: Principal, globex: Organization
) -> None:
    user = member(globex, "owner", email="eve@example.com")

    invitation = members.invite(by=owner, email="EVE@example.com", role="staff")

    assert invitation.password is None
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
    assert not user.must_change_password


def test_nobody_gives_a_role_beyond_their_own(administrator: Principal) -> None:
    with pytest.raises(Forbidden):
        members.invite(by=administrator, email="new@example.com", role="owner")

    assert not User.objects.filter(email="new@example.com").exists()
    assert [value for value, _ in members.grantable(administrator)] == ["admin", "developer", "staff"]


def test_an_administrator_cannot_demote_an_owner(administrator: Principal, owner: Principal) -> None:
    membership = Membership.objects.get(user__email=owner.actor.ref)

    with pytest.raises(Forbidden):
        members.change(by=administrator, membership=membership, role="staff", is_active=True)
    with pytest.raises(Forbidden):
        members.remove(by=administrator, membership=membership)
    with pytest.raises(Forbidden):
        members.reset_password(by=administrator, membership=membership)

    membership.refresh_from_db()
    assert (membership.role, membership.is_active) == ("owner", True)


def test_the_last_owner_stays(owner: Principal) -> None:
    membership = Membership.objects.get(user__email=owner.actor.ref)

    for deed in (
        lambda: members.change(by=owner, membership=membership, role="staff", is_active=True),
        lambda: members.change(by=owner, membership=membership, role="owner", is_active=False),
        lambda: members.remove(by=owner, membership=membership),
    ):
        with pytest.raises(Conflict) as refusal:
            deed()
        assert refusal.value.detail == "This is the last owner. Make somebody else an owner first."

    membership.refresh_from_db()
    assert (membership.role, membership.is_active) == ("owner", True)


def test_an_owner_leaves_once_there_is_another(owner: Principal, acme: Organization) -> None:
    member(acme, "owner", email="second@example.com")

    members.remove(by=owner, membership=Membership.objects.get(user__email=owner.actor.ref))

    assert list(acme.memberships.values_list("user__email", flat=True)) == ["second@example.com"]
    assert User.objects.filter(email=owner.actor.ref).exists()


def test_an_owner_who_cannot_sign_in_does_not_count(owner: Principal, acme: Organization) -> None:
    gone = member(acme, "owner", email="gone@example.com")
    gone.is_active = False
    gone.save()

    with pytest.raises(Conflict):
        members.remove(by=owner, membership=Membership.objects.get(user__email=owner.actor.ref))


def test_a_member_is_not_invited_twice(owner: Principal, acme: Organization) -> None:
    member(acme, "staff", email="stan@example.com")

    with pytest.raises(Conflict) as refusal:
        members.invite(by=owner, email="stan@example.com", role="admin")

    assert refusal.value.detail == "stan@example.com is a member already, as staff."


def test_a_suspended_member_comes_back_by_invitation(owner: Principal, acme: Organization) -> None:
    stan = member(acme, "staff", email="stan@example.com")
    members.change(by=owner, membership=stan.memberships.get(), role="staff", is_active=False)

    members.invite(by=owner, email="stan@example.com", role="developer")

    membership = stan.memberships.get()
    assert (membership.role, membership.is_active) == ("developer", True)


def test_wrong_input_names_the_field(owner: Principal) -> None:
    with pytest.raises(InvalidInput) as refusal:
        members.invite(by=owner, email="not an address", role="staff")
    assert [e.pointer for e in refusal.value.errors] == ["/email"]

    with pytest.raises(InvalidInput) as refusal:
        members.invite(by=owner, email="a@example.com", role="king")
    assert [e.pointer for e in refusal.value.errors] == ["/role"]


def test_a_password_is_reset_for_members_of_this_organization_alone(
    owner: Principal, acme: Organization, globex: Organization
) -> None:
    stan = member(acme, "staff", email="stan@example.com")
    both = member(acme, "staff", email="both@example.com")
    from apps.tenants.services import organizations

    organizations.admit(organization=globex, user=both, role="owner")
    operator = member(acme, "staff", email="op@example.com", is_superuser=True)

    password = members.reset_password(by=owner, membership=stan.memberships.get())

    stan.refresh_from_db()
    assert stan.check_password(password)
    assert stan.must_change_password
    for person in (both, operator):
        with pytest.raises(Forbidden):
            members.reset_password(by=owner, membership=person.memberships.get(organization=acme))
        person.refresh_from_db()
        assert person.check_password(PASSWORD)
