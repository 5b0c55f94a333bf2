"""An attempt as a curl command that a person can paste into a shell."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

# What curl sets by itself.
_OWN = frozenset({"host", "content-length", "accept-encoding", "connection"})


def command(*, method: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
    """The command; headers as given, so with their secrets masked.

    A body that is no text goes in by base64.
    """
    parts = [f"curl -X {method} {shlex.quote(url)}"]
    parts += [
        f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items() if name.lower() not in _OWN
    ]
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    if text is None or "\x00" in text:
        encoded = base64.b64encode(body).decode("ascii")
        return f"echo {encoded} | base64 -d | " + " \\\n  ".join([*parts, "--data-binary @-"])
    parts.append(f"--data-raw {shlex.quote(text)}")
    return " \\\n  ".join(parts)
