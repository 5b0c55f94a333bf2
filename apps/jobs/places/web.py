"""Files at web addresses: fetched through the hub's one HTTP client, each redirect checked anew."""

from __future__ import annotations

import os.path
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urljoin, urlsplit

from apps.jobs.places.base import PlaceRefused, PlaceUnreachable, RemoteFile, Target, join
from apps.kernel.outbound import OutboundBlocked, shared

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came from a web address: how it calls itself and how long it is."""

    filename: str
    size: int
    version: str
    modified_at: datetime | None


def fetch(
    url: str,
    into: BinaryIO,
    *,
    max_bytes: int,
    seconds: float,
    username: str = "",
    secret: str = "",
    allow_http: bool | None = None,
) -> Fetched:
    """Write what an address answers with into an open file.

    With a user name the secret is a password, else a bearer token; it is sent to the first host only.
    Raises PlaceRefused for an answer that is no file, PlaceUnreachable, and outbound errors.
    """
    until = time.monotonic() + seconds
    first = urlsplit(url)
    for _ in range(MAX_REDIRECTS + 1):
        here = urlsplit(url)
        trusted = (here.scheme, here.netloc) == (first.scheme, first.netloc)
        headers = {"Authorization": f"Bearer {secret}"} if trusted and secret and not username else {}
        auth = (username, secret) if trusted and username else None
        left = max(1.0, until - time.monotonic())
        with shared().stream(
            url, headers=headers, auth=auth, timeout=left, max_bytes=max_bytes, allow_http=allow_http
        ) as answer:
            if answer.status in _REDIRECTS and "location" in answer.headers:
                following = urljoin(url, answer.headers["location"])
                if here.scheme == "https" and urlsplit(following).scheme != "https":
                    raise OutboundBlocked(f"{here.hostname} leads to an address without encryption.")
                url = following
                continue
            _refuse(answer.status, here.hostname or "")
            size = 0
            for piece in answer.chunks():
                into.write(piece)
                size += len(piece)
            return _described(url, answer.headers, size)
    raise PlaceRefused(f"{first.hostname} leads from one address to the next without an end.")


def _refuse(status: int, host: str) -> None:
    if 200 <= status < 300:
        return
    if status in (408, 425, 429) or status >= 500:
        raise PlaceUnreachable(f"{host} answered with HTTP {status}: it cannot give the file just now.")
    if status in (401, 403):
        raise PlaceRefused(f"{host} does not let the hub in (HTTP {status}): check user name and secret.")
    if status in (404, 410):
        raise PlaceRefused(f"{host} has no file at this address (HTTP {status}).")
    raise PlaceRefused(f"{host} answered with HTTP {status} instead of a file.")


def _described(url: str, headers: Any, size: int) -> Fetched:
    modified = None
    if "last-modified" in headers:
        try:
            modified = parsedate_to_datetime(headers["last-modified"])
        except ValueError:
            modified = None
        if modified is not None and modified.tzinfo is None:
            modified = modified.replace(tzinfo=UTC)
    mark = headers.get("etag") or (modified.isoformat() if modified else "")
    return Fetched(_filename(url, headers), size, f"{size}:{mark}"[:300] if mark else "", modified)


def _filename(url: str, headers: Any) -> str:
    """What the answer calls itself, else the end of the address; the last part of it only."""
    message = Message()
    message["content-disposition"] = headers.get("content-disposition", "")
    try:
        name = message.get_filename() or ""
    except (ValueError, LookupError):
        name = ""
    name = name or unquote(urlsplit(url).path)
    return os.path.basename(re.sub(r"[\\/]+", "/", name))[-200:] or "download"


class WebPlace:
    """Files below a web address, each named by its path; there is no listing."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def _url(self, path: str) -> str:
        base = self._target.base_url.rstrip("/")
        return f"{base}/{quote(path)}" if path else base

    def _fetch(self, path: str, into: BinaryIO, max_bytes: int, seconds: float) -> Fetched:
        return fetch(
            self._url(path),
            into,
            max_bytes=max_bytes,
            seconds=seconds,
            username=self._target.username,
            secret=self._target.secret("secret"),
            allow_http=self._target.allow_http,
        )

    def test(self) -> str:
        url = self._url("")
        secret, user = self._target.secret("secret"), self._target.username
        headers = {"Authorization": f"Bearer {secret}"} if secret and not user else {}
        answer = shared().request(
            "GET", url, headers=headers, auth=(user, secret) if user else None, timeout=20,
            max_bytes=4096, truncate=True, allow_http=self._target.allow_http,
        )  # fmt: skip
        host = urlsplit(url).hostname or ""
        # The place itself may show nothing; that it lets one in is what can be tried.
        if answer.status not in (404, 405, 410) and answer.status not in _REDIRECTS:
            _refuse(answer.status, host)
        return f"{host} answered in {answer.elapsed_ms} ms (HTTP {answer.status})."

    def files(self, folder: str) -> list[RemoteFile]:
        """The one file that the path names; whether it changed shows when it is read."""
        return [RemoteFile(folder, 0, None, "")]

    def download(self, file: RemoteFile, into: BinaryIO, *, max_bytes: int, seconds: float) -> RemoteFile:
        found = self._fetch(file.path, into, max_bytes, seconds)
        return RemoteFile(join(file.path) or found.filename, found.size, found.modified_at, found.version)

    def upload(self, path: str, content: BinaryIO) -> None:
        raise PlaceRefused("Files are not delivered to web addresses; use a webhook.")

    def move(self, path: str, to: str) -> None:
        raise PlaceRefused("Files at web addresses cannot be moved.")

    def delete(self, path: str) -> None:
        raise PlaceRefused("Files at web addresses cannot be deleted.")

    def close(self) -> None:
        return None
