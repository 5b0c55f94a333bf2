"""HUB_HOME: its folders, and the secrets that the first embedded start makes.

Every secret is a file of its own with mode 0600 in a folder with mode 0700. Processes that start
together agree on one secret: each makes a candidate, and the first to link it under the final name wins.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from integration_hub.config import Config, ConfigError
from integration_hub.config_table import SECRET_KEY_LENGTH

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600


def prepare(config: Config) -> None:
    """Make the folders of `config`, all private to the user who runs the hub, and the embedded mode's keys.

    Raises ConfigError with a sentence when HUB_HOME cannot be written.
    """
    folders = [config.hub_home]
    folders += [folder for folder in (config.storage_url.folder, config.email_url.folder) if folder]
    for folder in folders:
        try:
            folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError([f"The folder {folder} cannot be made: {error.strerror}."]) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError([f"The folder {folder} cannot be written by the user who runs the hub."])
    if config.embedded:
        # Made before SQLite makes it, which would let others read it; as it is, its locks stay untouched.
        with contextlib.suppress(OSError):
            os.close(os.open(config.database_url.name, os.O_RDONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
        _prepare_keys(config)


def _prepare_keys(config: Config) -> None:
    """Make the key ring and the peppers that nobody has configured and that are not there yet."""
    ring, peppers = config.hub_home / "keyring.json", config.hub_home / "peppers.json"
    if not config.hub_encryption_keys and not ring.exists():
        from apps.kernel.crypto.keyring import KeyRing

        generate_once(ring, KeyRing.generate_file)
    if not config.hub_peppers and not peppers.exists():
        from apps.kernel.crypto.hashing import PepperRing

        generate_once(peppers, PepperRing.generate_file)


def secret_key(config: Config) -> str:
    """Django's secret: the configured one, else the one kept in HUB_HOME, made when there is none."""
    if config.secret_key:
        return config.secret_key
    path = config.hub_home / "secret_key"
    generate_once(path, lambda candidate: _write(candidate, secrets.token_urlsafe(64)))
    kept = path.read_text(encoding="ascii").strip()
    if len(kept) < SECRET_KEY_LENGTH:
        raise ConfigError(
            [f"The file {path} holds no Django secret: restore it, or remove it to make a new one."]
        )
    return kept


def generate_once(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file `path` unless it exists; it is never seen half written."""
    if path.exists():
        return
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    candidate = Path(name)
    candidate.unlink()
    try:
        write(candidate)
        candidate.chmod(PRIVATE_FILE)
        _sync(candidate)
        # link, unlike rename, fails when the name is taken: whoever was first has made the secret.
        os.link(candidate, path)
        _sync(path.parent)
    except FileExistsError:
        pass
    finally:
        candidate.unlink(missing_ok=True)


def note_address(config: Config, address: str) -> None:
    """Keep the address that the running hub answers at, for commands that tell it; empty removes it."""
    path = config.hub_home / "address"
    if not address:
        path.unlink(missing_ok=True)
        return
    path.write_text(address, encoding="ascii")


def running_address(config: Config) -> str:
    """The address that the running hub of this HUB_HOME has noted, or nothing."""
    try:
        return (config.hub_home / "address").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
