"""A newcomer does what the first guide says, to the letter, and it works."""

from __future__ import annotations

import re
import shlex
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from apps.kernel.api.guides import folder
from apps.tenants.services import organizations

GUIDE = (folder() / "10-getting-started.md").read_text(encoding="utf-8")
STEPS = GUIDE.partition("## Your first call")[2].partition("\n## ")[0]


def lines() -> list[list[str]]:
    """The shell commands of the steps, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", STEPS, re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [shlex.split(line) for line in joined.splitlines() if line.strip()]


def curled(words: list[str], key: str) -> int:
    """The status of a curl command's call."""
    address = next(word for word in words if word.startswith("https://hub.example.com"))
    headers = dict(
        words[n + 1].replace("$HUB_API_KEY", key).split(": ", 1)
        for n, word in enumerate(words)
        if word == "-H"
    )
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = "GET" if body is None else "POST"
    kind = headers.pop("Content-Type", "application/octet-stream")
    path = address.removeprefix("https://hub.example.com")
    return Client().generic(method, path, body or "", kind, headers=headers).status_code


@pytest.mark.django_db
def test_the_first_guide_works_as_it_is_written() -> None:
    organizations.create(name="Acme")
    make, export, *calls = lines()
    assert make[:3] == [".venv/bin/python", "manage.py", "api_key"]
    assert export[0] == "export"
    out = StringIO()
    call_command(*make[2:], stdout=out)
    found = re.search(r"sk_live_\w+", out.getvalue())
    assert found is not None
    assert [curled(words, found.group()) for words in calls] == [200, 200, 201]
    named = set(re.findall(r"`([a-z-]+:[a-z]+)`", STEPS.partition("2. ")[0]))
    assert named == {make[n + 1] for n, word in enumerate(make) if word == "--scope"}
