"""An SFTP server on this machine, over one folder; it can be told to misbehave.

`with SFTPPeer(folder) as peer: peer.port, peer.host_key, peer.fingerprint`; it lets in `user`/`password`, or
`user` with the key `peer.client_key`.
"""

from __future__ import annotations

import io
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import paramiko

from apps.jobs.places.sftp import fingerprint

USER, PASSWORD = "courier", "correct horse"


class SFTPPeer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = paramiko.ECDSAKey.generate()
        self._client: Any = paramiko.ECDSAKey.generate()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.host_key = f"{self._key.get_name()} {self._key.get_base64()}"
        self.fingerprint = fingerprint(self._key)
        self.logins: list[str] = []
        # Names that the listing tells besides what there is.
        self.also_listed: list[str] = []
        # Called with the path when a file was opened for reading.
        self.on_read: Any = None
        self.endless = False
        self._transports: list[paramiko.Transport] = []

    @property
    def client_key(self) -> str:
        text = io.StringIO()
        self._client.write_private_key(text)
        return text.getvalue()

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def stop(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def __exit__(self, *exc: object) -> None:
        self.stop()
        for transport in self._transports:
            transport.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            self._transports.append(transport)
            transport.add_server_key(self._key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, self)
            try:
                transport.start_server(server=_Doorkeeper(self))
            except (paramiko.SSHException, EOFError, OSError):
                continue


class _Doorkeeper(paramiko.ServerInterface):
    def __init__(self, peer: SFTPPeer) -> None:
        self._peer = peer

    def check_auth_password(self, username: str, password: str) -> int:
        self._peer.logins.append(f"password {username}")
        good = (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self._peer.logins.append(f"key {username}")
        good = username == USER and key.asbytes() == self._peer._client.asbytes()
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: Any, peer: SFTPPeer, *args: Any, **kwargs: Any) -> None:
        super().__init__(server, *args, **kwargs)
        self._peer = peer

    def _real(self, path: str) -> str:
        return str(self._peer.folder) + self.canonicalize(path)

    def list_folder(self, path: str) -> Any:
        try:
            found = []
            for name in os.listdir(self._real(path)):
                row = paramiko.SFTPAttributes.from_stat(os.stat(os.path.join(self._real(path), name)))
                row.filename = name
                found.append(row)
            for name in self._peer.also_listed:
                row = paramiko.SFTPAttributes()
                row.filename, row.st_size, row.st_mtime, row.st_mode, row.st_atime = name, 3, 1, 0o100644, 1
                found.append(row)
            return found
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self._real(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        writing = flags & (os.O_WRONLY | os.O_RDWR)
        try:
            file = os.fdopen(os.open(self._real(path), flags, 0o600), "wb" if writing else "rb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        handle = _Handle(self._peer, flags)
        handle.readfile = handle.writefile = file  # type: ignore[attr-defined]
        if not writing and self._peer.on_read is not None:
            self._peer.on_read(path)
        return handle

    def remove(self, path: str) -> int:
        return self._done(lambda: os.remove(self._real(path)))

    def rename(self, oldpath: str, newpath: str) -> int:
        if os.path.exists(self._real(newpath)):
            return paramiko.SFTP_FAILURE
        return self._done(lambda: os.rename(self._real(oldpath), self._real(newpath)))

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return self._done(lambda: os.replace(self._real(oldpath), self._real(newpath)))

    def mkdir(self, path: str, attr: Any) -> int:
        return self._done(lambda: os.mkdir(self._real(path)))

    def _done(self, deed: Any) -> int:
        try:
            deed()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        return paramiko.SFTP_OK


class _Handle(paramiko.SFTPHandle):
    def __init__(self, peer: SFTPPeer, flags: int) -> None:
        super().__init__(flags)
        self._peer = peer

    def read(self, offset: int, length: int) -> Any:
        if self._peer.endless:
            return b"x" * length
        return super().read(offset, length)
