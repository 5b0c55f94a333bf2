from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.kernel.crypto import rotation
from apps.kernel.crypto.errors import KeyRingError
from apps.kernel.crypto.fields import Envelope, sealed
from apps.kernel.crypto.keyring import get_keyring
from tests.kernel.sample.models import Chore, Vault

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ring_file")]


def rotate(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("rotate_keys", "--json", *arguments, stdout=out)
    result = json.loads(out.getvalue())
    assert isinstance(result, dict)
    return result


def keys_used() -> set[str]:
    values = list(Vault.objects.values_list("token", flat=True))
    values += Vault.objects.values_list("credentials", flat=True)
    values += Chore.objects.values_list("secret", flat=True)
    return {value.key_id for value in values if value is not None}


def fill(rows: int = 7) -> None:
    Vault.objects.bulk_create(Vault(token=f"t{n}", credentials={"n": n}) for n in range(rows))
    Vault.objects.create(token=None, name="without")
    Chore.objects.bulk_create(Chore(rank=n, secret=f"c{n}") for n in range(rows))


def test_a_new_key_re_encrypts_every_value_of_every_table():
    fill()
    result = rotate("--new-key", "--batch-size", "3")

    assert (result["added"], result["active"], result["keys"]) == ("k2", "k2", ["k1", "k2"])
    assert result["models"]["kernel_sample.Vault"] == {"reencrypted": 15, "already_current": 0, "failed": 0}
    assert result["models"]["kernel_sample.Chore"] == {"reencrypted": 7, "already_current": 0, "failed": 0}
    assert keys_used() == {"k2"}
    assert sorted(v.token for v in Vault.objects.exclude(token__isnull=True)) == [f"t{n}" for n in range(7)]
    assert sorted(c.secret for c in Chore.objects.all()) == [f"c{n}" for n in range(7)]


def test_a_second_run_skips_what_is_done():
    fill()
    rotate("--new-key")
    result = rotate()

    assert (result["reencrypted"], result["already_current"]) == (0, 22)


def test_an_interrupted_run_resumes_where_it_stopped():
    fill()
    get_keyring().add_key()
    seen = 0

    class PowerCut(Exception):
        pass

    def stop(counts: rotation.ModelCounts) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:
            raise PowerCut

    with pytest.raises(PowerCut):
        rotation.reencrypt(batch=2, progress=stop)
    assert keys_used() == {"k1", "k2"}
    result = rotate()

    assert (result["reencrypted"], result["already_current"]) == (14, 8)
    assert keys_used() == {"k2"}


def before_each(statement: str, *actions: Callable[[], object]) -> AbstractContextManager[None]:
    """Other people's work: one action before each of the next statements that start so."""
    pending = iter(actions)
    busy = False

    def interleave(execute: Any, sql: str, *rest: Any) -> Any:
        nonlocal busy
        if sql.startswith(statement) and not busy:
            busy = True
            next(pending, lambda: None)()
            busy = False
        return execute(sql, *rest)

    return connection.execute_wrapper(interleave)


def test_an_edit_that_comes_between_wins():
    vault = Vault.objects.create(token="before")
    under_old_key, row = sealed(vault, token="by a stale process"), Vault.objects.filter(pk=vault.pk)
    get_keyring().add_key()
    under_new_key = sealed(vault, token="after")
    with before_each(
        'UPDATE "kernel_sample_vault"',
        lambda: row.update(**under_old_key),
        lambda: row.update(**under_new_key),
    ):
        rotation.reencrypt()

    assert Vault.objects.get(pk=vault.pk).token == "after"
    assert keys_used() == {"k2"}


def test_a_row_deleted_meanwhile_is_no_error():
    vault = Vault.objects.create(token="x")
    get_keyring().add_key()
    with before_each('UPDATE "kernel_sample_vault"', Vault.objects.filter(pk=vault.pk).delete):
        result = rotate()

    assert (result["failed"], Vault.objects.count()) == ([], 0)


def test_a_damaged_value_is_reported_kept_and_stops_the_prune():
    good, bad = Vault.objects.create(token="good"), Vault.objects.create(token="bad")
    Vault.objects.filter(pk=bad.pk).update(token=sealed(good, token="moved")["token"])
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 secrets could not be decrypted; old keys were kept"):
        call_command("rotate_keys", "--new-key", "--prune", "--json", stdout=out)

    result = json.loads(out.getvalue())
    assert [re.sub(" [0-9a-f-]{36} ", " … ", line) for line in result["failed"]] == [
        "kernel_sample.Vault … token: "
        "The stored secret was damaged or belongs to another row: enter it again."
    ]
    assert (result["dropped"], get_keyring().key_ids) == ([], ("k1", "k2"))
    assert Vault.objects.get(pk=good.pk).token == "good"


def test_prune_drops_only_keys_that_nothing_uses():
    fill()
    get_keyring().add_key()
    get_keyring().add_key()
    Vault.objects.create(token="under k3")
    assert rotation.prune().dropped == ["k2"]
    assert get_keyring().key_ids == ("k1", "k3")

    result = rotate("--prune")
    assert (result["dropped"], result["keys"]) == (["k1"], ["k3"])
    assert Vault.objects.get(name="without").token is None
    assert {v.token for v in Vault.objects.all()} >= {"t0", "under k3"}


def test_prune_refuses_when_a_value_is_unreadable():
    get_keyring().add_key()
    vault = Vault.objects.create()
    Vault.objects.filter(pk=vault.pk).update(token=Envelope(b"rubbish"))

    with pytest.raises(KeyRingError, match="1 stored values are damaged"):
        rotation.prune()
    assert get_keyring().key_ids == ("k1", "k2")


def test_a_key_comes_back_if_a_value_under_it_is_committed_while_pruning():
    vault = Vault.objects.create()
    late = sealed(vault, token="late")
    get_keyring().add_key()
    rotation.reencrypt()
    with before_each(
        'SELECT "kernel_sample_chore"', lambda: Vault.objects.filter(pk=vault.pk).update(**late)
    ):
        pruned = rotation.prune()

    assert (pruned.dropped, pruned.in_use["k1"]) == ([], 1)
    assert (get_keyring().key_ids, get_keyring().active_id) == (("k1", "k2"), "k2")
    assert Vault.objects.get(pk=vault.pk).token == "late"


def test_keys_from_the_environment_are_added_there(settings, ring_file: Path):
    settings.HUB_ENCRYPTION_KEYS = ring_file.read_text()

    for option in ("--new-key", "--prune"):
        with pytest.raises(CommandError, match=r"environment|HUB_ENCRYPTION_KEYS"):
            call_command("rotate_keys", option, stdout=io.StringIO())


def test_people_read_counts_and_never_a_secret():
    fill(2)
    out = io.StringIO()
    call_command("rotate_keys", "--new-key", "--prune", stdout=out)

    assert "Key k2 was added and is active." in out.getvalue()
    assert "kernel_sample.Vault: 5 re-encrypted, 0 were current, 0 failed" in out.getvalue()
    assert "Dropped unused keys: k1." in out.getvalue()
    assert out.getvalue().endswith("Active key: k2. Keys in the ring: k2.\n")
