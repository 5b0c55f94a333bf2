"""Commands that change something leave an entry."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from apps.audit.models import AuditEntry
from apps.kernel import deeds


@pytest.mark.django_db
def test_looking_at_peppers_and_keys_writes_nothing() -> None:
    before = AuditEntry.objects.count()
    call_command("rotate_peppers", "--json", stdout=StringIO())
    assert AuditEntry.objects.count() == before


@pytest.mark.django_db
def test_what_the_kernels_commands_did_stands_in_the_hubs_chain() -> None:
    deeds.tell("keyring.rotated", {"added": [None, "k2"]})
    entry = AuditEntry.objects.get(action="keyring.rotated")
    assert (entry.organization, entry.actor_kind, entry.changes) == (None, "command", {"added": [None, "k2"]})
