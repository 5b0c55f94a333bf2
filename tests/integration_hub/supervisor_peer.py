"""A small tree for the supervisor's tests: `python supervisor_peer.py FOLDER [--with-parent]`.

Child "steady" has a child of its own; child "stubborn" does not heed SIGTERM. Each process writes its id to
FOLDER/<name>. The waits are shortened.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from integration_hub.runtime import guardian, supervisor

FOLDER = Path(sys.argv[1])
NOTE = "import os, pathlib, time; pathlib.Path({path!r}).write_text(str(os.getpid()));"


def note(name: str) -> str:
    return NOTE.format(path=str(FOLDER / name))


def script(name: str, rest: str) -> list[str]:
    return [sys.executable, "-c", note(name) + rest]


if __name__ == "__main__":
    guardian.PATIENCE = supervisor.GRACE = 1.0
    supervisor.FIRST_PAUSE = 0.1
    grandchild = script("grandchild", "time.sleep(600)")
    children = [
        supervisor.Child(
            "steady",
            script("steady", f"import subprocess; subprocess.Popen({grandchild!r}); time.sleep(600)"),
        ),
        supervisor.Child(
            "stubborn",
            script(
                "stubborn", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
            ),
        ),
    ]
    (FOLDER / "supervisor").write_text(str(os.getpid()))
    parent = os.getppid() if "--with-parent" in sys.argv else 0
    raise SystemExit(supervisor.Supervisor(children, parent=parent).run())
