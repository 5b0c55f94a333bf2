"""Packed files, other workbooks, and PDF: read where they can be, refused with the reason where not."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from typing import Any

import openpyxl
import pytest
import xlsxwriter
import xlwt
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate
from reportlab.platypus import Table as PdfTable

from apps.jobs.formats import FormatError, Options, Table, open_table

CSV = b"id,name\n1,Ada\n2,Bob\n"


def opened(data: bytes, filename: str = "", **options: Any) -> Table:
    return open_table(io.BytesIO(data), Options(**options), filename=filename)


def values(table: Table) -> list[list[Any]]:
    return [list(row.values) for row in table.rows]


def refused(data: bytes, filename: str = "", **options: Any) -> FormatError:
    with pytest.raises(FormatError) as error:
        values(opened(data, filename, **options))
    return error.value


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def workbook() -> bytes:
    out = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(["id", "name"])
    book.active.append([1, "Ada"])
    book.save(out)
    return out.getvalue()


# --- gzip and ZIP


def test_gzip_is_unpacked() -> None:
    table = opened(gzip.compress(CSV[:9]) + gzip.compress(CSV[9:]) + b"\0" * 40, "clients.csv.gz")
    assert table.findings.file_type == "csv"
    assert values(table) == [["1", "Ada"], ["2", "Bob"]]


def test_one_file_of_an_archive_is_read_and_another_can_be_chosen() -> None:
    data = zipped(**{"a.csv": CSV, "b.json": b'[{"q": 1}]', "__MACOSX/._a.csv": b"x", "c.xlsx": workbook()})
    table = opened(data, "all.zip")
    assert table.findings.member == "a.csv"
    assert table.findings.members == ("a.csv", "b.json", "c.xlsx")
    assert "b.json" in table.notices[0]
    assert opened(data, member="b.json").names == ["q"]
    assert values(opened(data, member="c.xlsx")) == [[1, "Ada"]]
    assert refused(data, member="../../etc/passwd").code == "unknown_member"


def test_a_members_name_is_never_a_path(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    data = zipped(**{"../../../../../../../../../tmp/evil.csv": CSV, "/etc/evil.csv": CSV})
    assert len(values(opened(data))) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_must_not_be_unpacked() -> None:
    assert refused(gzip.compress(b"0" * 80_000_000)).code == "unsafe_archive"
    assert refused(zipped(**{"a.csv": b"0" * 80_000_000})).code == "unsafe_archive"
    assert refused(gzip.compress(gzip.compress(CSV))).code == "nested_archive"
    assert refused(zipped(**{"a.zip": zipped(**{"a.csv": CSV})})).code == "nested_archive"
    assert refused(zipped(**{"a.gz": gzip.compress(CSV)})).code == "nested_archive"
    assert refused(gzip.compress(CSV)[:-9]).code == "damaged_file"
    assert refused(gzip.compress(CSV)[:14] + b"\xff" * 20).code == "damaged_file"
    assert refused(zipped()).code == "empty_file"
    assert refused(gzip.compress(b"")).code == "empty_file"
    big = gzip.compress(b"id,name\n" + bytes(range(33, 123)) * 20_000)
    assert refused(big, max_extracted=1_000_000).code == "too_large_unpacked"


def test_an_archive_that_lies_about_sizes_is_refused() -> None:
    data = bytearray(zipped(**{"a.csv": CSV * 1_000}))
    size = struct.pack("<I", len(CSV) * 1_000)
    while (at := data.find(size)) >= 0:
        data[at : at + 4] = struct.pack("<I", 10)
    assert refused(bytes(data)).code == "unsafe_archive"


# --- other workbooks


def test_old_excel_workbooks() -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Clients")
    for row, cells in enumerate([["id", "name", "amount"], [1, "Ödön", 12.5], [2, "Bob", 3]]):
        for column, cell in enumerate(cells):
            sheet.write(row, column, cell)
    out = io.BytesIO()
    book.save(out)
    table = opened(out.getvalue(), "clients.xls")
    assert (table.findings.file_type, table.findings.sheet) == ("xls", "Clients")
    assert values(table) == [[1, "Ödön", 12.5], [2, "Bob", 3]]
    assert any("#N/A" in notice for notice in table.notices)


def ods(rows: str) -> bytes:
    content = (
        '<?xml version="1.0" encoding="UTF-8"?><office:document-content '
        'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2"><office:body>'
        f'<office:spreadsheet><table:table table:name="Clients">{rows}</table:table></office:spreadsheet>'
        "</office:body></office:document-content>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet", zipfile.ZIP_STORED)
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    return out.getvalue()


def cell(text: str, repeat: int = 1) -> str:
    return (
        f'<table:table-cell office:value-type="string" table:number-columns-repeated="{repeat}">'
        f"<text:p>{text}</text:p></table:table-cell>"
    )


def number(value: float) -> str:
    return f'<table:table-cell office:value-type="float" office:value="{value}"/>'


def test_opendocument_spreadsheets() -> None:
    rows = "".join(
        f"<table:table-row>{cells}</table:table-row>"
        for cells in (cell("id") + cell("name"), number(1) + cell("Ada"), number(2.5) + cell("Bob"))
    )
    empty = '<table:table-cell table:number-columns-repeated="1024"/>'
    rows += f'<table:table-row table:number-rows-repeated="1048573">{empty}</table:table-row>'
    table = opened(ods(rows), "clients.ods")
    assert table.findings.file_type == "ods"
    assert values(table) == [[1, "Ada"], [2.5, "Bob"]]


def test_repeated_cells_do_not_unpack_without_end() -> None:
    rows = f'<table:table-row table:number-rows-repeated="1000000">{cell("x", 1000)}</table:table-row>'
    assert refused(ods(rows)).code == "unsafe_archive"


def record(kind: int, data: bytes = b"") -> bytes:
    head = bytes([kind & 0x7F | 0x80, kind >> 7]) if kind > 127 else bytes([kind])
    return head + bytes([len(data)]) + data


def wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def xlsb(rows: list[list[Any]]) -> bytes:
    """The least that a binary workbook ([MS-XLSB]) needs: one sheet of inline texts and numbers."""
    relations = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
    link = (
        '<Relationship Id="{}" Target="{}" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{}"/>'
    )
    sheet = record(129)  # BrtBeginSheet
    sheet += record(148, struct.pack("<IIII", 0, len(rows) - 1, 0, len(rows[0]) - 1))  # BrtWsDim
    sheet += record(145)  # BrtBeginSheetData
    for n, row in enumerate(rows):
        sheet += record(0, struct.pack("<IIHBBBI", n, 0, 300, 0, 0, 0, 0))  # BrtRowHdr
        for column, value in enumerate(row):
            head = struct.pack("<II", column, 0)
            if isinstance(value, str):
                sheet += record(6, head + wide(value))  # BrtCellSt
            else:
                sheet += record(5, head + struct.pack("<d", value))  # BrtCellReal
    sheet += record(146) + record(130)
    book = record(131) + record(143)
    book += record(156, struct.pack("<II", 0, 1) + wide("rId1") + wide("Data")) + record(144) + record(132)
    return zipped(
        **{
            "[Content_Types].xml": b"<Types/>",
            "_rels/.rels": relations.format(
                link.format("rId1", "xl/workbook.bin", "officeDocument")
            ).encode(),
            "xl/workbook.bin": book,
            "xl/_rels/workbook.bin.rels": relations.format(
                link.format("rId1", "worksheets/sheet1.bin", "worksheet")
            ).encode(),
            "xl/worksheets/sheet1.bin": sheet,
        }
    )


def test_binary_excel_workbooks() -> None:
    table = opened(xlsb([["id", "name"], [1.0, "Ada"], [2.5, "Bob"]]), "clients.xlsb")
    assert (table.findings.file_type, table.findings.sheet) == ("xlsb", "Data")
    assert values(table) == [[1, "Ada"], [2.5, "Bob"]]


def test_leading_zeros_that_excel_shows_are_kept() -> None:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out)
    sheet = book.add_worksheet()
    zip_code = book.add_format({"num_format": "00000"})
    sheet.write_row(0, 0, ["zip", "count"])
    for row in range(1, 2_001):
        sheet.write_number(row, 0, 500 + row, zip_code)
        sheet.write_number(row, 1, row)
    book.close()
    table = opened(out.getvalue())
    found = values(table)
    assert found[0] == ["00501", 1]
    assert found[-1] == ["02500", 2000]
    assert "Numbers shown with leading zeros keep them: “zip”." in table.notices


# --- PDF


def pdf(*parts: Any) -> bytes:
    out = io.BytesIO()
    SimpleDocTemplate(out).build(list(parts))
    return out.getvalue()


def words(text: str) -> Any:
    return Paragraph(text, getSampleStyleSheet()["Normal"])


def test_a_table_over_several_pages_of_a_pdf() -> None:
    rows = [["Name", "Amount"], *[[f"Person {n}", f"{n}.50"] for n in range(120)]]
    grid = PdfTable(rows, repeatRows=1)
    grid.setStyle([("GRID", (0, 0), (-1, -1), 0.5, (0, 0, 0))])
    table = opened(pdf(words("Payments of May"), grid))
    assert table.names == ["Name", "Amount"]
    found = values(table)
    assert (len(found), found[0], found[-1]) == (120, ["Person 0", "0.50"], ["Person 119", "119.50"])
    assert "guessed" in table.notices[0]


def test_a_table_without_lines_is_told_by_its_gaps() -> None:
    rows = [["Full name", "Amount"], *[[f"Person {n}", f"{n}.50"] for n in range(5)]]
    table = opened(pdf(PdfTable(rows)))
    assert table.names == ["Full name", "Amount"]
    assert values(table)[4] == ["Person 4", "4.50"]


def test_text_without_a_table_is_said_to_be_that() -> None:
    table = opened(pdf(words("Dear Sir or Madam, we have no table for you today. " * 20)))
    assert table.names == ["Text"]
    assert any("No table was found" in notice for notice in table.notices)
    assert values(table)[0][0].startswith("Dear Sir")


def test_pdfs_that_cannot_be_read() -> None:
    assert refused(b"%PDF-1.7\n" + bytes(range(256)) * 40).code == "damaged_file"
    assert refused(pdf()).code in ("no_table", "damaged_file")
