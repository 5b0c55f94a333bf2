"""In which encoding a text file is written.

Bytes are fed as they arrive, so that an upload is judged while it is stored. A file that is valid UTF-8 to
its last byte is UTF-8; anything else that has no byte order mark is a Windows code page, and which one is
said, shown and left to the person to change.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

CHOICES = (
    ("utf-8", "UTF-8"),
    ("utf-16", "UTF-16"),
    ("utf-16-le", "UTF-16, little endian"),
    ("utf-16-be", "UTF-16, big endian"),
    ("cp1252", "Western European (Windows-1252)"),
    ("iso-8859-1", "Western European (ISO 8859-1)"),
    ("iso-8859-15", "Western European (ISO 8859-15)"),
    ("cp1250", "Central European (Windows-1250)"),
    ("cp1251", "Cyrillic (Windows-1251)"),
    ("koi8-r", "Cyrillic (KOI8-R)"),
    ("cp1253", "Greek (Windows-1253)"),
    ("cp1254", "Turkish (Windows-1254)"),
    ("cp850", "Western European (DOS 850)"),
    ("cp437", "United States (DOS 437)"),
    ("mac_roman", "Western European (Mac Roman)"),
    ("shift_jis", "Japanese (Shift JIS)"),
    ("euc_jp", "Japanese (EUC)"),
    ("gb18030", "Chinese (GB 18030)"),
    ("big5", "Chinese (Big5)"),
    ("euc_kr", "Korean (EUC)"),
)
NAMES = dict(CHOICES)

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 262_144
_NOT_IN_1252 = b"\x81\x8d\x8f\x90\x9d"


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding and, in a few words, how it is known. `sure` is False for what was only concluded."""

    name: str
    reason: str
    sure: bool = True

    @property
    def label(self) -> str:
        return NAMES.get(self.name, self.name.upper())


class Detector:
    """Feed it a file's bytes in order, then ask for the `result`. Keeps the first 256 KB and no more."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._utf8 = codecs.getincrementaldecoder("utf-8")("strict")
        self._is_utf8 = True
        self._is_ascii = True
        self._multibyte = 0
        self._mixed = False
        self._undefined = False
        self._high = 0
        self._neighbours = 0

    def feed(self, chunk: bytes) -> None:
        if len(self._head) < _SAMPLE:
            self._head += chunk[: _SAMPLE - len(self._head)]
        if self._is_ascii and chunk.isascii():
            return
        self._is_ascii = False
        if self._is_utf8:
            pending = len(self._utf8.getstate()[0])
            try:
                self._multibyte += pending + len(chunk) - len(self._utf8.decode(chunk))
            except UnicodeDecodeError as error:
                good = error.object[: error.start]
                self._multibyte += len(good) - len(good.decode("utf-8", "replace"))
                self._is_utf8 = False
                # One byte of another encoding among many of UTF-8 is a broken file, not a code page.
                self._mixed = self._multibyte >= 2
        if not self._is_utf8:
            self._note_high(chunk)

    def _note_high(self, chunk: bytes) -> None:
        """Cyrillic words are runs of high bytes; in Western European text they stand alone."""
        if not self._undefined:
            self._undefined = any(byte in chunk for byte in _NOT_IN_1252)
        if self._high < 20_000:
            sample = chunk[:65_536]
            high = [byte >= 0xC0 for byte in sample]
            self._high += sum(high)
            self._neighbours += sum(a and b for a, b in pairwise(high))

    def result(self) -> Encoding:
        head = bytes(self._head)
        for mark, name in _MARKS:
            if head.startswith(mark):
                return Encoding(name, "byte order mark")
        if b"\0" in head and (guess := utf16_without_mark(head)):
            return guess
        if self._is_utf8:
            try:
                self._utf8.decode(b"", final=True)
                return Encoding("utf-8", "plain ASCII" if self._is_ascii else "valid UTF-8")
            except UnicodeDecodeError:
                self._note_high(head)
        if self._mixed:
            return Encoding("utf-8", "UTF-8 in the beginning, but not throughout", sure=False)
        if (pairs := _double_bytes(head)) is not None:
            return pairs
        is_japanese = self._undefined and _is_shift_jis(head)
        if self._high >= 8 and not is_japanese and self._neighbours > self._high * 0.6:
            return _cyrillic(head)
        if is_japanese:
            return Encoding("shift_jis", "not UTF-8; Japanese letters throughout", sure=False)
        if _is_central_european(head):
            return Encoding("cp1250", "not UTF-8; letters as in Polish or Czech", sure=False)
        if self._undefined:
            return Encoding("iso-8859-1", "not UTF-8, and has bytes that Windows-1252 lacks", sure=False)
        return Encoding("cp1252", "not UTF-8, so most likely the Western European code page", sure=False)


_RUNS = re.compile(rb"[\x80-\xff]+")


def _double_bytes(head: bytes) -> Encoding | None:
    """Chinese, Korean or Japanese in pairs of high bytes: which, from the rows of the code that are used."""
    runs = _RUNS.findall(head)
    if len(head) >= _SAMPLE:
        runs = runs[:-1]  # it may be cut in the middle
    text = b"".join(runs)
    if len(text) < 8 or any(len(run) % 2 for run in runs) or min(text) < 0xA1:
        return None
    leads = text[0::2]
    kana = sum(lead in (0xA4, 0xA5) for lead in leads)
    hangul = sum(0xB0 <= lead <= 0xC8 for lead in leads)
    common = sum(0xB0 <= lead <= 0xD7 for lead in leads)
    for name, share, least, reason in (
        ("euc_jp", kana, 0.3, "Japanese syllables"),
        ("euc_kr", hangul, 0.9, "Korean syllables"),
        ("gb18030", common, 0.8, "common Chinese characters"),
    ):
        if share >= least * len(leads):
            return Encoding(name, f"not UTF-8; {reason} in pairs of bytes", sure=False)
    return None


_RUSSIAN = frozenset("оеаинтсрвл")
"""The most frequent letters: more than half of any text, in capitals too."""


def _cyrillic(head: bytes) -> Encoding:
    """Which Cyrillic code page: the one in which the frequent letters are frequent and words small."""

    def likeness(name: str) -> float:
        text = head.decode(name, "replace")
        letters = [c for c in text if "А" <= c <= "я" or c in "Ёё"]
        frequent = sum(c.lower() in _RUSSIAN for c in letters)
        return frequent + sum(c.islower() for c in letters) / 4

    name = max(("cp1251", "koi8-r"), key=likeness)
    return Encoding(name, "not UTF-8; runs of letters as in Cyrillic", sure=False)


def _is_central_european(head: bytes) -> bool:
    """Whether letters of Windows-1250 stand where Windows-1252 has signs in words, or a strange mixture."""
    western, central = head.decode("cp1252", "replace"), head.decode("cp1250", "replace")
    signs = mixed = 0
    kinds = set()
    for before, one, other, after in zip(" " + central, western, central, central[1:] + " ", strict=False):
        if one == other or not after.islower():
            continue
        if not one.isalpha() and other.isalpha() and before.isalpha():
            signs += 1  # “³” or “¹” within a word: ł, ą
        elif one in "ìøèù":
            mixed += 1  # ě, ř, č, ů: no Western language has three of these
            kinds.add(one)
    return signs >= 2 or (mixed >= 3 and len(kinds) >= 3)


def _is_shift_jis(head: bytes) -> bool:
    """Whether the text decodes as Shift JIS to its end, and its letters are Japanese ones."""
    try:
        decoder = codecs.getincrementaldecoder("shift_jis")("strict")
        text = decoder.decode(head, final=False)
    except UnicodeDecodeError:
        return False
    letters = [character for character in text if character > "\x7f"]
    japanese = sum("\u3040" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff" for c in letters)
    return len(letters) >= 4 and japanese * 3 >= len(letters) * 2


def utf16_without_mark(head: bytes) -> Encoding | None:
    """Text in UTF-16 has a zero in most pairs, always on the same side."""
    sample = head[: len(head) // 2 * 2][:4096]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if half and odd > half * 0.4 and even < half * 0.1:
        name = "utf-16-le"
    elif half and even > half * 0.4 and odd < half * 0.1:
        name = "utf-16-be"
    else:
        return None
    text = sample.decode(name, "replace")
    controls = sum(character < " " and character not in "\t\r\n" for character in text)
    return Encoding(name, "zero bytes as in UTF-16", sure=False) if controls * 50 <= len(text) else None


def detect(file: BinaryIO) -> Encoding:
    """The encoding of a seekable file, judged by all of it. Leaves the file at its start."""
    file.seek(0)
    detector = Detector()
    while chunk := file.read(1_048_576):
        detector.feed(chunk)
    file.seek(0)
    return detector.result()


def is_known(name: str) -> bool:
    """Whether the name is an encoding that a person may choose."""
    return name in NAMES or name == "utf-32"


def first_undecodable(file: BinaryIO, encoding: str) -> tuple[int, int] | None:
    """Where the file stops being decodable: the byte's offset from 0 and the line from 1; None if nowhere."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    consumed, line = 0, 1
    while True:
        chunk = file.read(65_536)
        pending = decoder.getstate()[0]
        try:
            line += decoder.decode(chunk, final=not chunk).count("\n")
        except UnicodeDecodeError as error:
            before = (pending + chunk)[: error.start]
            lines = before.decode(encoding, "ignore").count("\n")
            return consumed - len(pending) + error.start, line + lines
        consumed += len(chunk)
        if not chunk:
            return None
