"""The answer of another system, the same from both clients, and the bounded decoding of its body."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from apps.kernel import safejson
from apps.kernel.outbound.errors import OutboundProtocolError, OutboundTooLarge
from apps.kernel.redaction import redact_url


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """An HTTP answer, read to its end or to the limit (`truncated`). `elapsed_ms` is wall time."""

    status: int
    headers: CIMultiDictProxy[str] = field(repr=False)
    content: bytes = field(repr=False)
    elapsed_ms: int
    url: str = field(repr=False)
    truncated: bool = False

    def __repr__(self) -> str:
        return f"<OutboundResponse {self.status} from {redact_url(self.url)}, {len(self.content)} bytes>"

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text in the charset that the peer declares, else UTF-8; never raises."""
        declared = Message()
        declared["content-type"] = self.headers.get("content-type", "")
        charset = declared.get_content_charset("utf-8")
        try:
            return self.content.decode(charset, "replace")
        except (LookupError, ValueError):
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises InvalidInput if it is not, in words about the answer."""
        return safejson.loads(self.content, max_bytes=max(len(self.content), 1))


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> CIMultiDictProxy[str]:
    """Case-insensitive headers, read as Latin-1 (RFC 9110, 5.5), so that any bytes make a text."""
    return CIMultiDictProxy(
        CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)
    )


class BodyReader:
    """Collects a body up to a number of decoded bytes, so that a compressed bomb costs no more than that.

    `truncate`: keep the first bytes of a larger body instead of raising OutboundTooLarge.
    """

    def __init__(self, *, encoding: str, max_bytes: int, truncate: bool, origin: str) -> None:
        self._max = max_bytes
        self._truncate = truncate
        self._origin = origin
        self._parts: list[bytes] = []
        self._size = 0
        self._fed = False
        self.truncated = False
        self._raw_deflate = False
        self._decoder: zlib._Decompress | None = None
        encoding = encoding.strip().lower()
        if encoding in ("gzip", "x-gzip"):
            self._decoder = zlib.decompressobj(31)
        elif encoding == "deflate":
            self._decoder = zlib.decompressobj(15)
            self._raw_deflate = True
        elif encoding not in ("", "identity") and not truncate:
            raise OutboundProtocolError(
                f"{origin} answered in the encoding {encoding[:40]!r}, which was not asked for."
            )

    def declared(self, length: str | None) -> None:
        """Refuse at once what is announced as too large."""
        if self._truncate or self._decoder is not None or length is None or not length.isdigit():
            return
        if int(length[:20]) > self._max:
            raise self._too_large()

    def feed(self, data: bytes) -> bool:
        """Take a piece of the body as it came over the wire. Returns whether to go on reading."""
        if not data:
            return True
        if self._decoder is None:
            return self._add(data)
        first, self._fed = not self._fed, True
        while data:
            room = self._max - self._size + 1
            try:
                out = self._decoder.decompress(data, room)
            except zlib.error:
                if first and self._raw_deflate:  # "deflate" without the zlib wrapper, as some servers mean it
                    self._decoder, self._raw_deflate = zlib.decompressobj(-15), False
                    continue
                return self._broken()
            first = False
            if out and not self._add(out):
                return False
            data = self._decoder.unconsumed_tail
            if self._decoder.eof:
                data = self._decoder.unused_data
                if data and not data.strip(b"\0"):
                    data = b""  # padding
                if data:
                    self._decoder = zlib.decompressobj(31)  # the next member of a gzip file
        return True

    def result(self) -> bytes:
        """The body. Raises OutboundProtocolError if its compressed form broke off."""
        if self._decoder is not None and self._fed and not self._decoder.eof and not self.truncated:
            self._broken()
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def _add(self, data: bytes) -> bool:
        room = self._max - self._size
        if len(data) > room:
            if not self._truncate:
                raise self._too_large()
            self.truncated = True
            data = data[:room]
        self._parts.append(data)
        self._size += len(data)
        return not self.truncated

    def _broken(self) -> bool:
        if self._truncate:
            self.truncated = True
            return False
        raise OutboundProtocolError(f"{self._origin} answered with a compressed body that is damaged.")

    def _too_large(self) -> OutboundTooLarge:
        return OutboundTooLarge(f"{self._origin} answered with more than {self._max:,} bytes.")
