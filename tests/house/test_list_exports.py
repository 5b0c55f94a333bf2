"""Every list of the admin as a file: what one sees, all of it, and nothing of anybody else or of a secret."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from apps.apikeys.models import APIKey
from apps.apikeys.services import keys
from apps.audit.models import AuditEntry
from apps.kernel.admin import exporting
from apps.kernel.admin.exporting import text_of_html
from apps.tenants.principals import SYSTEM
from tests.house.test_admin import (  # noqa: F401 - fixtures
    OWNED,
    acme,
    address,
    globex,
    label,
    maker,
    owner,
    registered,
)
from tests.people import member, signed_in

EXPORTED = [model for model in OWNED if registered(model).list_export]


def body(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.headers
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert "no-store" in answer.headers["Cache-Control"]
    return b"".join(answer.streaming_content)


def as_json(client: Client, model: type[models.Model], query: str = "") -> list[dict[str, Any]]:
    found = json.loads(body(client.get(address(model, "list_export", "json") + query)))
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("model", EXPORTED, ids=label)
def test_every_list_is_a_file_of_the_own_organization(model, acme, globex, owner) -> None:  # noqa: F811
    """As many rows as the list itself finds, for one organization and for the other."""
    maker(globex).make(model)
    before = len(as_json(owner, model))
    made = maker(acme)
    made.make(model)
    found = as_json(owner, model)
    listed = owner.get(address(model, "changelist"))
    assert len(found) == listed.context["cl"].result_count >= before
    stranger = signed_in(member(globex, "owner", "stranger@example.com"))
    theirs = as_json(stranger, model)
    assert len(theirs) == stranger.get(address(model, "changelist")).context["cl"].result_count


def test_formats_filters_and_formulas(acme, owner) -> None:  # noqa: F811
    issued, _ = (
        keys.create(
            organization=acme,
            name=name,
            actor=SYSTEM,
            scopes=["records:read"],
            permissions=keys.ALL_PERMISSIONS,
            never_expires=True,
        )
        for name in ("=cmd()", "other")
    )
    text = body(owner.get(address(APIKey, "list_export", "csv"))).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 3
    assert any(cell.startswith("'=cmd()") for row in rows for cell in row)
    assert issued.secret not in text
    book = load_workbook(io.BytesIO(body(owner.get(address(APIKey, "list_export", "xlsx")))))
    assert book.active.max_row == 3
    assert len(as_json(owner, APIKey, "?q=other")) == 1
    assert owner.get(address(APIKey, "list_export", "exe")).status_code == 404
    entry = AuditEntry.objects.filter(action__endswith=".exported").order_by("-id").first()
    assert entry is not None
    assert entry.changes["rows"] == [None, 1]
    assert entry.changes["list"] == [None, "q=other"]


def test_who_may_not_see_the_list_gets_no_file(acme) -> None:  # noqa: F811
    auditor = signed_in(member(acme, "auditor", "auditor@example.com"))
    leaking = [
        model
        for model in EXPORTED
        if auditor.get(address(model, "changelist")).status_code == 403
        and auditor.get(address(model, "list_export", "csv")).status_code != 403
    ]
    assert leaking == []
    assert Client().get(address(APIKey, "list_export", "csv")).status_code == 302
    assert not AuditEntry.objects.filter(action__endswith=".exported", actor_ref="").exists()


def test_a_list_too_long_is_to_be_narrowed_down(acme, owner, monkeypatch) -> None:  # noqa: F811
    made = maker(acme)
    for _ in range(3):
        made.make(APIKey)
    monkeypatch.setattr(exporting, "LIMIT", 2)
    answer = owner.get(address(APIKey, "list_export", "csv"), follow=True)
    assert "more than 2 rows" in answer.content.decode()


def test_html_becomes_what_a_person_reads() -> None:
    assert text_of_html('<a href="/x">Ada</a><br><span class="hub-muted">a &amp; b</span>') == "Ada a & b"
    assert text_of_html('<time datetime="2026-03-01T10:00:00+00:00" title="t">3 minutes ago</time>') == (
        "2026-03-01T10:00:00+00:00"
    )
    assert text_of_html('<i class="material-symbols-outlined">star</i> <button>Copy</button> yes') == "yes"


def test_links_to_the_files_keep_the_filters_of_the_list(acme, owner) -> None:  # noqa: F811
    maker(acme).make(APIKey)
    page = owner.get(address(APIKey, "changelist") + "?o=1").content.decode()
    assert f'href="{address(APIKey, "list_export", "xlsx")}?o=1"' in page


def test_the_number_of_queries_does_not_grow_with_the_list(acme, owner) -> None:  # noqa: F811
    made = maker(acme)
    as_json(owner, APIKey)  # what is remembered between calls is
    counts = []
    for more in (1, 20):
        for _ in range(more):
            made.make(APIKey)
        with CaptureQueriesContext(connection) as queries:
            as_json(owner, APIKey)
        counts.append(len(queries))
    assert counts[0] == counts[1]
