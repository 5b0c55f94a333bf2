"""The members of the organization: who they are and what they may do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.kernel.admin import HubModelAdmin, ago, badge, confirm_action, muted, yes_no
from apps.tenants.models import Membership
from apps.tenants.principals import Principal
from apps.tenants.roles import Role
from apps.tenants.services import members

ROLE_MEANING = (
    "Owner: everything. Administrator: everything but ownership and backups. Developer: data, imports, "
    "webhooks and API keys. Staff: data and imports. Auditor: may look at everything."
)


class MemberForm(forms.ModelForm):
    """Another role, or none for a while."""

    role = forms.ChoiceField(choices=Role.choices, widget=UnfoldAdminSelectWidget, help_text=ROLE_MEANING)
    is_active = forms.BooleanField(
        label="May sign in here",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Switched off, the person keeps the account and the role but cannot enter.",
    )

    class Meta:
        model = Membership
        fields = ("role", "is_active")


class InvitationForm(forms.ModelForm):
    """Whom to let in."""

    email = forms.EmailField(label="E-mail address", widget=UnfoldAdminEmailInputWidget)
    first_name = forms.CharField(required=False, max_length=150, widget=UnfoldAdminTextInputWidget)
    last_name = forms.CharField(required=False, max_length=150, widget=UnfoldAdminTextInputWidget)
    role = forms.ChoiceField(choices=Role.choices, widget=UnfoldAdminSelectWidget, help_text=ROLE_MEANING)

    class Meta:
        model = Membership
        fields = ("role",)


@admin.register(Membership)
class MemberAdmin(HubModelAdmin):
    """Members are invited, not added: a new person gets a one-time password, shown once."""

    scope_resource = "members"
    audit_name = "member"
    list_display = ("person", "role_badge", "state", "last_seen", "since")
    list_select_related = ("user", "organization")
    list_filter = ("role", "is_active")
    search_fields = (
        "user__email__istartswith",
        "user__first_name__istartswith",
        "user__last_name__istartswith",
    )
    search_help_text = "Search by the beginning of name or e-mail"
    ordering = ("user__email",)
    actions_detail = ("reset_password",)
    empty_icon = "group"
    list_title = "Members"
    add_label = "Invite a member"

    # Members are named by their address: the installation's own counting is nobody's business.
    def ref_of(self, obj: models.Model) -> str:
        return obj.user.email if isinstance(obj, Membership) else str(obj.pk)

    def by_refs(self, request: HttpRequest, refs: Iterable[str]) -> models.QuerySet[Membership]:
        rows: models.QuerySet[Membership] = self.get_queryset(request)
        return rows.filter(user__email__in=list(refs)).select_related("user", "organization")

    def get_form(
        self, request: HttpRequest, obj: Any | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        kwargs["form"] = MemberForm if obj is not None else InvitationForm
        form = super().get_form(request, obj, change=change, **kwargs)
        if "role" in form.base_fields:
            choices = members.grantable(_principal(request))
            if obj is not None and obj.role not in dict(choices):
                choices.append((obj.role, Role(obj.role).label))
            form.base_fields["role"].choices = choices  # type: ignore[attr-defined]
            form.base_fields["role"].initial = Role.STAFF
        return form

    def get_fields(self, request: HttpRequest, obj: Any | None = None) -> Sequence[str]:
        if obj is None:
            return ("email", "first_name", "last_name", "role")
        return ("person", "role", "is_active", "last_seen", "since")

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> Sequence[str]:
        return ("person", "last_seen", "since") if obj is not None else ()

    # --- deeds

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        invitation = members.invite(by=_principal(request), **values)
        request.hub_invitation = invitation  # type: ignore[attr-defined]
        member = invitation.membership
        self.audit(request, "invited", member, {"role": [None, member.role]})
        return member

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(obj, Membership)
        role, active = values.get("role", obj.role), values.get("is_active", obj.is_active)
        changes = {
            name: [getattr(obj, name), new]
            for name, new in (("role", role), ("is_active", active))
            if getattr(obj, name) != new
        }
        if not changes:
            return obj
        changed = members.change(by=_principal(request), membership=obj, role=role, is_active=active)
        self.audit(request, "changed", changed, changes)
        return changed

    def service_delete(self, request: HttpRequest, obj: models.Model) -> None:
        assert isinstance(obj, Membership)
        self.audit(request, "removed", obj, {"role": [obj.role, None]})
        members.remove(by=_principal(request), membership=obj)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        invitation: members.Invitation = request.hub_invitation  # type: ignore[attr-defined]
        if invitation.password is None:
            messages.success(request, f"{obj.user.email} is in, and signs in with their own password.")
            return self.response_post_save_add(request, obj)
        return self._show_password(request, obj, invitation.password, "was invited")

    @confirm_action(
        description="Reset password",
        title="Give {object} a new password?",
        text="The present password stops working. You are shown a one-time password to pass on; it has to be "
        "changed at the next sign-in.",
        danger=True,
        icon="lock_reset",
        permissions=("change",),
    )
    def reset_password(self, request: HttpRequest, objects: models.QuerySet[Membership]) -> HttpResponse:
        member = objects.select_related("user", "organization").get()
        password = members.reset_password(by=_principal(request), membership=member)
        self.audit(request, "password_reset", member)
        return self._show_password(request, member, password, "has a new password")

    def _show_password(
        self, request: HttpRequest, member: Membership, password: str, what: str
    ) -> HttpResponse:
        """In the answer itself, so that it lies in no session, message or address."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{member.user} {what}",
            "member": member,
            "password": password,
            "back": self.list_url(),
        }
        response = TemplateResponse(request, "hub/admin/one_time_password.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response

    # --- columns

    @admin.display(description="Person", ordering="user__email")
    def person(self, obj: Membership) -> str:
        name = obj.user.get_full_name()
        if not name:
            return obj.user.email
        return format_html("{}<br>{}", name, muted(obj.user.email))

    @admin.display(description="Role", ordering="role")
    def role_badge(self, obj: Membership) -> str:
        tone = {"owner": "good", "admin": "busy"}.get(obj.role, "quiet")
        return badge(obj.get_role_display(), tone, dot=False)

    @admin.display(description="May sign in")
    def state(self, obj: Membership) -> str:
        return yes_no(obj.is_active and obj.user.is_active)

    @admin.display(description="Last sign-in", ordering="user__last_login")
    def last_seen(self, obj: Membership) -> str:
        return ago(obj.user.last_login)

    @admin.display(description="Member since", ordering="created_at")
    def since(self, obj: Membership) -> str:
        return ago(obj.created_at)


def _principal(request: HttpRequest) -> Principal:
    principal = request.principal  # type: ignore[attr-defined]
    assert isinstance(principal, Principal)
    return principal
