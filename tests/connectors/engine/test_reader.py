"""Reading streams: the ways of paging, where they end, and what a killed run continues from."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from apps.connectors.engine.errors import ConfigurationError, EngineError, Kind
from apps.connectors.engine.reader import Mode, read
from tests.connectors.acme import BASE, Provider, answer, connected

ROWS = [{"id": n, "updated_at": f"2026-01-{n:02d}T00:00:00Z"} for n in range(1, 8)]
TOKEN = {"auth": "bearer", "credentials": {"token": "t0ken-secret"}}


def now():
    return datetime(2026, 3, 1, tzinfo=UTC)


def pages(link, provider, state=None, mode=Mode.INCREMENTAL):
    return list(read(link.streams["things"], link, provider, state, mode, now=now))


def ids(found):
    return [[row["id"] for row in page.rows] for page in found]


def by_page(size=3, cap=100, key=None):
    def serve(request):
        page = int(dict(request.params).get("page", 1))
        found = ROWS[(page - 1) * size : page * size]
        return answer({key: found, "pages": 3} if key else found)

    return Provider(serve)


def test_one_answer_holds_everything():
    provider = Provider(lambda request: answer(ROWS))

    assert ids(pages(connected(), provider)) == [[1, 2, 3, 4, 5, 6, 7]]
    assert provider.asked[0].url == f"{BASE}/things"


def test_page_numbers_go_on_to_the_empty_page():
    provider = by_page()
    link = connected({"paginate": {"kind": "page", "param": "page", "size_param": "per_page", "size": 5}})

    assert ids(pages(link, provider)) == [[1, 2, 3], [4, 5, 6], [7], []]
    assert provider.params()[1] == {"per_page": "5", "page": "2"}


def test_page_numbers_end_by_the_number_of_pages_or_a_short_page():
    counted = connected(
        {"records_path": "data", "paginate": {"kind": "page", "param": "page", "pages_path": "pages"}}
    )
    short = connected(
        {"paginate": {"kind": "page", "param": "page", "size": 3, "stop": ["empty_page", "short_page"]}}
    )

    assert ids(pages(counted, by_page(key="data"))) == [[1, 2, 3], [4, 5, 6], [7]]
    assert ids(pages(short, by_page())) == [[1, 2, 3], [4, 5, 6], [7]]


def test_offsets_grow_by_what_really_came():
    def serve(request):
        start = int(dict(request.params)["offset"])
        return answer({"items": ROWS[start : start + 3], "total": 7})  # 3, whatever the limit

    provider = Provider(serve)
    link = connected(
        {
            "records_path": "items",
            "paginate": {
                "kind": "offset",
                "param": "offset",
                "size_param": "limit",
                "size": 500,
                "total_path": "total",
            },
        }
    )

    assert ids(pages(link, provider)) == [[1, 2, 3], [4, 5, 6], [7]]
    assert [params["offset"] for params in provider.params()] == ["0", "3", "6"]


CURSOR = {"records_path": "data", "paginate": {"kind": "cursor", "param": "after", "next_path": "next"}}


def by_cursor(book):
    return Provider(lambda request: answer(book[dict(request.params).get("after")]))


def test_an_empty_page_with_a_cursor_goes_on():
    book = {
        None: {"data": ROWS[:2], "next": "b"},
        "b": {"data": [], "next": "c"},
        "c": {"data": ROWS[2:3], "next": None},
    }

    assert ids(pages(connected(CURSOR), by_cursor(book))) == [[1, 2], [], [3]]


def test_a_cursor_that_leads_back_is_an_error():
    book = {
        None: {"data": ROWS[:1], "next": "b"},
        "b": {"data": ROWS[1:2], "next": "c"},
        "c": {"data": ROWS[2:3], "next": "b"},
    }
    provider, link = by_cursor(book), connected(CURSOR)
    found = []

    with pytest.raises(ConfigurationError, match="go in circles"):
        found.extend(read(link.streams["things"], link, provider, None, now=now))

    assert len(provider.asked) < 10


def test_the_last_row_can_be_the_cursor():
    def serve(request):
        start = int(dict(request.params).get("starting_after", 0))
        return answer({"data": ROWS[start : start + 3], "has_more": start + 3 < 7})

    link = connected(
        {
            "records_path": "data",
            "paginate": {
                "kind": "cursor",
                "param": "starting_after",
                "last_row_path": "id",
                "more_path": "has_more",
            },
        }
    )

    assert ids(pages(link, Provider(serve))) == [[1, 2, 3], [4, 5, 6], [7]]


def by_header(next_link):
    def serve(request):
        if request.url.endswith("/things"):
            header = f'<{BASE}/first>; rel="first", <{next_link}>; title="a, b"; rel="next last"'
            return answer(ROWS[:3], link=header)
        return answer(ROWS[3:])

    return Provider(serve)


def test_link_headers_are_followed_with_credentials_on_the_same_host():
    provider = by_header("/v1/more?page=2")
    link = connected({"paginate": {"kind": "link_header"}}, **TOKEN)

    assert ids(pages(link, provider)) == [[1, 2, 3], [4, 5, 6, 7]]
    assert provider.asked[1].url == "https://api.example.test/v1/more"
    assert dict(provider.asked[1].params) == {"page": "2"}
    assert provider.asked[1].headers["Authorization"] == "Bearer t0ken-secret"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.test/v1/more",
        "http://api.example.test/v1/more",
        "https://api.example.test:8443/v1/more",
        "//evil.test/more",
        "https://api.example.test@evil.test/",
    ],
)
def test_a_link_to_another_host_is_not_followed(elsewhere):
    provider = by_header(elsewhere)
    link = connected({"paginate": {"kind": "link_header"}}, **TOKEN)

    with pytest.raises(ConfigurationError, match="another host"):
        pages(link, provider)

    assert len(provider.asked) == 1


def test_links_in_the_body_leave_their_key_behind():
    def serve(request):
        if "page" in dict(request.params):
            return answer({"value": ROWS[3:], "next": ""})
        return answer({"value": ROWS[:3], "next": f"{BASE}/things?page=2&key=k3y-secret&echo=k3y-secret"})

    provider = Provider(serve)
    link = connected(
        {"records_path": "value", "paginate": {"kind": "link_body", "next_path": "next"}},
        credentials={"api_key": "k3y-secret"},
    )
    link = type(link)(
        manifest=link.manifest,
        auth=link.manifest.auth_mode("api_key").__class__(
            "api_key", "Key", link.manifest.auth_mode("api_key").strategy, {"in": "query", "name": "key"}
        ),
        environment="production",
        base_url=BASE,
        config={},
        credentials={"api_key": "k3y-secret"},
    )

    found = pages(link, provider)

    assert ids(found) == [[1, 2, 3], [4, 5, 6, 7]]
    assert "k3y" not in json.dumps([page.next_state for page in found])
    assert provider.params()[1] == {"page": "2", "key": "k3y-secret"}


def test_the_same_page_twice_in_a_row_is_an_error_unless_it_is_known_as_the_end():
    def serve(request):
        page = min(int(dict(request.params)["page"]), 2)  # beyond the end the last page again
        return answer(ROWS[(page - 1) * 3 : page * 3])

    careless = connected({"paginate": {"kind": "page", "param": "page"}})
    known = connected({"paginate": {"kind": "page", "param": "page", "stop": ["repeat_page"]}})

    with pytest.raises(ConfigurationError, match="twice in a row"):
        pages(careless, Provider(serve))
    assert ids(pages(known, Provider(serve))) == [[1, 2, 3], [4, 5, 6], []]


def test_paging_and_filter_in_a_body():
    def serve(request):
        return answer({"data": ROWS[:1] if "after" not in request.json["page"] else [], "next": None})

    provider = Provider(serve)
    link = connected(
        {
            "request": {"path": "/search", "method": "POST", "json": {"page": {"limit": 5}, "sort": ["id"]}},
            "records_path": "data",
            "paginate": {
                "kind": "cursor",
                "param": "page.after",
                "next_path": "next",
                "in": "body",
            },
            "incremental": {
                "cursor_path": "updated_at",
                "name": "filter.since",
                "in": "body",
                "format": "epoch_ms",
            },
        }
    )

    pages(link, provider, {"cursor": "2026-01-02T00:00:00Z"})

    assert provider.asked[0].json == {
        "page": {"limit": 5},
        "sort": ["id"],
        "filter": {"since": "1767312000000"},
    }


INCREMENTAL = {"incremental": {"cursor_path": "updated_at", "name": "since", "lookback": 60}}


def test_the_cursor_is_the_latest_change_and_only_with_the_last_page():
    link = connected({**INCREMENTAL, "paginate": {"kind": "page", "param": "page"}})

    found = pages(link, by_page(), {"cursor": "2025-12-31T00:00:00Z"})

    assert [page.cursor for page in found] == ["2025-12-31T00:00:00Z"] * 3 + ["2026-01-07T00:00:00Z"]
    assert found[-1].next_state == {"cursor": "2026-01-07T00:00:00Z"}


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({}, {"since": "2026-01-05T12:00:00Z"}),
        ({"op": "gt"}, {"since": "2026-01-05T11:59:59Z"}),
        ({"lookback": 3600}, {"since": "2026-01-05T11:00:00Z"}),
        ({"format": "epoch"}, {"since": "1767614400"}),
        ({"format": "date"}, {"since": "2026-01-05"}),
        ({"format": "date", "op": "gt"}, {"since": "2026-01-04"}),
    ],
)
def test_the_filter_is_sent_as_the_provider_wants_it(more, asked):
    provider = Provider(lambda request: answer([]))
    link = connected({"incremental": {"cursor_path": "updated_at", "name": "since", **more}})

    pages(link, provider, {"cursor": "2026-01-05T12:00:00.400000Z"})

    assert provider.params() == [asked]


def test_the_filter_can_be_a_header():
    provider = Provider(lambda request: answer([]))
    link = connected(
        {
            "incremental": {
                "cursor_path": "updated_at",
                "name": "If-Modified-Since",
                "in": "header",
                "format": "http_date",
            }
        }
    )

    pages(link, provider, {"cursor": "2026-01-05T12:00:00Z"})

    assert provider.asked[0].headers["If-Modified-Since"] == "Mon, 05 Jan 2026 12:00:00 GMT"


def test_a_full_read_asks_for_everything_and_moves_the_cursor_all_the_same():
    provider = Provider(lambda request: answer(ROWS))

    (page,) = pages(connected(INCREMENTAL), provider, {"cursor": "2026-01-05T00:00:00Z"}, Mode.FULL)

    assert provider.params() == [{}]
    assert page.cursor == "2026-01-07T00:00:00Z"


def test_a_row_from_the_future_does_not_hide_everything_until_then():
    rows = [{"id": 1, "updated_at": "2026-01-01T00:00:00Z"}, {"id": 2, "updated_at": "2039-01-01T00:00:00Z"}]
    provider = Provider(lambda request: answer(rows, date="Thu, 01 Jan 2026 12:00:00 GMT"))

    (page,) = pages(connected(INCREMENTAL), provider)

    assert page.cursor == "2026-01-01T12:00:00Z"


def test_rows_without_a_time_leave_the_cursor_where_it_is():
    provider = Provider(
        lambda request: answer([{"id": 1, "updated_at": None}, {"id": 2, "updated_at": "soon"}])
    )

    (page,) = pages(connected(INCREMENTAL), provider, {"cursor": "2026-01-05T00:00:00Z"})

    assert page.cursor == "2026-01-05T00:00:00Z"


def test_a_killed_run_goes_on_after_any_page():
    link = connected({**INCREMENTAL, "paginate": {"kind": "page", "param": "page"}})
    start = {"cursor": "2025-12-31T00:00:00Z"}
    whole = pages(link, by_page(), start)

    for killed_after in range(len(whole) - 1):
        stored = json.loads(json.dumps(whole[killed_after].next_state))
        rest = pages(link, by_page(), stored)
        assert ids(rest) == ids(whole)[killed_after + 1 :]
        assert rest[-1].next_state == whole[-1].next_state
        assert rest[0].number == killed_after + 2


def test_a_failed_page_leaves_the_state_of_the_one_before():
    def serve(request):
        if dict(request.params)["page"] == "2":
            return answer({"message": "Over capacity"}, 503, retry_after="17")
        return answer(ROWS[:3])

    link = connected({**INCREMENTAL, "paginate": {"kind": "page", "param": "page"}})
    found = []

    with pytest.raises(EngineError) as caught:
        found.extend(
            read(link.streams["things"], link, Provider(serve), {"cursor": "2025-12-31T00:00:00Z"}, now=now)
        )

    assert ids(found) == [[1, 2, 3]]
    assert found[0].next_state["cursor"] == "2025-12-31T00:00:00Z"
    assert (caught.value.kind, caught.value.retry_after) == (Kind.TRANSIENT, 17.0)
    assert (
        caught.value.message == "The provider has a problem of its own (HTTP 503). It says: “Over capacity”"
    )


def test_rows_that_come_twice_on_a_page_count_once_and_deleted_ones_apart():
    rows = [{"id": 1, "v": 1}, {"id": 2, "archived": True}, {"id": 1, "v": 2}, {"name": "nameless"}]
    provider = Provider(lambda request: answer(rows))

    (page,) = pages(connected({"deleted_when": "archived"}), provider)

    assert page.rows == [{"id": 1, "v": 2}, {"name": "nameless"}]
    assert (page.gone, page.duplicates) == (["2"], 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"data": {"id": 1}}, "are not a list"),
        ({"data": [1, 2]}, "are not objects"),
        (b"<!doctype html><p>Sign in", "The answer is not JSON but"),
        (b'{"data": [{"id": 1}', "broken JSON"),
    ],
)
def test_answers_that_are_not_records(body, message):
    media = "text/html" if isinstance(body, bytes) and b"<" in body else "application/json"
    provider = Provider(lambda request: answer(body, content_type=media))

    with pytest.raises(EngineError, match=message):
        pages(connected({"records_path": "data"}), provider)


def test_a_missing_list_is_empty_but_is_told():
    (page,) = pages(connected({"records_path": "data"}), Provider(lambda request: answer({"ok": True})))

    assert page.rows == []
    assert page.warnings == ("There is nothing at data in the answer; it was taken as empty.",)


def test_odd_characters_do_not_hold_up_a_page():
    body = b'[{"id": 1, "name": "a\\u0000b"}, {"id": 2, "name": "\\ud800"}]'

    (page,) = pages(connected(), Provider(lambda request: answer(body)))

    assert page.rows == [{"id": 1, "name": "a\ufffdb"}, {"id": 2, "name": "?"}]
