"""The last touches on the OpenAPI document: problems, shared parameters and headers, code samples."""

from __future__ import annotations

import json
import re
import shlex
from copy import deepcopy
from typing import Any

from apps.kernel.api.changes import document_down
from apps.kernel.api.versions import versions

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "request_id", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Names the kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What happened and what to do, for people."},
        "instance": {"type": "string", "format": "uri-reference"},
        "request_id": {
            "type": "string",
            "description": "Also in X-Request-ID; give it when you ask for help.",
        },
        "code": {"type": "string", "description": "The kind of problem, for programs."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer (RFC 6901) into the body, or ?name of a parameter.",
                    },
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

RESPONSES = {
    "400": ("BadRequest", "The request cannot be understood: syntax, or an unknown query parameter."),
    "401": ("Unauthenticated", "No credentials, or they are not valid."),
    "403": ("Forbidden", "The caller lacks the scope, or may not call from here."),
    "404": ("NotFound", "There is no such object in the caller's organization."),
    "409": ("Conflict", "The object's state does not allow it, or the same call is still running."),
    "410": ("VersionEnded", "This version of the API has come to its end."),
    "412": ("PreconditionFailed", "The object is no longer what If-Match says."),
    "413": ("TooLarge", "The body is too large."),
    "415": ("UnsupportedMediaType", "The body is of a type that is not taken here."),
    "422": ("Invalid", "A value is wrong; `errors` point at each."),
    "429": ("TooManyRequests", "A limit is exceeded; wait for Retry-After seconds."),
}

PARAMETERS = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        "description": "A random text of your choice. Within 24 hours the same call gives the same answer, "
        "marked `Idempotent-Replayed: true`.",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "schema": {"type": "string"},
        "description": "The ETag that you read. If the object has changed since, the answer is 412.",
    },
}


def only_versioned(endpoints: list[Any]) -> list[Any]:
    """Documents the addresses with a version; those without are the same."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/{version}/")]


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Adds to every operation what holds for all of them."""
    name = generator.api_version or versions.newest.name
    result["info"]["version"] = name.removeprefix("v")
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    components["parameters"] = PARAMETERS
    components["responses"] = {
        name: {
            "description": text,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for name, text in RESPONSES.values()
    }
    revision = getattr(generator, "revision", None) or versions.newest_of(name)
    document_down(result, revision)
    result["info"]["x-revision"] = revision.date.isoformat()
    for path, item in result["paths"].items():
        for method, operation in item.items():
            if any(parameter.get("name") == "fields" for parameter in operation.get("parameters", [])):
                _relax(operation, components["schemas"])
            for status in _problems_of(path, method, operation):
                name = RESPONSES[status][0]
                operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})
            operation.setdefault("x-codeSamples", _samples(path, method, operation, components))
    components["schemas"] = dict(sorted(components["schemas"].items()))
    return result


def _relax(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """What answers with `?fields=` promises nothing but the id."""
    # A copy: views share schemas that are written out.
    operation["responses"] = deepcopy(operation["responses"])
    schema = (
        operation["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
    )
    for _ in range(3):  # the page, its items, the object
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        schema = schema.get("properties", {}).get("data", schema)
        schema = schema.get("items", schema)
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name == "id"]
        if not schema["required"]:
            del schema["required"]


def _problems_of(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    # Credentials are judged where they are given, also by what needs none.
    found = {"400", "401", "403", "429"}
    if "{" in path:
        found.add("404")
    if "/versions" not in path:
        found.add("410")
    if method in ("post", "put", "patch"):
        # Bodies name objects, too.
        found |= {"404", "409", "413", "415", "422"}
    if method in ("put", "patch") or (method == "delete" and "{" in path):
        found |= {"409", "412"}
    return sorted(found)


# What stands for a variable in a sample's address, by the address's first part where it is an id.
_NAMES = {
    "dataset": "clients", "slug": "rest", "name": "clients.updated", "version_name": "v2",
    "key_id": "KEY-2026-00001",
    "keyId": "KEY-2026-00001", "api-keys": "KEY-2026-00001", "integrations": "INT-2026-00001",
    "webhooks": "WHK-2026-00001", "datasets": "clients", "jobs": "JOB-2026-00001", "import": "JOB-2026-00001",
    "export": "JOB-2026-00001", "records": "key:C-1001", "deliveries": "dlv_01hv9k6zq3e8v7m2n4p5r6s7t8",
    "events": "evt_01hv9k6zq3e8v7m2n4p5r6s7t8",
}  # fmt: skip


_VARIABLE = re.compile(r"{(\w+)}")


def _address(path: str) -> str:
    """An address to copy: with a name in place of each variable."""
    first = path.split("/")[3]

    def name(found: re.Match[str]) -> str:
        return _NAMES.get(first if found[1] == "id" else found[1], "01hv9k6zq3e8v7m2n4p5r6s7t8")

    return "https://hub.example.com" + _VARIABLE.sub(name, path)


def _samples(path: str, method: str, operation: dict[str, Any], components: dict[str, Any]) -> list[Any]:
    """The call in curl, Python and JavaScript."""
    keyed = operation.get("security") != [{}]
    body = _example_body(operation, components)
    address = _address(path)
    curl = ["curl"] + ([f"-X {method.upper()}"] if method != "get" else []) + [shlex.quote(address)]
    headers: dict[str, str] = {}
    if keyed:
        headers["Authorization"] = "Bearer $HUB_API_KEY"
    if method == "post" and keyed:
        headers["Idempotency-Key"] = "$(uuidgen)"
    curl += [f'-H "{name}: {value}"' for name, value in headers.items()]
    if body is not None:
        curl += ['-H "Content-Type: application/json"', f"-d {shlex.quote(json.dumps(body))}"]
    modules = (["os"] if keyed else []) + (["uuid"] if keyed and method == "post" else [])
    python = [*(f"import {module}" for module in modules), *([""] if modules else []), "import requests", ""]
    python += [f"answer = requests.{method}(", f'    "{address}",']
    if keyed:
        more = ', "Idempotency-Key": str(uuid.uuid4())' if method == "post" else ""
        python.append(f'    headers={{"Authorization": f"Bearer {{os.environ[\'HUB_API_KEY\']}}"{more}}},')
    if body is not None:
        python.append(f"    json={body!r},")
    python += ["    timeout=30,", ")", "answer.raise_for_status()"]
    script = [f'const answer = await fetch("{address}", {{', f'  method: "{method.upper()}",']
    if keyed or body is not None:
        script.append("  headers: {")
        if keyed:
            script.append("    Authorization: `Bearer ${process.env.HUB_API_KEY}`,")
        if method == "post" and keyed:
            script.append('    "Idempotency-Key": crypto.randomUUID(),')
        if body is not None:
            script.append('    "Content-Type": "application/json",')
        script.append("  },")
    if body is not None:
        script.append(f"  body: JSON.stringify({json.dumps(body)}),")
    script += ["});", "if (!answer.ok) throw new Error((await answer.json()).detail);"]
    return [
        {"lang": "Shell", "label": "curl", "source": " \\\n  ".join(curl)},
        {"lang": "Python", "label": "Python", "source": "\n".join(python)},
        {"lang": "JavaScript", "label": "JavaScript", "source": "\n".join(script)},
    ]


def _example_body(operation: dict[str, Any], components: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    media = content.get("application/json")
    return None if media is None else _example(media.get("schema", {}), components, 0)


def _example(schema: dict[str, Any], components: dict[str, Any], depth: int) -> Any:
    """A small value that fits a schema: its required properties, or the first two."""
    if "$ref" in schema:
        schema = components["schemas"].get(schema["$ref"].rpartition("/")[2], {})
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    if schema.get("allOf"):
        return _example(schema["allOf"][0], components, depth)
    if schema.get("oneOf") or schema.get("anyOf"):
        return _example((schema.get("oneOf") or schema["anyOf"])[0], components, depth)
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        names = schema.get("required") or list(properties)[:2]
        return {
            name: _example(properties[name], components, depth + 1)
            for name in names
            if name in properties and depth < 4
        }
    if kind == "array":
        return [_example(schema.get("items", {}), components, depth + 1)] if depth < 4 else []
    texts = {"date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "uri": "https://example.com/"}
    return {
        "string": texts.get(schema.get("format", ""), "text"),
        "integer": 1,
        "number": 1.5,
        "boolean": True,
    }.get(kind)
