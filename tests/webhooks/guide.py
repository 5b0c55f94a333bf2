"""The webhooks' guide: its snippets, and messages that a receiver must believe or refuse."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path

from apps.webhooks import signing
from tests.webhooks.peer import PROJECT

GUIDE = (Path(PROJECT) / "docs/guides/60-webhooks.md").read_text(encoding="utf-8")
BODY = '{"name": "Zoë", "n": 1.0}'.encode()
SECRET = signing.generate_secret()


def snippet(language: str, containing: str) -> str:
    """The one block of the guide in a language that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.S)
    [found] = [block for block in blocks if containing in block]
    return str(found)


def cases() -> Iterator[tuple[dict[str, str], bytes, bool]]:
    """Headers, body, and whether they are the hub's."""
    now, other = int(time.time()), signing.generate_secret()

    def signed(at: int, secrets: list[str], body: bytes = BODY) -> dict[str, str]:
        return signing.headers_for(message_id="evt_1", timestamp=at, body=body, secrets=secrets)

    right = signed(now, [SECRET])
    yield right, BODY, True
    yield signed(now, [other, SECRET]), BODY, True
    yield signed(now, [SECRET, other]), BODY, True
    yield signed(now, [SECRET], b""), b"", True
    yield signed(now - 200, [SECRET]), BODY, True
    yield signed(now, [other]), BODY, False
    yield signed(now - 400, [SECRET]), BODY, False
    yield signed(now + 400, [SECRET]), BODY, False
    yield right, BODY + b" ", False
    yield {**right, "webhook-id": "evt_2"}, BODY, False
    yield {**right, "webhook-timestamp": str(now + 1)}, BODY, False
    for wrong in (
        "",
        "v1,",
        "v1",
        ",",
        "v1,AAAA",
        "v1,not base64!",
        right["webhook-signature"][:-1],
        right["webhook-signature"].replace("v1,", "v2,"),
        right["webhook-signature"].replace("v1,", "v1a,"),
        f"v1,{base64.b64encode(bytes(32)).decode()}",
    ):
        yield {**right, "webhook-signature": wrong}, BODY, False
    for wrong in ("", "soon", "1e9", "-1", str(10**30)):
        yield {**right, "webhook-timestamp": wrong}, BODY, False
    for name in right:
        yield {key: value for key, value in right.items() if key != name}, BODY, False
