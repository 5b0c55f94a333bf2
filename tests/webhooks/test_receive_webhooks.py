"""`manage.py receive_webhooks`: the receiver to try things with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx

from apps.webhooks import signing
from tests.webhooks.peer import PROJECT, environ

SECRET = signing.generate_secret()


@contextmanager
def receiving(*options):
    process = subprocess.Popen(
        [sys.executable, "manage.py", "receive_webhooks", "--port", "0", *options],
        cwd=PROJECT,
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        addresses = (re.search(r"Receiving on (http://\S+)", line) for line in process.stderr)
        yield process, next(found[1] for found in addresses if found)
    finally:
        process.terminate()
        process.communicate()


def send(url, message_id="evt_1", secret=SECRET):
    headers = signing.headers_for(
        message_id=message_id, timestamp=int(time.time()), body=b'{"a":1}', secrets=[secret]
    )
    return httpx.post(url, content=b'{"a":1}', headers=headers | {"X-Api-Key": "hidden"}).status_code


def test_it_verifies_and_fails_on_request_and_stops(db):
    with receiving("--secret", SECRET, "--json", "--fail-first", "1", "--count", "3") as (process, url):
        answers = [send(url), send(url), send(url, "evt_2", signing.generate_secret())]
        told = [json.loads(line) for line in process.stdout]
        assert process.wait(timeout=20) == 0

    assert answers == [500, 204, 401]
    assert [(row["id"], row["signature"], row["repeated"], row["answer"]) for row in told] == [
        ("evt_1", "right", False, 500),
        ("evt_1", "right", True, 204),
        ("evt_2", "wrong", False, 401),
    ]
    assert told[0]["body"] == '{"a":1}'
    assert "hidden" not in json.dumps(told)
