"""Pages of long lists."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.paginator import EmptyPage
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.kernel.admin.distinct import distinct_values
from apps.kernel.admin.paginator import BigTablePaginator
from apps.tenants.models import Organization, Project


@pytest.fixture
def projects(db: None) -> Any:
    organization = Organization.objects.create(name="Acme", slug="acme")
    Project.objects.bulk_create(
        [Project(organization=organization, name=f"P{n:03}", slug=f"p{n % 5}-{n:03}") for n in range(95)]
    )
    return Project.objects.order_by("name", "pk")


def names(page: Any) -> list[str]:
    return [project.name for project in page.object_list]


def test_all_pages_together_are_the_whole_list_in_order(projects: Any) -> None:
    paginator = BigTablePaginator(projects, 10)

    seen = [name for number in paginator.page_range for name in names(paginator.page(number))]

    assert paginator.num_pages == 10
    assert seen == [f"P{n:03}" for n in range(95)]
    assert names(paginator.page(10)) == ["P090", "P091", "P092", "P093", "P094"]


def test_the_last_page_is_read_from_the_end(projects: Any) -> None:
    paginator = BigTablePaginator(projects, 10)
    assert paginator.count == 95

    with CaptureQueriesContext(connection) as queries:
        paginator.page(10)

    assert "DESC LIMIT 5" in queries.captured_queries[0]["sql"]
    assert "OFFSET" not in queries.captured_queries[0]["sql"]


def test_counting_stops_at_the_cap_and_says_so(projects: Any) -> None:
    paginator = BigTablePaginator(projects, 10, cap=40)

    with CaptureQueriesContext(connection) as queries:
        assert paginator.count == 40
    assert "LIMIT 41" in queries.captured_queries[0]["sql"]
    assert (paginator.count_text, paginator.is_exact, paginator.num_pages) == ("40+", False, 4)
    assert names(paginator.page(4)) == [f"P{n:03}" for n in range(30, 40)]
    with pytest.raises(EmptyPage):
        paginator.page(5)


def test_a_known_count_is_not_counted(projects: Any) -> None:
    paginator = BigTablePaginator(projects, 10, known_count=lambda: 95, cap=40)

    with CaptureQueriesContext(connection) as queries:
        assert (paginator.count, paginator.count_text, paginator.is_exact) == (95, "95", True)
    assert len(queries) == 0
    assert names(paginator.page(10))[-1] == "P094"


def test_an_empty_list_has_one_empty_page(db: None) -> None:
    page = BigTablePaginator(Project.objects.order_by("pk"), 10).page(1)

    assert list(page.object_list) == []


def test_distinct_values_are_found_without_reading_every_row(projects: Any) -> None:
    organization = Organization.objects.get()
    other = Organization.objects.create(name="Globex", slug="globex")
    Project.objects.create(organization=other, name="Elsewhere", slug="elsewhere")

    found = distinct_values(Project, "slug", where={"organization": organization}, limit=3)

    assert found == ["p0-000", "p0-005", "p0-010"]
    assert distinct_values(Project, "slug", where={"organization": other}) == ["elsewhere"]
