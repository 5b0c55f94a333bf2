"""What the demo remembers between its runs, in HUB_HOME/demo.json (readable by its owner alone)."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from integration_hub.config import load

HOST = "127.0.0.1"
ALLOWED = "127.0.0.1/32"  # what the hub may call beyond the public Internet while it serves the demo


@dataclass(frozen=True)
class State:
    """`began`: when the fleet system's history starts; `port`: its own; `receiver_port`: the receiver's."""

    path: str
    began: str
    port: int
    receiver_port: int
    receiver_secret: str

    @property
    def began_at(self) -> datetime:
        return datetime.fromisoformat(self.began)

    @property
    def fleet_url(self) -> str:
        return f"http://{HOST}:{self.port}/fleet/v1"

    @property
    def staff_url(self) -> str:
        return f"http://{HOST}:{self.port}/staff/v1"

    @property
    def flaky_url(self) -> str:
        return f"http://{HOST}:{self.port}/hooks/billing"

    @property
    def receiver_url(self) -> str:
        return f"http://{HOST}:{self.receiver_port}/"

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> State | None:
        """What an earlier run left, or None."""
        path = _path(environ)
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(path=str(path), **kept)
        except (OSError, ValueError, TypeError):
            return None

    @classmethod
    def prepare(cls, environ: Mapping[str, str]) -> State:
        """The kept state, or a new one; ports that somebody else has taken meanwhile are replaced."""
        from integration_hub.demo.fleet import HISTORY

        state = cls.load(environ)
        if state is None:
            began = (datetime.now(UTC) - HISTORY).replace(minute=0, second=0, microsecond=0)
            secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
            state = cls(str(_path(environ)), began.isoformat(), 0, 0, secret)
        port, receiver_port = state.port, state.receiver_port
        while not _is_free(port):
            port = _free_port()
        while not _is_free(receiver_port) or receiver_port == port:
            receiver_port = _free_port()
        state = replace(state, port=port, receiver_port=receiver_port)
        state._save()
        return state

    def _save(self) -> None:
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in asdict(self).items() if name != "path"}
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=2)


def _path(environ: Mapping[str, str]) -> Path:
    return load(environ).hub_home / "demo.json"


def _is_free(port: int) -> bool:
    if not port:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
