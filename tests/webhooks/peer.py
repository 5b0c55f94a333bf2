"""Another process of the same hub, on the tests' database: a dispatcher that can be killed for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


def environ() -> dict[str, str]:
    """What makes a process join the tests' hub."""
    from django.conf import settings
    from django.db import connection

    known: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{known['NAME']}"
    else:
        host = f"{known['HOST']}:{known['PORT']}"
        url = f"postgresql://{known['USER']}:{known['PASSWORD']}@{host}/{known['NAME']}"
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
        "HUB_HOME": str(settings.HUB_HOME),
        "DATABASE_URL": url,
        "HUB_OUTBOUND_ALLOW": "127.0.0.0/8",
        "HUB_ALLOW_HTTP": "true",
    }


@contextmanager
def peer(*deed: str) -> Iterator[subprocess.Popen[str]]:
    """The process, from when it is ready; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.webhooks.peer", *deed],
        cwd=PROJECT,
        env=environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def go(process: subprocess.Popen[str]) -> None:
    """Let a ready peer begin."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def die(*args: object, **options: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def replay_and_die(replay_id: str, page: str) -> None:
    """Be killed when a page of ten is written, but not committed."""
    from apps.webhooks import choices
    from apps.webhooks.services import replaying

    choices.PAGE = replaying.PAGE = 10
    written, pages = replaying.fenced_update, []

    def write(row: Any, **values: Any) -> None:
        written(row, **values)
        if "checkpoint" in values:
            pages.append(values)
            if len(pages) == int(page):
                die()

    replaying.fenced_update = write
    replaying.take(replay_id=replay_id)


def main(deed: str, *args: str) -> None:
    import django

    django.setup()
    from django.db import transaction

    from apps.events.services import fanout, outbox
    from apps.tenants.models import Organization
    from apps.webhooks.services import dispatch, results

    print("ready", flush=True)
    sys.stdin.readline()
    if deed == "publish-and-die":
        with transaction.atomic():
            transaction.on_commit(die)  # before the bell rings
            outbox.publish(
                organization=Organization.objects.get(slug=args[0]),
                type="custom.order.paid",
                data={"order": 1},
            )
    elif deed == "fan-out-and-drain":
        fanout.sweep()
        dispatch.drain(linger=0)
    elif deed == "drain":
        done = dispatch.drain(linger=0)
        print(f"sent {done.sent}", flush=True)
    elif deed == "drain-and-freeze":
        dispatch.drain(seconds=0.1, hand_over=lambda: print("claims no more", flush=True))
        print("recorded", flush=True)
    elif deed == "replay-and-die":
        replay_and_die(*args)
    elif deed == "die-before-recording":
        results.record = die
        fanout.sweep()
        dispatch.drain(linger=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
