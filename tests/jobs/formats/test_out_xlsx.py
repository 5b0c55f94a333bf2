"""The workbook that an export writes: what its cells say, and what becomes of a disk that is full."""

from __future__ import annotations

import io
import zipfile

import pytest
from openpyxl import load_workbook

from apps.jobs.formats.out_xlsx import XlsxOutput
from apps.jobs.formats.outputs import Batch, OutColumn, OutOptions

TEXTS = [
    "plain", " led by a space", "followed by one ", "two  inside", "a\nb", "\ttab", "=1+1", "'quoted",
    "a & b < c > d", "ümläut", "\u3000wide", "e\u00a0nbsp\u00a0", "", " ", "7", "-7", "x" * 40_000,
]  # fmt: skip


def column(name, kind="text"):
    return OutColumn(name, name, kind, ("data", name), None)


def test_texts_come_back_as_they_were_but_for_what_would_run():
    file = io.BytesIO()
    output = XlsxOutput(file, [column("a"), column("b")], OutOptions())
    output.write(Batch([{"a": text, "b": text} for text in TEXTS]))
    output.close()

    rows = list(load_workbook(file).active.iter_rows(min_row=2, values_only=True))
    harmless = {"\ttab": "'\ttab", "=1+1": "'=1+1", "": None}
    expected = [harmless.get(text, text)[:32_767] if harmless.get(text, text) else None for text in TEXTS]
    assert [row[0] for row in rows] == expected
    assert [row[1] for row in rows] == expected
    [note] = output.notes.sentences()
    assert note.startswith("2 texts were cut: a cell of a workbook holds 32,767 characters.")
    with zipfile.ZipFile(file) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    assert "<t>plain</t>" in sheet
    assert '<t xml:space="preserve"> led by a space</t>' in sheet
    assert '<t xml:space="preserve">followed by one </t>' in sheet


class Full(io.BytesIO):
    """A disk that has no room once, and has again afterwards: nothing else tells that rows are lost."""

    room = 3_000

    def write(self, data):
        if self.tell() + len(data) > self.room:
            self.room = 10_000_000
            raise OSError(28, "No space left on device")
        return super().write(data)


def fill(output, batches, size):
    for start in range(0, size * batches, size):
        rows = [{"a": f"{n * 7919 % 1_000_003:x} text"} for n in range(start, start + size)]
        output.write(Batch(rows))


def test_a_full_disk_ends_the_export_though_rows_are_packed_behind_its_back():
    output = XlsxOutput(Full(), [column("a")], OutOptions())
    with pytest.raises(OSError, match="No space left"):
        fill(output, 100, 1_000)
    assert output.rows < 100_000


def test_a_disk_that_is_full_at_the_last_rows_is_told_too():
    output = XlsxOutput(Full(), [column("a")], OutOptions())
    fill(output, 2, 20_000)
    with pytest.raises(OSError, match="No space left"):
        output.close()
