"""A manifest is checked at the start, and every mistake names its place."""

from __future__ import annotations

import dataclasses

import pytest

from apps.connectors.engine import manifest, settings
from apps.connectors.engine.manifest import ManifestError
from tests.connectors.acme import acme, document


def wrong(**more):
    with pytest.raises(ManifestError) as caught:
        manifest.parse(document(**more))
    return {problem.place: problem.message for problem in caught.value.problems}


def test_facts_become_frozen_values():
    facts = acme(limits={"per_minute": 60})

    assert (facts.slug, facts.limits.per_minute, facts.streams[0].label) == ("acme", 60, "Things")
    assert facts.auth_mode("bearer").method == "token"
    with pytest.raises(dataclasses.FrozenInstanceError):
        facts.slug = "other"


def test_a_stream_is_checked_by_the_form_of_its_pagination():
    stream = {"name": "things", "request": {"path": "/things"}, "remote_id": "id"}

    assert wrong(streams=[{**stream, "paginate": {"kind": "pages"}}]) == {
        "streams[0].paginate.kind": "“pages” is not one of: none, page, offset, cursor, link_header, "
        "link_body."
    }
    assert wrong(streams=[{**stream, "paginate": {"kind": "page", "after": "x"}}]) == {
        "streams[0].paginate.after": "is not known here. Known are: kind, param, start, size_param, size, "
        "in, pages_path, total_path, more_path, stop.",
        "streams[0].paginate.param": "is required.",
    }
    assert wrong(streams=[{**stream, "paginate": {"kind": "cursor", "param": "after"}}]) == {
        "streams[0].paginate": "needs one of: next_path, last_row_path."
    }


def test_mistakes_are_told_in_sentences():
    found = wrong(
        slug="Acme Ltd",
        environments={"live": {"base_url": "x"}},
        auth=[{"mode": "magic"}],
        test={},
        colour="red",
        streams=[
            {"name": "a", "request": {"path": "https://x.test/a"}, "remote_id": "id[", "deleted_when": ""}
        ],
    )

    assert found["slug"] == "“Acme Ltd” does not fit the pattern ^[a-z][a-z0-9-]{0,59}$."
    assert found["environments"] == "“live” is not one of: production, sandbox, development, staging."
    assert found["auth[0].mode"] == "“magic” is not one of: none, api_key, basic, bearer."
    assert found["test.request"] == "is required."
    assert found["colour"].startswith("is not known here.")
    assert (
        found["streams[0].request.path"]
        == "“https://x.test/a” must be a path below the base URL, not a whole address."
    )
    assert found["streams[0].remote_id"].startswith("“id[” is not a JMESPath expression")


def test_templates_see_no_credentials():
    stream = {
        "name": "a",
        "request": {"path": "/a", "query": {"key": "{{ credentials.token }}"}},
        "remote_id": "id",
    }

    assert wrong(streams=[stream]) == {
        "streams[0].request.query.key": "credentials.token cannot be used in a template; there are config, "
        "environment, stream."
    }


def test_streams_are_named_once():
    stream = {"name": "a", "request": {"path": "/a"}, "remote_id": "id"}

    assert wrong(streams=[stream, stream]) == {"streams[1]": "“a” is there twice."}


FIELDS = [
    {"name": "subdomain", "label": "Subdomain", "kind": "text", "required": True, "pattern": "^[a-z0-9-]+$"},
    {"name": "region", "label": "Region", "kind": "choice", "choices": ["eu", "us"], "default": "eu"},
    {"name": "auth.name", "label": "Header", "kind": "text", "default": "X-Key"},
]


def test_settings_are_checked_by_the_manifests_form():
    facts = acme(fields=FIELDS)

    assert settings.problems_of(facts, {"subdomain": "acme", "region": "us"}) == []
    problems = settings.problems_of(facts, {"subdomain": "a/b", "region": "asia", "zip": 1, "auth": {"x": 1}})
    assert {problem.pointer: problem.code for problem in problems} == {
        "/subdomain": "invalid",
        "/region": "enum",
        "/zip": "unknown",
        "/auth/x": "unknown",
    }
    assert [problem.pointer for problem in settings.problems_of(facts, {})] == ["/subdomain"]


def test_defaults_are_put_where_nothing_is_set():
    full = settings.with_defaults(acme(fields=FIELDS), {"subdomain": "acme", "auth": {"name": ""}})

    assert full == {"timeout": 30.0, "subdomain": "acme", "region": "eu", "auth": {"name": "X-Key"}}


def test_own_streams_are_checked_like_a_manifests():
    facts = acme(custom_streams=True)

    problems = settings.problems_of(facts, {"streams": [{"name": "x", "request": {"path": "/x"}}]})

    assert [(problem.pointer, problem.code) for problem in problems] == [("/streams/0/remote_id", "required")]
