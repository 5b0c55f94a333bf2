"""Files on an SFTP server. The connection is opened by the hub's guard; the server's key is checked."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import logging
import secrets
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO

import paramiko

from apps.jobs.places.base import (
    CHUNK,
    MAX_LISTED,
    FileChanged,
    PlaceRefused,
    PlaceUnreachable,
    RemoteFile,
    Target,
    join,
    safe_name,
)
from apps.kernel.outbound import OutboundTooLarge, connect

# It logs failed handshakes with their tracebacks; what went wrong is said once, by us.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

PATIENCE = 30.0
"""Seconds without an answer after which the server counts as gone."""


def fingerprint(key: paramiko.PKey) -> str:
    """As OpenSSH shows it: `SHA256:…`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


class SFTPPlace:
    """One folder of an SFTP server."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._root = target.folder.rstrip("/")
        sock = connect(target.host, target.port, timeout=10)
        try:
            self._transport = paramiko.Transport(sock)
        except BaseException:
            sock.close()
            raise
        try:
            self._sftp = self._let_in()
        except paramiko.SSHException as error:
            self.close()
            raise PlaceUnreachable(
                f"{target.host} does not speak SSH as it should ({type(error).__name__})."
            ) from None
        except (OSError, EOFError):
            self.close()
            raise PlaceUnreachable(f"{target.host} closed the connection.") from None
        except BaseException:
            self.close()
            raise

    def _let_in(self) -> paramiko.SFTPClient:
        target, transport = self._target, self._transport
        transport.banner_timeout = transport.auth_timeout = PATIENCE
        kind = target.host_key.split(" ", 1)[0]
        if kind in transport.get_security_options().key_types:
            transport.get_security_options().key_types = (kind,)
        transport.start_client(timeout=PATIENCE)
        self._check_key(transport.get_remote_server_key())
        try:
            if key := self._private_key():
                transport.auth_publickey(target.username, key)
            else:
                transport.auth_password(target.username, target.secret("secret"))
        except paramiko.BadAuthenticationType as error:
            allowed = ", ".join(error.allowed_types)
            raise PlaceRefused(f"{target.host} wants another way to sign in: {allowed}.") from None
        except paramiko.AuthenticationException:
            how = "key" if target.secret("private_key") else "password"
            raise PlaceRefused(f"{target.host} does not accept this user name and {how}.") from None
        sftp = paramiko.SFTPClient.from_transport(transport)
        if sftp is None:
            raise PlaceRefused(f"{target.host} offers no SFTP.")
        channel: Any = sftp.get_channel()
        channel.settimeout(PATIENCE)
        return sftp

    def _check_key(self, key: paramiko.PKey) -> None:
        wanted, shown = self._target.host_key.strip(), fingerprint(key)
        if not wanted:
            raise PlaceRefused(
                f"{self._target.host} shows the key {shown}. Compare it with what its administrator tells "
                "you, and enter it as the host key.",
                code="host_key_unknown",
            )
        if wanted.startswith("SHA256:"):
            same = hmac.compare_digest(wanted.rstrip("="), shown)
        else:
            parts = wanted.split()
            try:
                given = base64.b64decode(parts[1] if len(parts) > 1 else parts[0], validate=True)
            except (binascii.Error, ValueError):
                given = b""
            same = hmac.compare_digest(given, key.asbytes())
        if not same:
            raise PlaceRefused(
                f"{self._target.host} shows another key ({shown}) than the one that is expected. Nothing was "
                "sent to it: ask its administrator whether the key was changed.",
                code="host_key_changed",
            )

    def _private_key(self) -> paramiko.PKey | None:
        text = self._target.secret("private_key")
        if not text:
            return None
        passphrase = self._target.secret("passphrase") or None
        kinds: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
        for kind in kinds:
            try:
                return kind.from_private_key(io.StringIO(text), password=passphrase)
            except paramiko.PasswordRequiredException:
                raise PlaceRefused("The private key is encrypted: enter its passphrase.") from None
            except (paramiko.SSHException, ValueError, IndexError, TypeError):
                continue
        raise PlaceRefused("The private key cannot be read, or its passphrase is wrong.")

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if self._root or self._target.folder == "/" else path or "."

    def _explain(self, error: Exception, path: str) -> PlaceRefused | PlaceUnreachable:
        name = path or "the folder"
        if isinstance(error, FileNotFoundError):
            return PlaceRefused(f"“{name}” is not on {self._target.host}.")
        if isinstance(error, PermissionError):
            return PlaceRefused(f"{self._target.host} does not permit this for “{name}”.")
        if isinstance(error, TimeoutError):
            return PlaceUnreachable(f"{self._target.host} did not answer within {PATIENCE:g} s.")
        if isinstance(error, OSError) and error.errno is None and error.args:
            return PlaceRefused(f"{self._target.host} refused “{name}”.")
        return PlaceUnreachable(f"The connection to {self._target.host} broke ({type(error).__name__}).")

    def test(self) -> str:
        try:
            count = len(self._sftp.listdir(self._path("")))
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._explain(error, self._root) from None
        return f"{self._target.host} lets the hub in; the folder has {count:,} entries."

    def files(self, folder: str) -> list[RemoteFile]:
        found: list[RemoteFile] = []
        try:
            for seen, entry in enumerate(self._sftp.listdir_iter(self._path(folder)), start=1):
                if seen > MAX_LISTED:
                    raise PlaceRefused(f"More than {MAX_LISTED:,} files lie there: choose another folder.")
                if safe_name(entry.filename) and stat.S_ISREG(entry.st_mode or 0):
                    found.append(_described(join(folder, entry.filename), entry))
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._explain(error, folder) from None
        return found

    def download(self, file: RemoteFile, into: BinaryIO, *, max_bytes: int, seconds: float) -> RemoteFile:
        until, where = time.monotonic() + seconds, self._path(file.path)
        try:
            before = _described(file.path, self._sftp.stat(where))
            if before.size > max_bytes:
                raise _too_large(self._target.host, max_bytes)
            size = 0
            with self._sftp.open(where, "rb") as remote:
                remote.prefetch(before.size, max_concurrent_requests=64)
                while piece := remote.read(CHUNK):
                    size += len(piece)
                    if size > max_bytes:
                        raise _too_large(self._target.host, max_bytes)
                    if time.monotonic() > until:
                        raise PlaceUnreachable(f"“{file.name}” was not read within {seconds:g} s.")
                    into.write(piece)
            after = _described(file.path, self._sftp.stat(where))
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._explain(error, file.path) from None
        if after != before or size != after.size or (file.version and after.version != file.version):
            raise FileChanged(f"“{file.name}” was written while it was read; it is taken the next time.")
        return after

    def upload(self, path: str, content: BinaryIO) -> None:
        final = self._path(path)
        folder, _, name = final.rpartition("/")
        part = join_raw(folder, f".{name}.{secrets.token_hex(4)}.part")
        content.seek(0)
        try:
            self._make_folders(path)
            try:
                with self._sftp.open(part, "wb") as remote:
                    remote.set_pipelined(True)
                    while piece := content.read(CHUNK):
                        remote.write(piece)
                self._rename(part, final)
            except BaseException:
                with suppress(OSError, EOFError, paramiko.SSHException):
                    self._sftp.remove(part)
                raise
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._explain(error, path) from None

    def _rename(self, source: str, to: str) -> None:
        """In one step, in the place of a file of that name; some servers know only the older way."""
        try:
            self._sftp.posix_rename(source, to)
        except FileNotFoundError:
            raise
        except OSError:
            with suppress(FileNotFoundError):
                self._sftp.remove(to)
            self._sftp.rename(source, to)

    def _make_folders(self, path: str) -> None:
        made = ""
        for part in path.split("/")[:-1]:
            made = join(made, part)
            with suppress(OSError):
                self._sftp.mkdir(self._path(made))

    def move(self, path: str, to: str) -> None:
        try:
            self._make_folders(to)
            self._rename(self._path(path), self._path(to))
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._explain(error, path) from None

    def delete(self, path: str) -> None:
        try:
            self._sftp.remove(self._path(path))
        except FileNotFoundError:
            return
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._explain(error, path) from None

    def close(self) -> None:
        self._transport.close()


def join_raw(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _described(path: str, entry: paramiko.SFTPAttributes) -> RemoteFile:
    size, changed = int(entry.st_size or 0), int(entry.st_mtime or 0)
    modified = datetime.fromtimestamp(changed, UTC) if 0 < changed < 2**33 else None
    return RemoteFile(path, size, modified, f"{size}:{changed}")


def _too_large(host: str, max_bytes: int) -> OutboundTooLarge:
    return OutboundTooLarge(f"The file on {host} has more than {max_bytes / 2**20:,.0f} MB.")
