"""What the request tells of its caller, to those who count calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.apikeys import key_format
from apps.apikeys.principals import Subject, subject_of
from apps.apikeys.services import keys
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM, Principal
from tests.apikeys.conftest import Issue, client_of
from tests.people import member, signed_in

PATH = "/api/v1/datasets"


def test_a_key_and_its_successor_are_one_subject(acme: Organization, issue: Issue) -> None:
    old = issue(acme)
    new = keys.rotate(key=old.key, actor=SYSTEM, overlap=timedelta(hours=1))
    seen = set()
    for issued in (old, new):
        request: Any = client_of(issued.secret).get(PATH).wsgi_request  # type: ignore[attr-defined]
        seen.add(request.hub_principal.subject)
    assert seen == {Subject("key", old.key.group.hex)}


def test_a_refused_key_is_named_only_if_its_secret_was_right(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    body = issued.key.prefix + "_" + "a" * 43
    wrong = body + key_format.checksum(body)
    elsewhere = issue(acme, ip_whitelist=["10.1.2.0/24"])
    keys.suspend(key=issued.key, actor=SYSTEM)

    def refused(secret: str) -> Any:
        response = client_of(secret).get(PATH)
        assert response.status_code in (401, 403)
        request = response.wsgi_request  # type: ignore[attr-defined]
        assert not hasattr(request, "hub_principal")
        return getattr(request, "hub_refused_key", None)

    assert refused(issued.secret) == issued.key.pk
    assert refused(elsewhere.secret) == elsewhere.key.pk
    assert refused(wrong) is None
    assert refused("sk_live_nonsense") is None


def test_a_person_is_a_subject_and_the_hub_is_none(acme: Organization) -> None:
    user = member(acme)
    request: Any = signed_in(user).get(PATH).wsgi_request
    assert subject_of(request.hub_principal) == Subject("user", str(user.pk))
    assert subject_of(Principal(acme, SYSTEM)) is None
