"""Excel workbooks as people send them, and as nobody should."""

from __future__ import annotations

import datetime as dt
import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from apps.jobs.formats import FormatError, Options, Table, open_table, recognize
from apps.jobs.formats.writers import CsvWriter, XlsxWriter, harmless


def workbook(fill: Callable[[Any, Any], None], **options: Any) -> bytes:
    """A workbook with one sheet, filled by `fill(book, sheet)`."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, options)
    fill(book, book.add_worksheet("Data"))
    book.close()
    return file.getvalue()


def rows_of(*rows: list[Any]) -> bytes:
    def fill(book: Any, sheet: Any) -> None:
        for n, row in enumerate(rows):
            sheet.write_row(n, 0, row)

    return workbook(fill)


def opened(data: bytes, **options: Any) -> Table:
    return open_table(io.BytesIO(data), Options(**options))


def values(table: Table) -> list[list[Any]]:
    return [list(row.values) for row in table.rows]


def refused(data: bytes, filename: str = "", **options: Any) -> FormatError:
    with pytest.raises(FormatError) as error:
        values(open_table(io.BytesIO(data), Options(**options), filename=filename))
    return error.value


def test_numbers_dates_and_truths_come_as_what_they_are() -> None:
    def fill(book: Any, sheet: Any) -> None:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        clock = book.add_format({"num_format": "hh:mm"})
        length = book.add_format({"num_format": "[h]:mm"})
        sheet.write_row(0, 0, ["int", "float", "sum", "date", "datetime", "time", "length", "yes", "text"])
        sheet.write_number(1, 0, 12)
        sheet.write_number(1, 1, 12.5)
        sheet.write_number(1, 2, 0.1 + 0.2)
        sheet.write_datetime(1, 3, dt.date(2026, 3, 1), day)
        sheet.write_datetime(1, 4, dt.datetime(2026, 3, 1, 10, 30), moment)  # noqa: DTZ001 - Excel knows no zones
        sheet.write_number(1, 5, 0.5, clock)
        sheet.write_number(1, 6, 1.5, length)
        sheet.write_boolean(1, 7, True)
        sheet.write_string(1, 8, "00501")

    [row] = opened(workbook(fill)).rows
    assert row.values == [
        12,
        12.5,
        0.3,
        "2026-03-01",
        "2026-03-01T10:30:00",
        "12:00:00",
        "36:00:00",
        True,
        "00501",
    ]
    assert [type(value) for value in row.values[:2]] == [int, float]


def test_workbooks_that_count_from_1904_keep_their_dates() -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_string(0, 0, "day")
        sheet.write_datetime(1, 0, dt.date(2026, 3, 1), book.add_format({"num_format": "yyyy-mm-dd"}))

    assert values(opened(workbook(fill, date_1904=True))) == [["2026-03-01"]]


def test_numbers_with_more_digits_than_excel_keeps_are_warned_of() -> None:
    [row] = opened(rows_of(["card"], [12345678901234567890])).rows
    assert row.values == ["12345678901234600000"]
    assert [(p.code, p.severity) for p in row.problems] == [("precision_lost", "warning")]
    assert not row.is_wrong


def test_error_values_and_formulas_without_result_are_errors_of_their_row() -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["id", "sum"])
        sheet.write_number(1, 0, 1)
        sheet.write_formula(1, 1, "=1/0", None, "#DIV/0!")
        sheet.write_number(2, 0, 2)
        sheet.write_formula(2, 1, "=1+1", None, 2)
        sheet.write_number(3, 0, 3)
        sheet.write_formula(3, 1, '=IF(1,"","")', None, "")

    # Excel says of such a result that it is a text.
    data = rewritten(
        workbook(fill),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(b'<c r="B4">', b'<c r="B4" t="str">'),
    )
    rows = list(opened(data).rows)
    assert [(row.line, [(p.code, p.column, p.value) for p in row.problems]) for row in rows] == [
        (2, [("excel_error", "sum", "#DIV/0!")]),
        (3, []),
        (4, []),
    ]
    assert rows[1].values == [2, 2]

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", "sum"])
    sheet.append([1, "=1+1"])
    file = io.BytesIO()
    book.save(file)
    [row] = opened(file.getvalue()).rows
    assert [(p.code, p.column) for p in row.problems] == [("not_calculated", "sum")]


def test_header_and_rows_keep_their_place_in_the_sheet() -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_string(0, 0, "Report of March")
        sheet.write_row(3, 2, ["id", "name", "amount"])
        sheet.write_row(4, 2, [1, "A", 3])
        sheet.write_row(6, 2, [2, "B", 4])

    table = opened(workbook(fill))
    assert table.findings.header_row == 4
    assert table.names[-3:] == ["id", "name", "amount"]
    assert [(row.number, row.line, list(row.values)[-3:]) for row in table.rows] == [
        (1, 5, [1, "A", 3]),
        (2, 7, [2, "B", 4]),
    ]
    assert table.blank_rows == 1


def test_the_sheet_is_chosen_and_hidden_ones_come_last() -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["hidden"])
        sheet.hide()
        people = book.add_worksheet("People")
        people.write_column(0, 0, ["name", "Ada"])
        people.activate()
        book.add_chartsheet("Chart")

    data = workbook(fill)
    table = opened(data)
    assert [(s.name, s.visible) for s in table.findings.sheets] == [("People", True), ("Data", False)]
    assert (table.findings.sheet, table.names) == ("People", ["name"])
    assert opened(data, sheet="Data").names == ["hidden"]
    assert refused(data, sheet="Nope").code == "unknown_sheet"


def test_ghost_formatting_costs_nothing() -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_column(0, 0, ["id", 1, 2])
        sheet.write_blank(1_048_575, 0, None, book.add_format({"bold": True}))

    assert values(opened(workbook(fill))) == [[1], [2]]


def test_a_wrong_dimension_loses_no_column() -> None:
    data = rows_of(["id", "name", "city"], [1, "A", "Berlin"])
    lying = rewritten(data, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"A1:C2", b"A1:A1"))
    assert values(opened(lying)) == [[1, "A", "Berlin"]]


def test_cells_right_of_the_header_are_columns_without_name() -> None:
    table = opened(rows_of(["id", "name"], [1, "A", "note"]))
    assert table.names == ["id", "name", "Column 3"]
    assert values(table) == [[1, "A", "note"]]


def test_rows_that_were_settled_are_passed_over() -> None:
    table = opened(rows_of(["id"], *[[n] for n in range(1, 11)]), skip_rows=8)
    assert [(row.number, row.line, row.values[0]) for row in table.rows] == [(9, 10, 9), (10, 11, 10)]


# --- what is refused


def rewritten(data: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The archive with one member changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry.filename)
            new.writestr(entry.filename, change(content) if entry.filename == name else content)
    return out.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = rewritten(rows_of(["id"], [1]), "xl/worksheets/sheet1.xml", lambda xml: xml + b" " * 200_000_000)
    assert len(bomb) < 1_000_000
    assert refused(bomb).code == "unsafe_archive"


def test_more_than_the_allowed_bytes_are_refused() -> None:
    data = rows_of(["id"], *[[f"text {n}"] for n in range(2000)])
    assert refused(data, max_unpacked=10_000).code == "too_large_unpacked"


def test_an_archive_that_lies_about_its_sizes_is_refused() -> None:
    data = bytearray(
        rewritten(rows_of(["id"], [1]), "xl/worksheets/sheet1.xml", lambda xml: xml + b" " * 5_000_000)
    )
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    lie = bytes(data).replace(struct.pack("<I", size), struct.pack("<I", 900))
    error = refused(lie)
    assert error.code == "unsafe_archive"
    assert "lies" in error.detail


def test_a_million_entries_are_refused_by_the_size_of_the_directory() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n in range(40_000):
            archive.writestr(f"{n:060d}", b"")
    assert refused(out.getvalue()).code == "unsafe_archive"


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"[Content_Types].xml": b"x", "word/document.xml": b"x"}, "Word"),
        ({"[Content_Types].xml": b"x", "ppt/presentation.xml": b"x"}, "no Excel workbook"),
        ({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"x"}, "OpenDocument"),
    ],
)
def test_other_office_documents_are_named(members: dict[str, bytes], words: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    error = refused(out.getvalue())
    assert error.code == "wrong_format"
    assert words in error.detail


def test_entities_are_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    data = rewritten(
        rows_of(["id"], [1]),
        "xl/workbook.xml",
        lambda xml: xml.replace(b"<workbook", bomb + b"<workbook", 1),
    )
    assert refused(data).code == "unsafe_xml"


@pytest.mark.parametrize("cut", [100, 400, 2000])
def test_a_damaged_file_is_a_sentence(cut: int) -> None:
    data = rows_of(["id"], *[[f"text {n}"] for n in range(500)])
    assert refused(data[:-cut]).code == "damaged_file"
    broken = bytearray(data)
    broken[60 : 60 + cut] = b"\xff" * cut
    assert refused(bytes(broken)).code == "damaged_file"


def test_passwords_and_old_formats_are_told_apart() -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
    assert refused(ole + "EncryptedPackage".encode("utf-16-le")).code == "password"
    assert refused(ole, "old.xls").code == "damaged_file"


def test_content_counts_and_not_the_name() -> None:
    table = open_table(io.BytesIO(rows_of(["id"], [1])), filename="export.csv")
    assert table.findings.file_type == "xlsx"
    assert table.notices[0] == "The file is called .csv but is Excel workbook; it is read as that."
    table = open_table(io.BytesIO(b"id,name\n1,A\n"), filename="export.xlsx")
    assert (table.findings.file_type, table.names) == ("csv", ["id", "name"])
    for head, words in ((b"<html><table>", "web page"), (b"PAR1", "Parquet"), (b"Rar!", "RAR")):
        with pytest.raises(FormatError, match=words):
            recognize(head, "x.csv")


# --- writing


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-x", "'-x"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("-5", "-5"),
        ("-1.250,75", "-1.250,75"),
        ("+49 30 123", "+49 30 123"),
        ("plain", "plain"),
        ("", ""),
        ("'quoted", "'quoted"),
        ("'=x", "''=x"),
    ],
)
def test_formulas_are_made_harmless_and_come_back(text: str, written: str) -> None:
    assert harmless(text) == written
    for writer_class in (CsvWriter, XlsxWriter):
        file = io.BytesIO()
        writer = writer_class(file, ["id", "text"])
        writer.write([["a", text]])
        writer.close()
        [row] = open_table(file, Options(has_header=True)).rows
        assert (row.values[1] or "") == text


def test_what_no_sheet_can_hold_is_written_all_the_same() -> None:
    file = io.BytesIO()
    writer = XlsxWriter(file, ["id", "number", "text"])
    writer.write([[1, 12345678901234567890, "bell \x07 and " + "x" * 40_000]])
    writer.close()
    [row] = opened(file.getvalue()).rows
    assert row.values[:2] == [1, "12345678901234567890"]
    assert str(row.values[2]).startswith("bell � and x")
    assert len(str(row.values[2])) == 32_767


def test_merged_cells_are_told_and_filled_by_choice() -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(1, 1, ["id", "region", "note"])
        sheet.merge_range(2, 2, 4, 2, "North")
        sheet.merge_range(5, 2, 5, 3, "South")
        for n in range(4):
            sheet.write_number(2 + n, 1, n + 1)

    data = workbook(fill)
    plain = open_table(io.BytesIO(data))
    assert [row.values[1] or "" for row in plain.rows] == ["North", "", "", "South"]
    assert "only the first cell of each has the value" in " ".join(plain.notices)
    filled = open_table(io.BytesIO(data), Options(fill_merged=True))
    assert [list(row.values) for row in filled.rows] == [
        [1, "North", ""],
        [2, "North", ""],
        [3, "North", ""],
        [4, "South", "South"],
    ]
    again = open_table(io.BytesIO(data), Options(fill_merged=True, skip_rows=2))
    assert [row.values[1] for row in again.rows] == ["North", "South"]
    assert "each cell of a range is read with the range's value" in " ".join(filled.notices)


def test_hidden_rows_are_read_and_told() -> None:
    def fill(book: Any, sheet: Any) -> None:
        sheet.write_row(0, 0, ["id"])
        for n in range(1, 5):
            sheet.write_number(n, 0, n)
        sheet.set_row(2, None, None, {"hidden": True})
        sheet.set_row(3, None, None, {"hidden": True})

    table = open_table(io.BytesIO(workbook(fill)))
    assert [row.values[0] for row in table.rows] == [1, 2, 3, 4]
    assert "2 hidden rows are included, whether filtered out or hidden by hand." in table.notices


def test_the_day_that_never_was_is_told() -> None:
    def fill(book: Any, sheet: Any) -> None:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        sheet.write_row(0, 0, ["d"])
        for n, serial in enumerate([58, 60, 61], start=1):
            sheet.write_number(n, 0, serial, day)

    rows = list(open_table(io.BytesIO(workbook(fill))).rows)
    assert [row.values[0] for row in rows] == ["1900-02-27", "1900-02-28", "1900-03-01"]
    assert [[(p.code, p.severity) for p in row.problems] for row in rows] == [
        [],
        [("impossible_date", "warning")],
        [],
    ]
