"""`manage.py openapi`: the OpenAPI document of each version, as docs/openapi-<version>.json.

The files are the record of what has been promised: a test compares them with the code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.kernel.api.docs import document
from apps.kernel.api.versions import versions


def path_of(version: str) -> Path:
    return Path(settings.BASE_DIR) / "docs" / f"openapi-{version}.json"


def text_of(version: str) -> str:
    """The document as text, without the code samples, which follow from the rest."""
    made = document(version)
    paths = {
        path: {
            method: {name: value for name, value in operation.items() if name != "x-codeSamples"}
            for method, operation in item.items()
        }
        for path, item in made["paths"].items()
    }
    return json.dumps({**made, "paths": paths}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


class Command(BaseCommand):
    help = "Write docs/openapi-<version>.json, or compare it with the code (--check)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail if a file is out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for spec in versions.all():
            path, text = path_of(spec.name), text_of(spec.name)
            if not options["check"]:
                path.write_text(text, encoding="utf-8")
                self.stdout.write(f"{path.relative_to(settings.BASE_DIR)} is written.")
            elif not path.exists() or path.read_text(encoding="utf-8") != text:
                raise CommandError(
                    f"docs/{path.name} is not what the code says. Run `make openapi` and look at it."
                )
