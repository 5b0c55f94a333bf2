from __future__ import annotations

import base64
import json
import multiprocessing
import os
import pickle
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.crypto.errors import KeyFileExists
from apps.kernel.crypto.keyring import DecryptionFailed, KeyRing, KeyRingError, get_keyring


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


ONE = KeyRing.from_env(f"k1:{b64(b'1' * 32)}")


@given(st.binary(max_size=2000), st.binary(max_size=100))
def test_what_was_encrypted_for_a_place_decrypts_there(plaintext: bytes, aad: bytes):
    envelope = ONE.encrypt(plaintext, aad)

    assert ONE.decrypt(envelope, aad) == plaintext
    assert KeyRing.key_id_of(envelope) == "k1"


def test_the_envelope_has_the_documented_layout():
    envelope = ONE.encrypt(b"secret", b"aad")

    assert envelope[:4] == b"\x01\x02k1"
    assert len(envelope) == 4 + 12 + len(b"secret") + 16
    assert b"secret" not in envelope


def test_two_encryptions_of_one_value_differ():
    assert ONE.encrypt(b"same", b"") != ONE.encrypt(b"same", b"")


def test_ciphertext_moved_to_another_place_does_not_decrypt():
    envelope = ONE.encrypt(b"secret", b"app.Model|1|token")

    with pytest.raises(DecryptionFailed):
        ONE.decrypt(envelope, b"app.Model|2|token")


def test_every_flipped_bit_is_noticed():
    envelope = ONE.encrypt(b"secret", b"aad")
    for position in range(len(envelope)):
        for bit in range(8):
            damaged = bytearray(envelope)
            damaged[position] ^= 1 << bit
            with pytest.raises(DecryptionFailed):
                ONE.decrypt(bytes(damaged), b"aad")


def test_every_truncation_is_noticed():
    envelope = ONE.encrypt(b"secret", b"aad")
    for length in range(len(envelope)):
        with pytest.raises(DecryptionFailed):
            ONE.decrypt(envelope[:length], b"aad")


@given(st.binary(max_size=200))
def test_rubbish_raises_nothing_but_decryption_failed(data: bytes):
    with pytest.raises(DecryptionFailed):
        ONE.decrypt(data, b"")


def test_the_same_key_id_with_other_bytes_fails_closed():
    other = KeyRing.from_env(f"k1:{b64(b'2' * 32)}")

    with pytest.raises(DecryptionFailed):
        other.decrypt(ONE.encrypt(b"secret", b""), b"")


def test_an_envelope_relabelled_to_another_key_does_not_decrypt():
    both = KeyRing.from_env(f"k1:{b64(b'1' * 32)},k2:{b64(b'1' * 32)}")
    envelope = both.encrypt(b"secret", b"")

    with pytest.raises(DecryptionFailed):
        both.decrypt(envelope[:2] + b"k2" + envelope[4:], b"")


def test_a_missing_key_is_named():
    with pytest.raises(DecryptionFailed, match="'k1', which is not in the key ring") as caught:
        KeyRing.from_env(f"k9:{b64(b'9' * 32)}").decrypt(ONE.encrypt(b"secret", b""), b"")
    assert caught.value.code == "decryption_key_missing"
    assert not caught.value.transient


def test_the_first_key_of_the_variable_is_active_and_all_decrypt():
    ring = KeyRing.from_env(f"k2:{b64(b'2' * 32)}, k1:{b64(b'1' * 32)}")

    assert (ring.active_id, ring.key_ids) == ("k2", ("k2", "k1"))
    assert KeyRing.key_id_of(ring.encrypt(b"x", b"")) == "k2"
    assert ring.decrypt(ONE.encrypt(b"old", b""), b"") == b"old"


def test_the_variable_may_also_hold_the_json_of_a_file():
    ring = KeyRing.from_env(json.dumps({"active": "b", "keys": {"a": b64(b"1" * 32), "b": b64(b"2" * 32)}}))

    assert ring.active_id == "b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        "k1:",
        "k1:not base64!",
        f"k1:{b64(b'short')}",
        f"k1:{b64(b'1' * 32)},k1:{b64(b'2' * 32)}",
        f":{b64(b'1' * 32)}",
        f"k 1:{b64(b'1' * 32)}",
        f"{'k' * 65}:{b64(b'1' * 32)}",
        '{"active": "k1"}',
        '{"active": "k1", "keys": {}}',
        '{"active": "k1", "keys": ["k1"]}',
        '{"active": 1, "keys": {"k1": "x"}}',
        "{" * 100_000,
    ],
)
def test_malformed_keys_are_refused_without_quoting_them(text: str):
    with pytest.raises(KeyRingError) as caught:
        KeyRing.from_env(text)
    assert b64(b"1" * 32) not in str(caught.value)
    assert b64(b"short") not in str(caught.value)


def test_a_generated_file_is_private_and_never_overwritten(tmp_path: Path):
    path = tmp_path / "deep" / "keyring.json"
    ring = KeyRing.generate_file(path)
    before = path.read_bytes()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["keyring.json"]
    with pytest.raises(KeyFileExists):
        KeyRing.generate_file(path)
    assert path.read_bytes() == before
    assert KeyRing.load(path).decrypt(ring.encrypt(b"x", b""), b"") == b"x"


def test_a_loose_umask_does_not_open_the_file(tmp_path: Path):
    old = os.umask(0)
    try:
        path = tmp_path / "keyring.json"
        KeyRing.generate_file(path).add_key()
    finally:
        os.umask(old)

    assert [stat.S_IMODE(p.stat().st_mode) for p in sorted(tmp_path.iterdir())] == [0o600, 0o600]


def test_processes_that_start_together_agree_on_one_ring(tmp_path: Path):
    path = tmp_path / "keyring.json"
    with ThreadPoolExecutor(16) as pool:
        rings = list(pool.map(lambda _: KeyRing.load_or_generate(path), range(16)))
    envelopes = [ring.encrypt(b"x", b"") for ring in rings]

    assert [KeyRing.load(path).decrypt(envelope, b"") for envelope in envelopes] == [b"x"] * 16


def test_a_file_that_others_can_read_is_refused(tmp_path: Path):
    path = tmp_path / "keyring.json"
    KeyRing.generate_file(path)
    path.chmod(0o644)

    with pytest.raises(KeyRingError, match="chmod 600"):
        KeyRing.load(path)


def test_adding_a_key_makes_it_active_and_keeps_the_old(tmp_path: Path):
    path = tmp_path / "keyring.json"
    ring = KeyRing.generate_file(path)
    old = ring.encrypt(b"old", b"")

    assert ring.add_key() == "k2"
    assert KeyRing.key_id_of(ring.encrypt(b"new", b"")) == "k2"
    assert ring.decrypt(old, b"") == b"old"
    assert KeyRing.load(path).key_ids == ("k1", "k2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _add(path: Path) -> None:
    KeyRing.load(path).add_key()


def test_processes_that_add_keys_at_once_lose_none(tmp_path: Path):
    path = tmp_path / "keyring.json"
    KeyRing.generate_file(path)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add, args=(path,)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert KeyRing.load(path).key_ids == tuple(f"k{n}" for n in range(1, 10))


def test_the_active_key_is_never_dropped(tmp_path: Path):
    ring = KeyRing.generate_file(tmp_path / "keyring.json")
    ring.add_key()

    with pytest.raises(KeyRingError, match="active key 'k2'"):
        ring.drop_keys(["k1", "k2"])
    assert ring.key_ids == ("k1", "k2")
    ring.drop_keys(["k1"])
    assert KeyRing.load(tmp_path / "keyring.json").key_ids == ("k2",)


def test_a_folder_that_cannot_be_written_is_said_clearly(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyRingError, match="cannot be written"):
        KeyRing.generate_file(tmp_path / "file" / "keyring.json")
    ring = KeyRing.generate_file(tmp_path / "keyring.json")
    (tmp_path / "keyring.json.lock").mkdir()
    with pytest.raises(KeyRingError, match="cannot be written"):
        ring.add_key()
    assert ring.key_ids == ("k1",)


def test_keys_from_the_environment_cannot_be_changed():
    with pytest.raises(KeyRingError, match="HUB_ENCRYPTION_KEYS"):
        ONE.add_key()


def test_key_bytes_show_nowhere(tmp_path: Path):
    ring = KeyRing.generate_file(tmp_path / "keyring.json")
    encoded = next(iter(json.loads((tmp_path / "keyring.json").read_text())["keys"].values()))
    raw = base64.b64decode(encoded)
    shown = repr(ring) + str(ring) + repr(ring._state) + repr(vars(ring))

    assert encoded not in shown
    assert repr(raw)[2:-1] not in shown
    with pytest.raises(TypeError):
        pickle.dumps(ring)


def test_a_rotation_by_another_process_is_seen_without_a_restart(ring_file: Path):
    before = get_keyring()
    assert get_keyring() is before
    KeyRing.load(ring_file).add_key()

    assert get_keyring().active_id == "k2"
    assert get_keyring() is get_keyring()


def test_a_ring_that_vanishes_fails_closed(ring_file: Path):
    get_keyring()
    ring_file.unlink()

    with pytest.raises(KeyRingError, match="does not exist"):
        get_keyring()


def test_the_text_in_the_settings_wins_over_the_file(ring_file: Path, settings):
    settings.HUB_ENCRYPTION_KEYS = f"env:{b64(b'e' * 32)}"

    assert get_keyring().active_id == "env"


def test_the_variable_serves_where_the_settings_are_silent(settings, monkeypatch: pytest.MonkeyPatch):
    settings.HUB_ENCRYPTION_KEYS = settings.HUB_KEYRING = None
    monkeypatch.setenv("HUB_ENCRYPTION_KEYS", f"v1:{b64(b'e' * 32)}")
    assert get_keyring().active_id == "v1"

    monkeypatch.delenv("HUB_ENCRYPTION_KEYS")
    with pytest.raises(KeyRingError, match="No keys are configured"):
        get_keyring()
