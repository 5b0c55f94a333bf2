"""A first mapping proposed from names and a sample."""

from __future__ import annotations

from apps.records.fields import Field
from apps.records.mapping import Step, Suggestion, check, compile_mapping, suggest

FIELDS = (
    Field("external_id", "text", label="External id", synonyms=("id", "ref")),
    Field("name", "text", label="Name", required=True, synonyms=("company", "company name")),
    Field("email", "email", label="E-mail"),
    Field("phone", "phone", label="Phone", synonyms=("telephone",)),
    Field("credit_limit", "decimal", label="Credit limit", decimal_places=2),
    Field("since", "date", label="Client since"),
    Field("website", "url", label="Website"),
)


def by_column(*args: object) -> dict[str, Suggestion]:
    return {item.column: item for item in suggest(*args).columns}  # type: ignore[arg-type]


def test_columns_find_their_fields_each_in_its_way() -> None:
    columns = ["name", "E-Mail", "ID", "Telefone", "Foo", ""]
    found = by_column(columns, FIELDS)
    assert {column: (item.target, item.how) for column, item in found.items()} == {
        "name": ("name", "exact"),
        "E-Mail": ("email", "normalised"),
        "ID": ("external_id", "synonym"),
        "Telefone": ("phone", "alike"),
        "Foo": ("", "none"),
        "": ("", "none"),
    }
    assert found["name"].confidence == 1.0
    assert 0.6 < found["Telefone"].confidence < 0.9


def test_a_field_is_taken_once_by_the_surest_column() -> None:
    found = by_column(["Company", "NAME", "company name"], FIELDS)
    assert [item.target for item in found.values()] == ["", "name", ""]


def test_columns_of_the_same_name_are_left_to_a_person() -> None:
    suggested = suggest(["name", "name", "email"], FIELDS)
    assert [item.target for item in suggested.columns] == ["", "", "email"]


def test_the_way_values_are_written_is_found_per_column() -> None:
    columns = ["Name", "Credit limit", "Client since"]
    rows = [["A", "1.234,50", "17.03.2024"], ["B", "99,00", "01.02.2023"], ["C", "", "x"]]
    suggested = suggest(columns, FIELDS, rows)
    _, limit, since = suggested.columns
    assert limit.transforms == (Step("number", {"locale": "de"}),)
    assert limit.ambiguous == ()
    assert since.transforms == (Step("date", {"format": "%d.%m.%Y"}),)
    assert since.fitting == 0.667
    assert check(suggested.spec, FIELDS, columns) == []
    batch = compile_mapping(FIELDS, suggested.spec, columns=columns).map_rows(rows)
    assert batch.values == [
        {"name": "A", "credit_limit": "1234.50", "since": "2024-03-17"},
        {"name": "B", "credit_limit": "99.00", "since": "2023-02-01"},
    ]
    assert [(problem.row, problem.code) for problem in batch.problems] == [(3, "not_a_date")]


def test_dates_that_can_be_read_in_two_ways_are_told() -> None:
    since = by_column(["since"], FIELDS, [["03/04/2024"], ["05/06/2024"]])["since"]
    assert since.ambiguous == ("%d/%m/%Y", "%m/%d/%Y")
    assert since.confidence == 0.8
    decided = by_column(["since"], FIELDS, [["03/04/2024"], ["05/16/2024"]])["since"]
    assert (decided.ambiguous, decided.transforms) == ((), (Step("date", {"format": "%m/%d/%Y"}),))


def test_numbers_that_can_be_read_in_two_ways_are_told() -> None:
    limit = by_column(["credit limit"], FIELDS, [["1,23"], ["1,50"]])["credit limit"]
    assert (limit.transforms, limit.ambiguous) == ((Step("number", {"locale": "de"}),), ())
    fields = (Field("weight", "decimal"),)
    assert by_column(["weight"], fields, [["1,234"], ["5,678"]])["weight"].ambiguous == ("en", "de", "fr")


def test_a_column_whose_values_do_not_fit_is_not_taken() -> None:
    rows = [["not a mail"], ["neither"], ["ann@example.com"]]
    assert by_column(["Mail e"], FIELDS, rows)["Mail e"].target == ""
    assert by_column(["email"], FIELDS, rows)["email"].fitting == 0.333


def test_a_column_with_a_name_that_says_nothing_is_known_by_what_it_holds() -> None:
    rows = [{"c1": f"user{n}@example.com", "c2": f"https://example.com/{n}", "c3": "x"} for n in range(5)]
    found = by_column(["c1", "c2", "c3"], FIELDS, rows)
    assert [(item.target, item.how) for item in found.values()] == [
        ("email", "content"),
        ("website", "content"),
        ("", "none"),
    ]
