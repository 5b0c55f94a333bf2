"""`manage.py serve`: the whole hub, or one role of it, in one supervised process tree.

    python -m integration_hub.runtime.serve [--only web|worker|scheduler] [--queues a,b]

Without --only: prepares the database (migrations, first owner) and runs web, worker and scheduler. With
it: that role alone, for containers, on a database that `manage.py prepare` has prepared. Imports neither
Django nor Celery; the children do.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from integration_hub.config import PROJECT, Config, ConfigError, load
from integration_hub.runtime import home
from integration_hub.runtime.probe import answers
from integration_hub.runtime.supervisor import Child, Supervisor, say

ROLES = ("web", "worker", "scheduler")
QUEUES = "default,sync,jobs,webhooks,maintenance"
# Whoever waits for a page or an answer goes before what is done in the background.
BACKGROUND = 10


def main(arguments: Sequence[str] | None = None, *, beside: Sequence[Child] = ()) -> int:
    """Serve until told to stop; returns the exit status. `beside` runs in the same tree."""
    parser = argparse.ArgumentParser(prog="serve", description="Run the hub.")
    parser.add_argument("--only", choices=ROLES, help="run this role alone")
    parser.add_argument("--queues", default=QUEUES, help="what the worker listens to (default: %(default)s)")
    parser.add_argument("--with-parent", action="store_true", help="stop when the starting process has gone")
    options = parser.parse_args(arguments)
    parent = os.getppid() if options.with_parent else 0
    try:
        config = load(os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    roles = (options.only,) if options.only else ROLES
    port = config.hub_port
    if "web" in roles:
        try:
            port = free_port(config.hub_host, config.hub_port)
        except OSError as error:
            print(port_sentence(config, error), file=sys.stderr)
            return 2
    environ = {"HUB_PORT": str(port)}
    if not options.only:
        command = [sys.executable, str(PROJECT / "manage.py"), "prepare"]
        done = subprocess.run(command, env={**os.environ, **environ}, check=False)  # noqa: S603  our own
        if done.returncode:
            return done.returncode
    os.chdir(PROJECT)
    children = [
        Child(
            role,
            command_of(role, config, port, options.queues),
            {**environ, "HUB_ROLE": role},
            yields=BACKGROUND if role == "worker" and "web" in roles else 0,
        )
        for role in roles
    ]
    announce = Announcement(config, port) if "web" in roles else None
    try:
        return Supervisor([*children, *beside], watch=announce, parent=parent).run()
    finally:
        if announce is not None:
            home.note_address(config, "")


def free_port(host: str, port: int) -> int:
    """`port` if it can be listened on, or one of the system's choice for 0. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def port_sentence(config: Config, error: OSError) -> str:
    place = f"{config.hub_host}:{config.hub_port}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use by another program: stop it, or choose another port with HUB_PORT."
    return f"The hub cannot listen on {place} ({error.strerror}): choose HUB_HOST and HUB_PORT anew."


def command_of(role: str, config: Config, port: int, queues: str) -> list[str]:
    """The command line of a role."""
    if role == "web":
        return web_command(config, port)
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "integration_hub.celery"]
    if role == "scheduler":
        return [*celery, "beat", "--pidfile="]
    pool = ["-P", "threads"] if config.embedded else ["-P", "prefork", "--max-tasks-per-child", "1000"]
    name = f"hub-{os.getpid()}@%h"
    return [
        *[*celery, "worker", "-n", name, "-Q", queues, "-c", str(config.hub_worker_concurrency)],
        *[*pool, "--without-gossip", "--without-mingle", "--without-heartbeat"],
    ]


def web_command(config: Config, port: int) -> list[str]:
    return [
        *[sys.executable, "-m", "granian", "integration_hub.wsgi:application", "--interface", "wsgi"],
        *["--host", config.hub_host, "--port", str(port), "--no-ws"],
        *["--workers", str(config.hub_workers), "--blocking-threads", str(config.hub_web_threads)],
        *["--respawn-failed-workers", "--workers-kill-timeout", "10", "--log-level", "warning"],
    ]


class Announcement:
    """Says once where the hub is, as soon as it answers there."""

    def __init__(self, config: Config, port: int) -> None:
        self._config = config
        self._port = port
        # HUB_PORT=0 was decided after the configuration was read.
        self._url = config.hub_base_url if config.hub_port else f"http://{config.hub_host}:{port}"
        self._said = False
        self._next = time.monotonic() + 1

    def __call__(self) -> None:
        if self._said or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        if answers(self._config.hub_host, self._port, self._url, timeout=0.5):
            self._said = True
            with contextlib.suppress(OSError):
                home.note_address(self._config, self._url)
            say(f"The hub is ready at {self._url}/")


if __name__ == "__main__":
    raise SystemExit(main())
