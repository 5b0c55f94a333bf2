"""The healthy receiver: `manage.py receive_webhooks` with the port and secret of HUB_HOME/demo.json.

    python -m integration_hub.demo.receiver

The secret stays out of the command line, which every user of the machine can read.
"""

from __future__ import annotations

import os
import sys

from integration_hub.demo.state import State


def main() -> int:
    state = State.load(os.environ)
    if state is None:
        print("There is no demo in this HUB_HOME yet: `make demo` makes one.", file=sys.stderr)
        return 2
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("receive_webhooks", port=state.receiver_port, secret=[state.receiver_secret], quiet=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
