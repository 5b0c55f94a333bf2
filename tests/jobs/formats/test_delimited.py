"""Text tables as people send them: each with the one right outcome."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import pytest

from apps.jobs.formats import FormatError, Options, Table, open_table


def opened(data: bytes | str, **options: Any) -> Table:
    raw = data.encode() if isinstance(data, str) else data
    return open_table(io.BytesIO(raw), Options(**options))


def values(table: Table) -> list[list[Any]]:
    return [list(row.values) for row in table.rows]


def refused(data: bytes | str, **options: Any) -> FormatError:
    with pytest.raises(FormatError) as error:
        values(opened(data, **options))
    return error.value


def problems(data: bytes | str, **options: Any) -> list[tuple[int, int, str, str]]:
    rows = opened(data, **options).rows
    return [(row.number, row.line, p.code, p.column) for row in rows for p in row.problems]


# --- encodings


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings_are_recognized(encoding: str, found: str) -> None:
    table = opened("id,name\n1,Müller & Söhne\n2,Café\n".encode(encoding))
    assert table.findings.encoding == found
    assert table.names == ["id", "name"]
    assert values(table) == [["1", "Müller & Söhne"], ["2", "Café"]]


def test_cyrillic_code_pages_are_told_from_western_ones() -> None:
    table = opened("имя,город\nИван,Москва\nМария,Казань\n".encode("cp1251"))
    assert table.findings.encoding == "cp1251"
    assert values(table)[0] == ["Иван", "Москва"]
    assert any("Cyrillic" in notice for notice in table.notices)


def test_what_was_only_concluded_is_said() -> None:
    assert any("choose another encoding" in n for n in opened("a,b\nä,ö\n".encode("cp1252")).notices)
    assert opened("a,b\nä,ö\n").notices == []


def test_a_chosen_encoding_is_used() -> None:
    table = opened("名前,都市\n太郎,東京\n".encode("shift_jis"), encoding="shift_jis")
    assert (table.names, values(table)) == (["名前", "都市"], [["太郎", "東京"]])


def test_mixed_encodings_are_told_with_byte_and_line() -> None:
    data = "id,name\n1,Müller\n2,Söhne\n3,".encode() + "Käse\n".encode("cp1252")
    error = refused(data)
    assert (error.code, error.line) == ("wrong_encoding", 4)
    offset = data.index(b"\xe4se")
    assert f"Byte {offset} on line 4" in error.detail


def test_a_wrong_byte_beyond_the_first_chunk_is_told_too() -> None:
    data = ("id,name\n" + "1,Müller\n" * 60_000).encode() + b"2,K\xe4se\n"
    error = refused(data, encoding="utf-8")
    assert error.line == 60_002
    assert f"Byte {data.index(bytes([0xE4])):,}" in error.detail


def test_an_encoding_nobody_knows_is_refused() -> None:
    assert refused("a,b\n1,2\n", encoding="ebcdic").code == "unknown_encoding"


# --- delimiters


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found(delimiter: str) -> None:
    table = opened(
        f"id{delimiter}name{delimiter}x\n1{delimiter}A, B; C{delimiter}2\n".replace("A, B; C", "A B C")
    )
    assert table.findings.delimiter == delimiter
    assert values(table) == [["1", "A B C", "2"]]


def test_a_character_of_the_same_text_in_every_row_is_no_delimiter() -> None:
    rows = [f'{n},Company {n},"Pays on time; call first."\n' for n in range(300)]
    content = "id,name,notes\n" + "".join(rows)
    assert opened(content).findings.delimiter == ","


def test_semicolons_win_over_decimal_commas() -> None:
    table = opened("id;price;weight\n1;1,50;2,5\n2;3,00;1,0\n")
    assert table.findings.delimiter == ";"
    assert values(table) == [["1", "1,50", "2,5"], ["2", "3,00", "1,0"]]


def test_the_sep_line_of_excel_is_obeyed_and_dropped() -> None:
    table = opened("sep=;\r\nid;name\r\n1;a,b,c\r\n")
    assert (table.findings.delimiter, table.names) == (";", ["id", "name"])
    [row] = table.rows
    assert (row.line, row.values) == (3, ["1", "a,b,c"])


def test_one_column_is_one_column() -> None:
    table = opened("name\nA\nB\n")
    assert (table.names, values(table)) == (["name"], [["A"], ["B"]])


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_what_cannot_be_a_delimiter_is_refused(delimiter: str) -> None:
    if delimiter:
        assert refused("a;b\n1;2\n", delimiter=delimiter).code == "bad_delimiter"


# --- lines and quotes


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_accepted(end: str) -> None:
    table = opened(end.join(["id,name", "1,A", "2,B", ""]))
    assert [(row.line, list(row.values)) for row in table.rows] == [(2, ["1", "A"]), (3, ["2", "B"])]


def test_mixed_line_ends_are_accepted() -> None:
    assert values(opened("id,name\r1,A\n2,B\r\n3,C")) == [["1", "A"], ["2", "B"], ["3", "C"]]


def test_quoted_line_ends_and_doubled_quotes_belong_to_the_cell() -> None:
    table = opened('id,note\n1,"two\nlines, and ""quotes"""\n2,x\n')
    rows = list(table.rows)
    assert rows[0].values == ["1", 'two\nlines, and "quotes"']
    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 4)]


def test_an_unclosed_quote_does_not_swallow_the_file() -> None:
    error = refused('id,note\n1,fine\n2,"never closed\n3,x\n4,y\n')
    assert (error.code, error.line) == ("unclosed_quote", 3)
    assert "opened on line 3" in error.detail


def test_the_line_of_the_unclosed_quote_is_the_one_where_it_opens() -> None:
    error = refused('id,a,b\n1,"two\nlines","open\n2,x,y\n')
    assert error.line == 3


def test_a_lone_quote_inside_a_cell_is_text() -> None:
    assert values(opened('id,size\n1,5" pipe\n2,6"\n')) == [["1", '5" pipe'], ["2", '6"']]


def test_text_after_a_closing_quote_is_an_error_of_its_row() -> None:
    assert problems('id,size\n1,"5" pipe\n2,ok\n') == [(1, 2, "stray_quote", "")]


def test_spaces_before_quotes_are_passed_over_where_they_are_the_rule() -> None:
    assert values(opened('id, name\n1, "A, B"\n2, "C"\n')) == [["1", "A, B"], ["2", "C"]]


# --- rows


def test_rows_never_shift() -> None:
    data = "id,name,city\n1,A,Berlin\n2,B\n3,C,Paris,extra\n4,D,Rome\n"
    assert problems(data) == [(2, 3, "missing_cell", "city"), (3, 4, "extra_cell", "")]
    good = [list(row.values) for row in opened(data).rows if not row.is_wrong]
    assert good == [["1", "A", "Berlin"], ["4", "D", "Rome"]]


def test_short_rows_can_be_filled_up_by_choice() -> None:
    assert values(opened("id,name,city\n1\n2,B\n", pad_short_rows=True)) == [["1", "", ""], ["2", "B", ""]]


def test_empty_cells_beyond_the_last_column_are_nothing() -> None:
    assert values(opened("id,name\n1,A,,\n2,B,\n")) == [["1", "A"], ["2", "B"]]


def test_blank_lines_and_lines_of_delimiters_are_skipped_and_counted() -> None:
    table = opened("id,name\n\n1,A\n,\n   \n , \n2,B\n\n")
    assert [(row.number, row.line) for row in table.rows] == [(1, 3), (2, 7)]
    assert table.blank_rows == 5


def test_a_nul_is_an_error_of_its_row() -> None:
    assert problems(b"id,name\n1,A\x00B\n2,C\n") == [(1, 2, "nul_byte", "name")]


def test_a_cell_beyond_the_limit_is_an_error_of_its_row() -> None:
    long = "x" * 200_000
    assert values(opened(f"id,name\n1,{long}\n")) == [["1", long]]
    assert problems(f"id,name\n1,{long}\n2,B\n", max_cell=100_000) == [(1, 2, "cell_too_long", "name")]


def test_a_row_without_end_is_refused_and_does_not_fill_the_memory() -> None:
    data = b"id,name\n1," + b"x" * 30_000_000
    tracemalloc.start()
    error = refused(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.code == "row_too_long"
    assert peak < 60_000_000


# --- headers


def test_headers_are_made_unique_and_empty_ones_named() -> None:
    table = opened("id,name,name,,\n1,A,B,C,\n")
    assert table.names == ["id", "name", "name (2)", "Column 4", "Column 5"]
    assert [column.repeated for column in table.columns] == [False, False, True, False, False]
    assert [column.made_up for column in table.columns] == [False, False, False, True, True]
    assert values(table) == [["1", "A", "B", "C", ""]]
    assert len(table.notices) == 2


def test_headers_are_shown_as_they_are_and_named_without_outer_space() -> None:
    column = opened('" Client\n name ",x\nA,1\n').columns[0]
    assert (column.raw, column.name) == (" Client\n name ", "Client name")


def test_what_stands_above_the_header_is_passed_over() -> None:
    table = opened("Report of March\n\nPrinted 2026-03-01\nid,name,amount\n1,A,3\n2,B,4\n")
    assert (table.findings.header_row, table.names) == (4, ["id", "name", "amount"])
    assert [(row.number, row.line) for row in table.rows] == [(1, 5), (2, 6)]


def test_a_table_without_header_gets_numbered_columns() -> None:
    table = opened("1,A,2026-01-01\n2,B,2026-01-02\n")
    assert (table.findings.has_header, table.names) == (False, ["Column 1", "Column 2", "Column 3"])
    assert [row.line for row in table.rows] == [1, 2]


def test_a_person_decides_about_the_header() -> None:
    data = "1,2\n3,4\n5,6\n"
    assert opened(data, has_header=True).names == ["1", "2"]
    assert opened(data, header_row=2).names == ["3", "4"]
    assert values(opened("a,b\nc,d\n", has_header=False)) == [["a", "b"], ["c", "d"]]
    assert refused(data, header_row=99).line == 99


def test_too_many_columns_are_refused() -> None:
    wide = ",".join(f"c{n}" for n in range(100_000))
    assert refused(f"{wide}\n1,2\n").code == "too_many_columns"


@pytest.mark.parametrize("data", ["", "\n\n\n", " \n"])
def test_an_empty_file_is_refused(data: str) -> None:
    assert refused(data).code == "empty_file"


def test_a_header_alone_is_a_table_without_rows() -> None:
    table = opened("id,name\n")
    assert (table.names, values(table), table.total_estimate) == (["id", "name"], [], 0)


# --- values stay as they are


def test_nothing_is_taken_for_a_number_or_a_date() -> None:
    row = ["00501", "1.234,56", "03/04/05", "NaN", "NULL", "12345678901234567890", "TRUE", "-"]
    assert values(opened("a;b;c;d;e;f;g;h\n" + ";".join(row) + "\n")) == [row]


def test_the_quote_before_formulas_of_our_own_exports_is_taken_off() -> None:
    assert values(opened("a,b\n'=1+1,'quoted\n''=x,'@y\n")) == [["=1+1", "'quoted"], ["'=x", "@y"]]


# --- going on, and how far


def test_rows_that_were_settled_are_passed_over() -> None:
    data = "id,name\n" + "".join(f"{n},N{n}\n" for n in range(1, 11))
    rows = list(opened(data, skip_rows=7).rows)
    assert [(row.number, row.line, row.values[0]) for row in rows] == [
        (8, 9, "8"),
        (9, 10, "9"),
        (10, 11, "10"),
    ]


def test_the_number_of_rows_is_estimated_and_the_position_told() -> None:
    data = "id,name\n" + "".join(f"{n},Name of number {n}\n" for n in range(50_000))
    table = opened(data)
    assert 45_000 < (table.total_estimate or 0) < 55_000
    for number, _ in enumerate(table.rows):
        if number == 25_000:
            assert 0.4 < table.position() < 0.9
    assert table.position() == 1.0


def test_memory_does_not_depend_on_the_size_of_the_file(tmp_path: Any) -> None:
    def peak(rows: int) -> int:
        path = tmp_path / f"{rows}.csv"
        with path.open("w") as out:
            out.write("id,name,city,note\n")
            for n in range(rows):
                out.write(f"{n},Name {n},Berlin,{'x' * 40}\n")
        with path.open("rb") as file:
            tracemalloc.start()
            for _ in open_table(file).rows:
                pass
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    assert peak(80_000) < peak(20_000) * 1.3


def test_shift_jis_is_told_from_western_code_pages() -> None:
    text = "名前,住所\n山田太郎,東京都千代田区\nカタカナ,ひらがな\n"
    table = open_table(io.BytesIO(text.encode("shift_jis")))
    assert table.findings.encoding == "shift_jis"
    assert table.names == ["名前", "住所"]
    assert any("Japanese" in notice for notice in table.notices)
    for western in ("naïve,Ÿ\nœuvre,Žižka\n".encode("cp1252"), b"a\x81,b\n\xe9t\xe9,caf\xe9\n"):
        assert open_table(io.BytesIO(western)).findings.encoding in ("cp1252", "iso-8859-1")
