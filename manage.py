#!/usr/bin/env python
"""The shell door: every management command of the hub."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")
    if sys.argv[1:2] == ["serve"] and not {"-h", "--help"} & set(sys.argv):
        # The supervisor lives as long as the hub: it is kept free of Django.
        from integration_hub.runtime.serve import main as serve

        raise SystemExit(serve(sys.argv[2:]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
