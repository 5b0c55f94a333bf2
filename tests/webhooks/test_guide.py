"""The guide's snippets do what it says, in every language whose runtime is here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from apps.webhooks import signing
from tests.webhooks.peer import PROJECT
from tests.webhooks.test_receive_webhooks import SECRET, receiving

GUIDE = (Path(PROJECT) / "docs/guides/60-webhooks.md").read_text(encoding="utf-8")
BODY = '{"name": "Zoë", "n": 1.0}'.encode()


def snippet(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.S)
    return next(block for block in blocks if containing in block)


def cases():
    """Headers, body, and whether they are the hub's."""
    now, other = int(time.time()), signing.generate_secret()

    def signed(at, secrets, body=BODY):
        return signing.headers_for(message_id="evt_1", timestamp=at, body=body, secrets=secrets)

    right = signed(now, [SECRET])
    yield right, BODY, True
    yield signed(now, [other, SECRET]), BODY, True
    yield signed(now, [other]), BODY, False
    yield signed(now - 400, [SECRET]), BODY, False
    yield signed(now + 400, [SECRET]), BODY, False
    yield right, BODY + b" ", False
    yield {**right, "webhook-id": "evt_2"}, BODY, False
    yield {**right, "webhook-signature": "v1,"}, BODY, False


def test_python():
    scope: dict = {}
    exec(snippet("python", "def verify"), scope)
    for headers, body, good in cases():
        if good:
            scope["verify"](SECRET, headers, body)
        else:
            with pytest.raises(ValueError, match=r"old|wrong"):
                scope["verify"](SECRET, headers, body)


if shutil.which("node"):

    def test_javascript(tmp_path):
        told = [[headers, body.decode(), good] for headers, body, good in cases()]
        check = """
        for (const [headers, body, good] of JSON.parse(process.argv[2])) {
          let passed = true;
          try { verify(process.argv[3], headers, Buffer.from(body)); } catch (error) { passed = false; }
          if (passed !== good) { console.error(JSON.stringify(headers)); process.exit(1); }
        }
        console.log("all judged");
        """
        file = tmp_path / "check.mjs"
        file.write_text(snippet("javascript", "function verify") + check, encoding="utf-8")
        done = subprocess.run(
            ["node", str(file), json.dumps(told), SECRET], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout.strip()) == (0, "all judged"), done.stderr


if shutil.which("curl") and shutil.which("openssl"):

    def test_curl(db, tmp_path):
        file = tmp_path / "send.sh"
        file.write_text(snippet("sh", "openssl dgst"), encoding="utf-8")
        with receiving("--secret", SECRET, "--json", "--count", "1") as (process, url):
            sent = subprocess.run(
                ["bash", "-eu", str(file), url],
                env={"WEBHOOK_SECRET": SECRET, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                timeout=60,
            )
            told = [json.loads(line) for line in process.stdout]
        assert sent.returncode == 0, sent.stderr
        assert [(row["id"], row["signature"]) for row in told] == [("evt_test", "right")]
