"""Which organization a user works in."""

from __future__ import annotations

from django.urls import reverse

from apps.tenants.models import Organization, User
from apps.tenants.services import organizations
from tests.people import PASSWORD, hub_messages, member, signed_in

HOME = "/admin/"


def test_a_member_works_in_their_organization(acme: Organization, globex: Organization) -> None:
    response = signed_in(member(globex, "staff")).get(HOME)

    assert response.status_code == 200
    assert response.wsgi_request.organization == globex
    assert response.wsgi_request.actor.kind == "user"
    assert response.wsgi_request.actor.ref == "staff@globex.example"
    assert response.wsgi_request.actor.ip == "127.0.0.1"
    assert "Acme" not in response.content.decode()


def test_a_user_switches_between_their_organizations(acme: Organization, globex: Organization) -> None:
    user = member(acme, "owner")
    organizations.admit(organization=globex, user=user, role="auditor")
    client = signed_in(user)
    assert client.get(HOME).wsgi_request.organization == acme

    client.post(reverse("admin:switch_organization"), {"organization": "globex"})

    response = client.get(HOME)
    assert response.wsgi_request.organization == globex
    assert response.wsgi_request.principal.scopes == frozenset({"*:read"})


def test_switching_is_a_post_with_a_token(acme: Organization) -> None:
    client = signed_in(member(acme, "owner"))
    client.handler.enforce_csrf_checks = True

    assert client.get(reverse("admin:switch_organization")).status_code == 405
    assert client.post(reverse("admin:switch_organization"), {"organization": "acme"}).status_code == 403


def test_a_foreign_organization_is_told_like_a_missing_one(acme: Organization, globex: Organization) -> None:
    client = signed_in(member(acme, "owner"))
    told = []
    for slug in ("globex", "nowhere"):
        response = client.post(reverse("admin:switch_organization"), {"organization": slug}, follow=True)
        told.append(hub_messages(response))
        assert response.wsgi_request.organization == acme

    assert told[0] == told[1] == ["That organization does not exist."]


def test_a_choice_ends_with_the_membership(acme: Organization, globex: Organization) -> None:
    user = member(acme, "owner")
    organizations.admit(organization=globex, user=user, role="owner")
    client = signed_in(user)
    client.post(reverse("admin:switch_organization"), {"organization": "globex"})
    user.memberships.filter(organization=globex).update(is_active=False)

    assert client.get(HOME).wsgi_request.organization == acme


def test_a_user_without_an_organization_reads_why(db: None) -> None:
    client = signed_in(User.objects.create_user("lost@example.com", PASSWORD, is_staff=True))

    response = client.get(HOME)

    assert response.status_code == 403
    page = response.content.decode()
    assert "You are not a member of an organization" in page
    assert "lost@example.com" in page
    assert client.post(reverse("admin:logout")).status_code in (200, 302)


def test_a_closed_organization_is_entered_by_nobody(acme: Organization) -> None:
    client = signed_in(member(acme, "owner"))
    acme.is_active = False
    acme.save()

    assert client.get(HOME).status_code == 403


def test_a_one_time_password_is_changed_first(acme: Organization) -> None:
    user = member(acme, "staff")
    User.objects.filter(pk=user.pk).update(must_change_password=True)
    client = signed_in(user)

    response = client.get("/admin/data/clients/")
    assert response.status_code == 302
    assert response.url == reverse("admin:password_change")

    changed = client.post(
        reverse("admin:password_change"),
        {
            "old_password": PASSWORD,
            "new_password1": "a-new-long-phrase",
            "new_password2": "a-new-long-phrase",
        },
    )
    assert changed.status_code == 302
    assert client.get("/admin/data/clients/").status_code == 200


def test_whoever_has_not_signed_in_has_no_organization(acme: Organization) -> None:
    from django.test import Client

    response = Client().get(HOME)

    assert response.status_code == 302
    assert response.wsgi_request.organization is None
    assert response.wsgi_request.principal is None
    assert response.wsgi_request.actor is None
