from __future__ import annotations

import pytest

from apps.connectors.engine import connection
from apps.connectors.engine.errors import ConfigurationError, EngineError, Kind
from apps.connectors.engine.http import Request
from tests.connectors.acme import BASE, acme, connected

GET = Request("GET", f"{BASE}/me")


def test_bearer_token_in_a_header():
    request = connected(auth="bearer", credentials={"token": "t0ken"}).authenticated(GET)

    assert request.headers["Authorization"] == "Bearer t0ken"
    assert request.secret_headers == {"authorization"}


def test_basic_credentials_in_utf8():
    request = connected(auth="basic", credentials={"username": "zoë", "password": "pä:ss"}).authenticated(GET)

    assert request.headers["Authorization"] == "Basic em/Dqzpww6Q6c3M="


def test_api_key_in_a_header_of_any_name():
    modes = [
        {"mode": "api_key", "settings": {"name": "Authorization", "prefix": "Token {{ config.realm }} "}}
    ]
    link = connection.resolve(
        acme(auth=modes, fields=[{"name": "realm", "label": "Realm", "kind": "text"}]),
        auth="api_key",
        environment="production",
        config={"realm": "eu"},
        credentials={"api_key": "k3y"},
    )

    assert link.authenticated(GET).headers["Authorization"] == "Token eu k3y"


def test_api_key_in_the_query_replaces_one_that_is_there():
    link = connection.resolve(
        acme(auth=[{"mode": "api_key", "settings": {"in": "query", "name": "key"}}]),
        auth="api_key",
        environment="production",
        config={},
        credentials={"api_key": "k3y"},
    )

    request = link.authenticated(Request("GET", BASE, params=(("key", "old"), ("page", "2"))))

    assert request.params == (("page", "2"), ("key", "k3y"))
    assert request.secret_params == {"key"}


@pytest.mark.parametrize(
    ("auth", "credentials", "message"),
    [
        ("bearer", {}, "The token is not set. Enter it in the integration's credentials."),
        (
            "bearer",
            {"token": "a\r\nX-Evil: 1"},
            "The token contains a line break or another control character.",
        ),
        ("basic", {"username": "a:b"}, "A user name for basic authentication cannot contain a colon."),
        ("api_key", {"api_key": ""}, "The API key is not set. Enter it in the integration's credentials."),
    ],
)
def test_credentials_that_cannot_be_sent(auth, credentials, message):
    with pytest.raises(EngineError) as caught:
        connected(auth=auth, credentials=credentials).authenticated(GET)

    assert (caught.value.kind, caught.value.message) == (Kind.AUTH, message)


def test_nothing_tells_a_secret():
    link = connected(auth="basic", credentials={"username": "ann", "password": "s3cr3t-passw0rd"})
    request = link.authenticated(link.request(link.manifest.test.request))

    assert "s3cr3t" not in repr(link)
    assert "Authorization" not in repr(request)
    assert link.hide("Basic YW5uOnMzY3IzdC1wYXNzdzByZA== is s3cr3t-passw0rd of ann") == "*** is *** of ann"


def test_a_subdomain_cannot_become_another_host():
    facts = acme(
        environments={"production": {"base_url": "https://{{ config.subdomain }}.acme.test/api"}},
        fields=[{"name": "subdomain", "label": "Subdomain", "kind": "text"}],
    )

    def base(subdomain):
        return connection.resolve(
            facts, auth="none", environment="production", config={"subdomain": subdomain}, credentials={}
        ).base_url

    assert base("shop") == "https://shop.acme.test/api"
    for evil in ("evil.test/", "evil.test#", "x@evil.test", "evil.test?", "evil.test\\"):
        with pytest.raises(ConfigurationError):
            base(evil)


def test_a_path_cannot_leave_the_base():
    facts = acme(
        test={"request": {"path": "{{ config.test_path }}"}},
        fields=[{"name": "test_path", "label": "Test path", "kind": "text"}],
    )
    link = connection.resolve(
        facts, auth="none", environment="production", config={"test_path": "/../admin"}, credentials={}
    )

    with pytest.raises(ConfigurationError, match="leads out of the base URL"):
        link.request(facts.test.request)
