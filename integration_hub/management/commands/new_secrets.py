"""Print fresh secrets for a distributed hub, as lines of an environment file."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Print fresh secrets for a distributed hub, for its .env file. Keeps nothing."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"SECRET_KEY={secrets.token_urlsafe(64)}")
        for name in ("HUB_ENCRYPTION_KEYS", "HUB_PEPPERS"):
            self.stdout.write(f"{name}=k1:{base64.b64encode(secrets.token_bytes(32)).decode()}")
