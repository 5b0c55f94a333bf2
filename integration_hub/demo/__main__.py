"""`make demo`: fill the hub, then keep it running together with the other side, until Ctrl-C.

    python -m integration_hub.demo [--fill-only] [--with-parent]

If the hub runs already, only the other side runs beside it. Imports no Django, as the supervisor that this
becomes lives as long as the hub.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from integration_hub.config import PROJECT, Config, ConfigError, load
from integration_hub.demo.state import ALLOWED, State
from integration_hub.runtime import home, serve
from integration_hub.runtime.guardian import die_with_parent
from integration_hub.runtime.probe import answers
from integration_hub.runtime.supervisor import Child, Supervisor

BESIDE_NOTE = f"""\
A hub runs already at {{address}}: the fleet system and the receiver run beside it.
It reaches them only if it was started with HUB_OUTBOUND_ALLOW={ALLOWED}; if it was not, its syncs and
messages to this machine are refused. Then stop it, and let `make demo` serve it, which allows just that.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo", description="Fill the hub with a believable organization.")
    parser.add_argument("--fill-only", action="store_true", help="fill, and do not serve anything")
    parser.add_argument("--with-parent", action="store_true", help="stop when the starting process has gone")
    options = parser.parse_args(arguments)
    parent = os.getppid() if options.with_parent else 0
    try:
        config = load(os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    address = _running(config)
    if not address and not options.fill_only:
        try:
            os.environ["HUB_PORT"] = str(serve.free_port(config.hub_host, config.hub_port))
        except OSError as error:
            print(serve.port_sentence(config, error), file=sys.stderr)
            return 2
    _allow(config)
    State.prepare(os.environ)
    filled = _fill(address)
    if filled or options.fill_only:
        return filled
    beside = [
        Child("fleet system", [sys.executable, "-m", "integration_hub.demo.server"]),
        Child("webhook receiver", [sys.executable, "-m", "integration_hub.demo.receiver"]),
    ]
    os.chdir(PROJECT)
    if address:
        print(BESIDE_NOTE.format(address=address), flush=True)
        return Supervisor(beside, parent=parent).run()
    return serve.main(["--with-parent"] if options.with_parent else [], beside=beside)


def _running(config: Config) -> str:
    """The address of the hub that runs in this HUB_HOME, or nothing."""
    address = home.running_address(config)
    if not address:
        return ""
    port = config.hub_port or int(address.rpartition(":")[2])
    return address if answers(config.hub_host, port, address, timeout=5) else ""


def _allow(config: Config) -> None:
    """Let what is started from here call this one machine: its own address, and no other private one."""
    allowed = [str(network) for network in config.hub_outbound_allow]
    if ALLOWED not in allowed:
        os.environ["HUB_OUTBOUND_ALLOW"] = ",".join([*allowed, ALLOWED])


def _fill(address: str) -> int:
    """Run the filling in a process of its own; returns its exit status."""
    parent = os.getpid()
    environ = {**os.environ, **({"HUB_BASE_URL": address} if address else {})}

    def begin() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to hear
        die_with_parent(parent)

    command = [sys.executable, str(PROJECT / "manage.py"), "demo", "--fill"]
    with subprocess.Popen(command, env=environ, preexec_fn=begin) as process:  # noqa: S603  our own
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            print("\nStopped before the end. Run it again: it goes on where it was.", file=sys.stderr)
            return 130


if __name__ == "__main__":
    raise SystemExit(main())
