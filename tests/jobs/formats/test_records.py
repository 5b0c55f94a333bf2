"""JSON, NDJSON and XML: nested, streamed, exact, and nothing let through that was not understood."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest

from apps.jobs.formats import FormatError, Options, Row, Table, open_table

CLIENTS = [
    {"id": 1, "name": "Ada", "address": {"city": "Oslo", "geo": {"lat": 59.91}}, "tags": ["a", "b"]},
    {"id": 2, "name": "Bob", "address": {"city": None}, "tags": []},
]


def opened(data: str | bytes, filename: str = "", **options: Any) -> Table:
    raw = data.encode() if isinstance(data, str) else data
    return open_table(io.BytesIO(raw), Options(**options), filename=filename)


def rows(data: str | bytes, filename: str = "", **options: Any) -> list[Row]:
    return list(opened(data, filename, **options).rows)


def refused(data: str | bytes, filename: str = "", **options: Any) -> FormatError:
    with pytest.raises(FormatError) as error:
        rows(data, filename, **options)
    return error.value


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (json.dumps(CLIENTS), "json"),
        (json.dumps(CLIENTS, indent=2), "json"),
        (lines(*CLIENTS), "ndjson"),
        (lines(*CLIENTS).replace("\n", "\r\n"), "ndjson"),
        (json.dumps({"meta": {"next": None}, "data": {"items": CLIENTS}}, indent=1), "json"),
        ("\ufeff" + json.dumps(CLIENTS), "json"),
    ],
)
def test_objects_become_rows_with_dotted_columns(text: str, kind: str) -> None:
    table = opened(text)
    assert table.findings.file_type == kind
    assert table.names == ["id", "name", "address.city", "address.geo.lat", "tags"]
    assert [list(row.values) for row in table.rows] == [
        [1, "Ada", "Oslo", 59.91, '["a","b"]'],
        [2, "Bob", None, None, None],
    ]
    assert table.total_estimate == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_json_in_any_unicode_encoding(encoding: str) -> None:
    text = json.dumps([{"name": "Žofia Łęcka"}] * 3, ensure_ascii=False)
    assert [row.values for row in rows(text.encode(encoding))] == [["Žofia Łęcka"]] * 3


def test_the_record_path_is_found_and_can_be_chosen() -> None:
    orders = {
        "orders": [{"id": 1, "lines": [{"sku": "A"}, {"sku": "B"}]}, {"id": 2, "lines": [{"sku": "C"}]}]
    }
    table = opened(json.dumps(orders))
    assert table.findings.record_path == "orders"
    assert table.findings.record_paths == ("orders", "orders[].lines")
    assert [list(row.values) for row in rows(json.dumps(orders), record_path="orders[].lines")] == [
        ["A"],
        ["B"],
        ["C"],
    ]
    assert refused(json.dumps(orders), record_path="nothing.here").code == "empty_file"


@pytest.mark.parametrize(
    ("written", "cell"),
    [
        ("12", 12),
        ("12.5", 12.5),
        ("12.50", 12.5),
        ("1e3", 1000.0),
        ("12345678901234567890123", 12345678901234567890123),
        ("0.30000000000000000001", "0.30000000000000000001"),
        ("1e400", "1e400"),
        ("-0.1", -0.1),
        ("true", True),
        ('"007"', "007"),
        ("null", None),
    ],
)
def test_numbers_are_exact(written: str, cell: Any) -> None:
    for text in (f'[{{"x": {written}, "y": 1}}]', f'{{"x": {written}, "y": 1}}\n{{"y": 2}}\n'):
        found = rows(text)[0].values[0]
        assert (found, type(found) is bool) == (cell, type(cell) is bool)


def test_a_wrong_line_is_that_rows_error() -> None:
    text = '{"a": 1}\n{"a": NaN}\n{oops\n{"a": 2, "a": 3}\n[1]\n\n{"a": "x\\u0000y"}\n{"a": 4}\n'
    found = rows(text)
    assert [(row.number, row.line, row.is_wrong) for row in found] == [
        (1, 1, False),
        (2, 2, True),
        (3, 3, True),
        (4, 4, True),
        (5, 5, True),
        (6, 7, True),
        (7, 8, False),
    ]
    assert "NaN is no number" in found[1].problems[0].message
    assert "occurs twice" in found[3].problems[0].message
    assert [row.problems[0].code for row in found if row.problems] == [
        "not_json",
        "not_json",
        "not_json",
        "not_an_object",
        "nul_byte",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"a": 1},\n{"a": tru}]', 2),
        ('[{"a": 1},\n{"a": 2}\n', 3),
        ('[{"a": 1}] trailing', 1),
        ('[{"a": 1}\n{"a": 2}]', 2),
        ('[{"a": 1},\n\n{"a": 1, "a": 2}]', 3),
        ('{"data": [{"a": 1}], "more": "unclosed', 1),
    ],
)
def test_where_an_array_stops_being_json_is_said(text: str, line: int) -> None:
    error = refused(text)
    assert error.code == "not_json"
    assert f"line {line}" in error.detail


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        '{"a":' * 50_000,
        "[" * 50_000 + "]" * 50_000,
    ],
)
def test_deep_nesting_is_a_sentence(text: str) -> None:
    assert refused(text, "x.json").code in ("not_json", "no_records")


def test_a_record_too_deep_for_a_row_is_that_rows_error() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = {"a": deep}
    found = rows(json.dumps([{"id": 1}, {"id": 2, "x": deep}]))
    assert [row.is_wrong for row in found] == [False, True]
    assert found[1].problems[0].code == "too_deep"


def test_fields_that_appear_late_are_said() -> None:
    text = lines(*[{"a": n} for n in range(5_000)], {"a": 1, "late": "x"}, {"a": 2, "late": None})
    *_, first, second = rows(text)
    assert [(p.code, p.column, p.severity) for p in first.problems] == [("unknown_field", "late", "warning")]
    assert not first.is_wrong
    assert not second.problems


@pytest.mark.parametrize("skip", [0, 1, 3, 4])
@pytest.mark.parametrize("kind", ["json", "ndjson", "xml"])
def test_reading_goes_on_where_it_ended(kind: str, skip: int) -> None:
    records = [{"a": n} for n in range(4)]
    text = {
        "json": json.dumps(records),
        "ndjson": lines(*records),
        "xml": "<r>" + "".join(f"<i><a>{n}</a></i>" for n in range(4)) + "</r>",
    }[kind]
    found = rows(text, skip_rows=skip)
    assert [row.number for row in found] == list(range(skip + 1, 5))
    assert [int(row.values[0]) for row in found] == list(range(skip, 4))  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_file() -> None:
    def peak(count: int, kind: str) -> int:
        record = {"id": 1, "name": "x" * 80, "address": {"city": "Oslo"}}
        if kind == "xml":
            data = b"<r>" + b"<i><id>1</id><n>" + b"x" * 80 + b"</n></i>"
            data += b"<i><id>1</id><n>x</n></i>" * count + b"</r>"
        else:
            one = json.dumps(record).encode()
            data = b"[" + b",".join([one] * count) + b"]" if kind == "json" else (one + b"\n") * count
        file = io.BytesIO(data)
        tracemalloc.start()
        count_of_rows = sum(1 for _ in open_table(file).rows)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count_of_rows >= count
        return top

    for kind in ("json", "ndjson", "xml"):
        assert peak(20_000, kind) < peak(5_000, kind) * 1.3


def test_one_endless_record_is_refused_before_it_fills_the_memory() -> None:
    for text in (
        '[{"a": "' + "x" * 9_000_000,
        '{"a": "' + "x" * 9_000_000 + '"}\n{"a": 1}\n',
        "<r><i><a>" + "x" * 9_000_000 + "</a></i></r>",
        '<r><i a="' + "x" * 9_000_000 + '"/></r>',
    ):
        assert refused(text, "x.json", max_row=1_000_000).code in ("not_json", "row_too_long", "no_records")


# --- XML

ORDERS = """<?xml version="1.0" encoding="UTF-8"?>
<orders xmlns="urn:shop" xmlns:x="http://www.w3.org/2001/XMLSchema-instance">
  <!-- the newest first -->
  <order id="7"><customer vip="yes"><name>Ada &amp; Co</name></customer><line>a</line><line>b</line></order>
  <order id="8"><customer><name x:nil="true"/></customer><note><![CDATA[<b>bold</b>]]></note></order>
</orders>
"""


def test_a_repeated_element_is_a_record() -> None:
    table = opened(ORDERS)
    assert table.findings.record_path == "/orders/order"
    assert table.names == ["@id", "customer.@vip", "customer.name", "line", "note"]
    assert [(row.line, list(row.values)) for row in table.rows] == [
        (4, ["7", "yes", "Ada & Co", '["a","b"]', None]),
        (5, ["8", None, None, None, "<b>bold</b>"]),
    ]


def test_xml_in_the_encoding_it_declares() -> None:
    text = '<?xml version="1.0" encoding="windows-1251"?><r><i><n>Привет</n></i><i><n>Мир</n></i></r>'
    table = opened(text.encode("cp1251"))
    assert [row.values for row in table.rows] == [["Привет"], ["Мир"]]
    assert table.findings.encoding == "windows-1251"


def test_another_element_can_be_the_record() -> None:
    text = "<r><a><b><c>1</c></b><b><c>2</c></b></a><a><b><c>3</c></b></a></r>"
    assert opened(text).findings.record_paths == ("/r/a", "/r/a/b")
    assert [row.values for row in rows(text, record_path="/r/a/b")] == [["1"], ["2"], ["3"]]


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/evil.dtd">',
        "<!DOCTYPE r>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused(declaration: str, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>{declaration}<r><i>&b;&x;</i><i>2</i></r>'
    assert refused(text.encode(encoding)).code == "unsafe_xml"


@pytest.mark.parametrize(
    "text",
    ["<r><i><a>1</a></i>", "<r><i></r>", "<r>\x00</r>", "<r><i>&nope;</i><i/></r>", "<?xml", "<a" * 100_000],
)
def test_broken_xml_is_a_sentence(text: str) -> None:
    assert refused(text, "x.xml").code in ("not_xml", "no_records", "too_deep", "row_too_long")


def test_xml_nested_too_deep() -> None:
    assert refused("<r>" + "<a>" * 100 + "</a>" * 100 + "</r>").code == "too_deep"
