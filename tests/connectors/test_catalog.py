"""The shipped catalog, and what happens to a folder that is wrong."""

from __future__ import annotations

import pytest
import yaml
from django.core.checks import run_checks
from jsonschema import Draft202012Validator

from apps.connectors import registry
from apps.connectors.checks import catalog
from apps.connectors.engine import connection
from apps.connectors.engine.reader import read
from apps.connectors.engine.settings import schema_of
from apps.connectors.registry import CATALOG, connectors
from apps.events.catalog import event_types
from apps.kernel.registry import Registry
from apps.records.catalog import datasets
from apps.records.mapping import MappingSpec, compile_mapping
from tests.connectors.acme import Provider, answer


@pytest.mark.parametrize("slug", [folder.name for folder in CATALOG.iterdir() if folder.is_dir()])
def test_every_entry_is_complete(slug):
    entry = connectors[slug]

    assert entry.icon.startswith("<svg")
    assert "<script" not in entry.icon
    assert entry.setup.startswith("# ")
    assert schema_of(entry.manifest)["type"] == "object"
    assert len(entry.manifest.summary) < 100


def test_the_catalog_passes_its_check():
    assert catalog(None) == []
    assert [found for found in run_checks() if found.id and found.id.startswith("connectors.")] == []


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A catalog of one's own."""
    fresh = Registry("Connector")
    monkeypatch.setattr(registry, "connectors", fresh)
    monkeypatch.setattr("apps.connectors.checks.connectors", fresh)
    monkeypatch.setattr(registry, "faults", found := [])
    monkeypatch.setattr("apps.connectors.checks.faults", found)
    document = yaml.safe_load((CATALOG / "hubspot" / "manifest.yaml").read_text())

    def put(name, **changes):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "manifest.yaml").write_text(yaml.safe_dump({**document, "slug": name, **changes}))
        (folder / "icon.svg").write_text("<svg/>")
        (folder / "SETUP.md").write_text("# Set up")
        registry.load(tmp_path)
        return [(found.id, found.msg) for found in catalog(None)]

    return put


def test_a_new_folder_is_a_new_connector(shelf):
    assert shelf("acme") == []
    assert registry.connectors["acme"].manifest.title == "HubSpot"


def test_a_wrong_manifest_is_told_with_its_place(shelf):
    ((code, message),) = shelf("acme", category=7)

    assert code == "connectors.E001"
    assert message == "acme/manifest.yaml: category: must be a text, not 7."


def test_a_stream_that_fits_no_dataset_is_told(shelf):
    stream = {"name": "a", "request": {"path": "/a"}, "remote_id": "id"}
    wrong = {"fields": [{"target": "colour", "source": "c"}]}

    fits_not = {**stream, "name": "b", "dataset": "contacts", "mapping": wrong}
    found = shelf("acme", streams=[{**stream, "dataset": "ghosts"}, fits_not])

    assert [code for code, _ in found] == ["connectors.E002", "connectors.E003"]
    assert "The dataset has no field “colour”." in found[1][1]


CONTACT = {
    "id": "512",
    "properties": {
        "createdate": "2026-01-07T10:00:00.000Z",
        "email": "ada@example.com",
        "firstname": "Ada",
        "lastname": "Lovelace",
        "phone": "+44 20 7946 0000",
        "jobtitle": "Engineer",
    },
    "createdAt": "2026-01-07T10:00:00.000Z",
    "updatedAt": "2026-01-08T10:00:00.000Z",
    "archived": False,
}


def test_hubspots_contacts_are_read_and_fit_the_dataset():
    nameless = {**CONTACT, "id": "513", "properties": {"email": "bob@example.com"}}
    book = {
        None: {"results": [CONTACT], "paging": {"next": {"after": "512", "link": "https://x"}}},
        "512": {"results": [nameless]},
    }
    provider = Provider(lambda request: answer(book[dict(request.params).get("after")]))
    link = connection.resolve(
        connectors["hubspot"].manifest,
        auth="bearer",
        environment="production",
        config={},
        credentials={"token": "pat-1234"},
    )
    stream = link.streams["contacts"]

    rows = [row for page in read(stream, link, provider) for row in page.rows]

    assert provider.asked[0].url == "https://api.hubapi.com/crm/v3/objects/contacts"
    assert provider.params()[1]["limit"] == "100"
    mapper = compile_mapping(
        datasets["contacts"].fields, MappingSpec.from_dict(dict(stream.mapping)), columns=None
    )
    mapped = mapper.map_rows(rows, 1)
    assert mapped.problems == []
    assert mapped.values[0]["name"] == "Ada Lovelace"
    assert mapped.values[0]["job_title"] == "Engineer"
    assert mapped.values[1]["name"] == "bob@example.com"


@pytest.mark.parametrize(
    "name", [event.name for event in event_types if event.name.startswith(("integration.", "sync."))]
)
def test_samples_of_events_fit_their_schemas(name):
    event = event_types[name]
    Draft202012Validator.check_schema(event.schema)
    Draft202012Validator(event.schema).validate(event.sample)
