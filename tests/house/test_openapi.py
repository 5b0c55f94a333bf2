"""The OpenAPI document: what has been promised, and that it says the truth about itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.validation import validate_schema

from apps.kernel.api.docs import document
from apps.kernel.api.guides import as_one_text
from apps.kernel.api.versions import versions
from integration_hub.management.commands.openapi import path_of, text_of


@pytest.mark.parametrize("version", [spec.name for spec in versions.all()])
def test_the_promise_is_written_down(version: str) -> None:
    """When it fails on purpose: `make openapi`, and look at the difference as a client would."""
    assert path_of(version).read_text(encoding="utf-8") == text_of(version)


def test_the_document_is_made_without_a_warning(capsys: Any, tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "v1.yaml"))


@pytest.mark.parametrize("version", [spec.name for spec in versions.all()])
def test_it_is_valid_and_complete(version: str) -> None:
    made = document(version)
    validate_schema(made)
    assert made["openapi"] == "3.1.0"
    ids = []
    for path, item in made["paths"].items():
        assert path.startswith(f"/api/{version}/")
        for method, operation in item.items():
            where = f"{method} {path}"
            ids.append(operation["operationId"])
            assert operation.get("summary"), where
            assert [sample["lang"] for sample in operation["x-codeSamples"]] == [
                "Shell",
                "Python",
                "JavaScript",
            ]
            if operation["security"] != [{}]:
                assert operation.get("x-scope") or "/api-keys/current" in path, where
                assert {"401", "403", "429"} <= set(operation["responses"]), where
            for parameter in operation.get("parameters", []):
                assert "$ref" in parameter or parameter.get("description") is not None, where
    assert len(ids) == len(set(ids))


def test_python_samples_are_python() -> None:
    for item in document("v1")["paths"].values():
        for operation in item.values():
            compile(operation["x-codeSamples"][1]["source"], operation["operationId"], "exec")


@pytest.mark.parametrize("revision", [revision.name for revision in versions.revisions()])
def test_every_reference_leads_somewhere(revision: str) -> None:
    made = document(revision)

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            target = value.get("$ref")
            if target:
                found: Any = made
                for part in target.removeprefix("#/").split("/"):
                    found = found[part]
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(made)


def test_the_document_is_served_as_json_and_yaml_and_remembered() -> None:
    client = Client()
    answer = client.get("/api/schema")
    assert answer["Content-Type"] == "application/vnd.oai.openapi+json; charset=utf-8"
    assert answer.json()["openapi"] == "3.1.0"
    assert client.get("/api/schema", headers={"If-None-Match": answer["ETag"]}).status_code == 304
    assert client.get("/api/schema?format=yaml").content.startswith(b"openapi: 3.1.0")
    assert client.get("/api/schema?version=v99").status_code == 404
    assert client.get("/api/schema?colour=red").status_code == 400
    with_guides = client.get("/api/schema?guides=true").json()["info"]["description"]
    assert as_one_text() in with_guides
    assert "# Getting started" in with_guides
