"""People in an organization: inviting them, changing what they may do, seeing them off.

Nobody gives a right that they do not have themselves, nobody touches a person who may do more than they, and
an organization always keeps an owner. The callers write the audit log, which lies above this app.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from apps.kernel.errors import Conflict, FieldError, Forbidden, InvalidInput
from apps.tenants.models import Membership, Organization, User
from apps.tenants.principals import Principal
from apps.tenants.roles import Role, allows, scopes_of
from apps.tenants.services import access

_READABLE = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True)
class Invitation:
    """`password` is a new user's one-time password, shown once; None for a person with an account."""

    membership: Membership
    password: str | None


def one_time_password() -> str:
    """About 117 bits, without letters that look alike, in groups that one can read out."""
    return "-".join("".join(secrets.choice(_READABLE) for _ in range(5)) for _ in range(4))


def may_grant(principal: Principal, role: str) -> bool:
    """Whether somebody may give (or take away) a role: only if they have all its scopes themselves."""
    return all(allows(principal.scopes, scope) for scope in scopes_of(role))


def grantable(principal: Principal) -> list[tuple[str, str]]:
    """The roles that they may give, as choices."""
    return [(value, label) for value, label in Role.choices if may_grant(principal, value)]


@transaction.atomic
def invite(*, by: Principal, email: str, role: str, first_name: str = "", last_name: str = "") -> Invitation:
    """Let a person into the organization, with an account if they have none.

    Raises InvalidInput (`/email`, `/role`), Forbidden for a role beyond one's own, Conflict for a member.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidInput(
            errors=[FieldError("/email", "invalid", "This is not an e-mail address.")]
        ) from None
    if role not in Role.values:
        raise InvalidInput(errors=[FieldError("/role", "invalid", "Choose a role.")])
    _require_grant(by, role)
    password: str | None = None
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        password = one_time_password()
        user = User(email=email, first_name=first_name.strip(), last_name=last_name.strip(), is_staff=True)
        user.set_password(password)
        user.must_change_password = True
        user.save()
    elif not user.is_staff:
        User.objects.filter(pk=user.pk).update(is_staff=True)
    known = Membership.objects.filter(organization=by.organization, user=user).first()
    if known is not None and known.is_active:
        raise Conflict(f"{user.email} is a member already, as {known.get_role_display().lower()}.")
    if known is not None:
        known.role, known.is_active = role, True
        known.save(update_fields=["role", "is_active", "updated_at"])
        return Invitation(known, password)
    membership = Membership.objects.create(organization=by.organization, user=user, role=role)
    return Invitation(membership, password)


@transaction.atomic
def change(*, by: Principal, membership: Membership, role: str, is_active: bool) -> Membership:
    """Give a member another role, suspend or readmit them. Raises Forbidden, Conflict for the last owner."""
    membership = _locked(membership)
    _require_grant(by, membership.role)
    if role not in Role.values:
        raise InvalidInput(errors=[FieldError("/role", "invalid", "Choose a role.")])
    _require_grant(by, role)
    if membership.role == Role.OWNER and membership.is_active and (role != Role.OWNER or not is_active):
        _require_other_owner(membership)
    membership.role, membership.is_active = role, is_active
    membership.save(update_fields=["role", "is_active", "updated_at"])
    access.user_changed(membership.user_id)
    return membership


@transaction.atomic
def remove(*, by: Principal, membership: Membership) -> None:
    """Take a member out of the organization; their account and what they did remain."""
    membership = _locked(membership)
    _require_grant(by, membership.role)
    if membership.role == Role.OWNER and membership.is_active:
        _require_other_owner(membership)
    membership.delete()
    access.user_changed(membership.user_id)


@transaction.atomic
def reset_password(*, by: Principal, membership: Membership) -> str:
    """Give a member a new one-time password and return it.

    Refused (Forbidden) for operators and for people who belong to other organizations as well: whoever could
    set their password could enter there.
    """
    membership = _locked(membership)
    _require_grant(by, membership.role)
    user = membership.user
    elsewhere = Membership.objects.filter(user=user).exclude(organization=by.organization).exists()
    if user.is_superuser or elsewhere:
        raise Forbidden(
            f"{user.email} does not belong to this organization alone. Ask the operator of the hub to reset "
            "the password (manage.py changepassword)."
        )
    password = one_time_password()
    user.set_password(password)
    user.must_change_password = True
    user.save(update_fields=["password", "must_change_password"])
    access.user_changed(user.pk)
    return password


def _locked(membership: Membership) -> Membership:
    """The row as it is now; changes of one organization's members wait for one another."""
    Organization.objects.select_for_update().get(pk=membership.organization_id)
    return Membership.objects.select_related("user", "organization").get(pk=membership.pk)


def _require_grant(by: Principal, role: str) -> None:
    if not may_grant(by, role):
        raise Forbidden(
            f"Only somebody who may do all that an {Role(role).label.lower()} may can decide this."
        )


def _require_other_owner(membership: Membership) -> None:
    others = Membership.objects.filter(
        organization=membership.organization_id, role=Role.OWNER, is_active=True, user__is_active=True
    ).exclude(pk=membership.pk)
    if not others.exists():
        raise Conflict("This is the last owner. Make somebody else an owner first.")
