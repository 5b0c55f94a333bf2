"""Each type reads what people and machines write into one canonical form, and refuses the rest."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apps.records.fields import FIELD_TYPES, Field, ValueProblem, clean, display, sort_text, to_python
from apps.records.fields.money import Amount

BERLIN = ZoneInfo("Europe/Berlin")
STATUS = (("in_progress", "In progress"), ("done", "Done"), ("2", "Two"))


def field(type_: str, **options: Any) -> Field:
    return Field("x", type_, **options)


@pytest.mark.parametrize(
    ("definition", "given", "canonical"),
    [
        (field("text"), "  Ann Lee\t", "Ann Lee"),
        (field("text"), "Mu\u0308ller", "Müller"),
        (field("text"), "two\nlines", "two\nlines"),
        (field("text"), 501.0, "501"),
        (field("text"), 1.5, "1.5"),
        (field("text"), 1e22, "10000000000000000000000"),
        (field("text"), True, "true"),
        (field("text"), Decimal("12.30"), "12.30"),
        (field("text"), dt.date(2024, 3, 17), "2024-03-17"),
        (field("text"), uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (field("text"), "00501", "00501"),
        (field("integer"), "12", 12),
        (field("integer"), " -12 ", -12),
        (field("integer"), "+007", 7),
        (field("integer"), "12.0", 12),
        (field("integer"), 1.0, 1),
        (field("integer"), Decimal("12.000"), 12),
        (field("integer"), 2**63 - 1, 2**63 - 1),
        (field("integer"), str(-(2**63)), -(2**63)),
        (field("decimal"), "12.30", "12.30"),
        (field("decimal"), "+007.50", "7.50"),
        (field("decimal"), ".5", "0.5"),
        (field("decimal"), "5.", "5"),
        (field("decimal"), "-0.00", "0.00"),
        (field("decimal"), "1e3", "1000"),
        (field("decimal"), "1.5E-3", "0.0015"),
        (field("decimal"), 0.1, "0.1"),
        (field("decimal"), 12.0, "12"),
        (field("decimal"), 1e22, "10000000000000000000000"),
        (field("decimal"), Decimal("1E+2"), "100"),
        (field("decimal"), 7, "7"),
        (field("decimal", decimal_places=2), "12.3", "12.30"),
        (field("decimal", decimal_places=2), "12.3000", "12.30"),
        (field("decimal", decimal_places=2), "-0.001e3", "-1.00"),
        (field("decimal", decimal_places=0), "12.0", "12"),
        (field("decimal", max_digits=4, decimal_places=2), "99.99", "99.99"),
        (field("decimal", max_digits=4), "0.1234", "0.1234"),
        (field("money", currency="EUR"), "12.3", {"amount": "12.30", "currency": "EUR"}),
        (field("money"), {"amount": 12.5, "currency": "eur"}, {"amount": "12.50", "currency": "EUR"}),
        (field("money"), "12.30 EUR", {"amount": "12.30", "currency": "EUR"}),
        (field("money"), "€ 1250", {"amount": "1250.00", "currency": "EUR"}),
        (field("money"), "JPY 500", {"amount": "500", "currency": "JPY"}),
        (field("money", currency="CAD"), "$5", {"amount": "5.00", "currency": "CAD"}),
        (field("money"), "0.0035 USD", {"amount": "0.0035", "currency": "USD"}),
        (field("money"), "1.2300 USD", {"amount": "1.23", "currency": "USD"}),
        (
            field("money", decimal_places=4, currency="USD"),
            "1.23",
            {"amount": "1.2300", "currency": "USD"},
        ),
        (field("date"), "2024-02-29", "2024-02-29"),
        (field("date"), " 2024-03-17 ", "2024-03-17"),
        (field("date"), "2024-03-17T00:00:00+02:00", "2024-03-17"),
        (field("date"), dt.date(2024, 3, 17), "2024-03-17"),
        (field("date"), dt.datetime(2024, 3, 17), "2024-03-17"),  # noqa: DTZ001
        (field("date", format="%d.%m.%Y"), "17.03.2024", "2024-03-17"),
        (field("date"), "0999-12-31", "0999-12-31"),
        (field("datetime"), "2024-03-17T12:34:56Z", "2024-03-17T12:34:56Z"),
        (field("datetime"), "2024-03-17 12:34", "2024-03-17T12:34:00Z"),
        (field("datetime"), "2024-03-17T12:34:56+02:00", "2024-03-17T10:34:56Z"),
        (field("datetime"), "2024-03-17T12:34:56+0530", "2024-03-17T07:04:56Z"),
        (field("datetime"), "2024-03-17t12:34:56,5z", "2024-03-17T12:34:56.500000Z"),
        (field("datetime"), "2024-03-17T12:34:56.123456789Z", "2024-03-17T12:34:56.123456Z"),
        (field("datetime"), "2024-03-17T12:34:56.000Z", "2024-03-17T12:34:56Z"),
        (field("datetime"), "2024-03-17", "2024-03-17T00:00:00Z"),
        (field("datetime"), dt.date(2024, 3, 17), "2024-03-17T00:00:00Z"),
        (field("datetime"), dt.datetime(2024, 3, 17, 1, tzinfo=BERLIN), "2024-03-17T00:00:00Z"),
        (field("boolean"), "Yes", True),
        (field("boolean"), " oFF ", False),
        (field("boolean"), "ENABLED", True),
        (field("boolean"), "n", False),
        (field("boolean"), 1, True),
        (field("boolean"), 0.0, False),
        (field("email"), "Ann.Lee+x@EXAMPLE.Com", "Ann.Lee+x@example.com"),
        (field("email"), "jürgen@müller.de", "jürgen@müller.de"),
        (field("url"), "HTTPS://Example.COM:8080/Path?q=A#f", "https://example.com:8080/Path?q=A#f"),
        (field("url"), "http://[2001:DB8::1]/x", "http://[2001:db8::1]/x"),
        (field("url"), "http://localhost", "http://localhost"),
        (field("phone"), "+49 (0)30 123-456", "+4930123456"),
        (field("phone"), "0049 30 123456", "+4930123456"),
        (field("phone"), "+1 (555) 123-4567 ext. 89", "+15551234567;ext=89"),
        (field("phone"), "(555) 123-4567", "5551234567"),
        (field("phone", format="+49"), "030 123456", "+4930123456"),
        (field("phone", format="+39"), "06 1234567", "+39061234567"),
        (field("phone"), 4930123456, "4930123456"),
        (field("choice", choices=STATUS), "IN PROGRESS", "in_progress"),
        (field("choice", choices=STATUS), "done", "done"),
        (field("choice", choices=STATUS), 2, "2"),
        (field("reference", reference="clients"), 501.0, "501"),
        (field("reference", reference="clients"), " C-1 ", "C-1"),
        (field("json"), '{"a": [1, null]}', {"a": [1, None]}),
        (field("json"), "plain words", "plain words"),
        (field("json"), ["a", 1, True, None], ["a", 1, True, None]),
        (field("json"), [dt.date(2024, 3, 17), Decimal("1.5")], ["2024-03-17", "1.5"]),
    ],
)  # fmt: skip
def test_a_value_is_read_into_its_canonical_form(definition: Field, given: Any, canonical: Any) -> None:
    read = clean(given, definition)
    assert read == canonical
    assert type(read) is type(canonical)
    assert clean(read, definition) == canonical


@pytest.mark.parametrize(
    ("definition", "given", "code"),
    [
        (field("text"), "a\0b", "nul_character"),
        (field("text"), "\ud800", "invalid_character"),
        (field("text", max_length=3), "abcd", "too_long"),
        (field("text", min_length=3), "ab", "too_short"),
        (field("text", pattern="[A-Z]{2}"), "De", "pattern_mismatch"),
        (field("text", pattern="[A-Z]{2}"), "DEU", "pattern_mismatch"),
        (field("text"), ["a"], "not_text"),
        (field("text"), float("nan"), "not_text"),
        (field("text"), 10**101, "not_text"),
        (field("integer"), "1.5", "not_an_integer"),
        (field("integer"), 1.5, "not_an_integer"),
        (field("integer"), "1_000", "not_an_integer"),
        (field("integer"), "١٢", "not_an_integer"),
        (field("integer"), "1e3", "not_an_integer"),
        (field("integer"), True, "not_an_integer"),
        (field("integer"), float("inf"), "not_an_integer"),
        (field("integer"), {"a": 1}, "not_an_integer"),
        (field("integer"), 2**63, "too_large"),
        (field("integer"), "-9999999999999999999", "too_small"),
        (field("integer"), 1.2345678901234567e19, "too_large"),
        (field("integer", minimum=1), "0", "too_small"),
        (field("integer", maximum="5.5"), 6, "too_large"),
        (field("decimal"), "NaN", "not_a_number"),
        (field("decimal"), "inf", "not_a_number"),
        (field("decimal"), float("nan"), "not_a_number"),
        (field("decimal"), "1,5", "not_a_number"),
        (field("decimal"), "1 000", "not_a_number"),
        (field("decimal"), "0x1F", "not_a_number"),
        (field("decimal"), "1_0", "not_a_number"),
        (field("decimal"), True, "not_a_number"),
        (field("decimal"), "1e400", "too_many_digits"),
        (field("decimal"), 1e300, "too_many_digits"),
        (field("decimal"), "1e-400", "too_many_decimals"),
        (field("decimal"), "9" * 300, "too_many_digits"),
        (field("decimal", decimal_places=2), "1.005", "too_many_decimals"),
        (field("decimal", max_digits=4, decimal_places=2), "100.00", "too_many_digits"),
        (field("decimal", max_digits=4), "1.2345", "too_many_digits"),
        (field("decimal", minimum="-90"), "-90.01", "too_small"),
        (field("decimal", maximum=Decimal("99.5")), "99.51", "too_large"),
        (field("decimal"), "1\0", "nul_character"),
        (field("money"), "12.30", "not_a_currency"),
        (field("money"), "12.30 XYZ", "not_a_currency"),
        (field("money"), "$5", "not_a_currency"),
        (field("money", currency="EUR"), "5 USD", "wrong_currency"),
        (field("money", currency="EUR"), "12,30", "not_money"),
        (field("money"), {"amount": None, "currency": "EUR"}, "not_money"),
        (field("money"), {"amount": "1", "currency": "EUR", "x": 1}, "not_money"),
        (field("money", currency="EUR", minimum=0), "-1", "too_small"),
        (field("date"), "2023-02-29", "not_a_date"),
        (field("date"), "2024-W01-1", "not_a_date"),
        (field("date"), "20240317", "not_a_date"),
        (field("date"), "17.03.2024", "not_a_date"),
        (field("date"), "0000-01-01", "not_a_date"),
        (field("date"), "2024-03-17T12:00:00Z", "not_a_date"),
        (field("date"), dt.datetime(2024, 3, 17, 1, tzinfo=dt.UTC), "not_a_date"),
        (field("date"), 45000, "not_a_date"),
        (field("date"), ["2024-03-17"], "not_a_date"),
        (field("date", minimum="2024-01-01"), "2023-12-31", "too_small"),
        (field("date", maximum="2024-01-01"), "2024-01-02", "too_large"),
        (field("datetime"), "2024-03-17T25:00:00Z", "not_a_datetime"),
        (field("datetime"), "2024-03-17T12:00:00+25:00", "not_a_datetime"),
        (field("datetime"), "0001-01-01T00:00:00+02:00", "not_a_datetime"),
        (field("datetime"), "yesterday", "not_a_datetime"),
        (field("datetime"), 1710678896, "not_a_datetime"),
        (field("datetime", minimum="2024-01-01T00:00:00Z"), "2023-12-31T23:59:59.999Z", "too_small"),
        (field("datetime", maximum="2024-01-01"), "2024-01-01T00:00:00.5Z", "too_large"),
        (field("boolean"), "maybe", "not_a_boolean"),
        (field("boolean"), "ja", "not_a_boolean"),
        (field("boolean"), 2, "not_a_boolean"),
        (field("boolean"), [], "not_a_boolean"),
        (field("email"), "ann@", "not_an_email"),
        (field("email"), "ann@localhost", "not_an_email"),
        (field("email"), "a..b@example.com", "not_an_email"),
        (field("email"), "ann@-example.com", "not_an_email"),
        (field("email"), "ann lee@example.com", "not_an_email"),
        (field("email"), "a" * 65 + "@example.com", "not_an_email"),
        (field("url"), "example.com", "not_a_url"),
        (field("url"), "javascript:alert(1)", "not_a_url"),
        (field("url"), "ftp://example.com", "not_a_url"),
        (field("url"), 'https://example.com/"><script>', "not_a_url"),
        (field("url"), "https://exa mple.com", "not_a_url"),
        (field("url"), "https://example.com:99999", "not_a_url"),
        (field("url"), "http://[::1", "not_a_url"),
        (field("phone"), "call me", "not_a_phone"),
        (field("phone"), "+0 30 1234567", "not_a_phone"),
        (field("phone"), "+49 30 1", "not_a_phone"),
        (field("phone"), "+" + "1" * 16, "not_a_phone"),
        (field("choice", choices=STATUS), "open", "not_a_choice"),
        (field("reference", reference="clients"), "k" * 191, "too_long"),
        (field("json"), "{not json", "not_json"),
        (field("json"), "[1e400]", "not_json"),
        (field("json"), "[NaN]", "not_json"),
        (field("json"), {1: 2}, "not_json"),
        (field("json"), {"a": "x\0"}, "nul_character"),
        (field("json"), {"a\0": 1}, "nul_character"),
        (field("json"), [2**70], "too_large"),
        (field("json"), "[" * 100 + "]" * 100, "not_json"),
        (field("json"), "[" * 100_000, "not_json"),
        (field("json"), object(), "not_json"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_code(definition: Field, given: Any, code: str) -> None:
    with pytest.raises(ValueProblem) as caught:
        clean(given, definition)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize("type_", list(FIELD_TYPES))
@pytest.mark.parametrize("blank", [None, "", "  \t\n"])
def test_a_blank_value_is_null_or_the_default_or_an_error(type_: str, blank: Any) -> None:
    options: dict[str, Any] = {"choices": STATUS} if type_ == "choice" else {}
    assert clean(blank, field(type_, **options)) is None
    with pytest.raises(ValueProblem) as caught:
        clean(blank, Field("due_on", type_, required=True, **options))
    assert (caught.value.code, caught.value.message) == ("required", "Due on is required.")


def test_a_default_takes_the_place_of_a_blank_value_in_canonical_form() -> None:
    assert clean(" ", field("decimal", decimal_places=2, default=5, required=True)) == "5.00"
    assert clean(None, field("boolean", default=False, required=True)) is False


def test_a_time_without_offset_is_taken_in_the_sources_zone() -> None:
    definition = field("datetime")
    assert clean("2024-07-01 12:00", definition, timezone=BERLIN) == "2024-07-01T10:00:00Z"
    assert clean("2024-01-01 12:00:00", definition, timezone=BERLIN) == "2024-01-01T11:00:00Z"
    assert clean("2024-07-01T12:00:00Z", definition, timezone=BERLIN) == "2024-07-01T12:00:00Z"
    assert clean(dt.datetime(2024, 7, 1, 12), definition, timezone=BERLIN) == "2024-07-01T10:00:00Z"  # noqa: DTZ001


def test_a_message_quotes_the_value_shortened() -> None:
    with pytest.raises(ValueProblem) as caught:
        clean("x" * 500, field("integer"))
    assert caught.value.message == f"“{'x' * 79}…” is not a whole number; expected digits such as 1250."


@pytest.mark.parametrize("type_", ["text", "integer", "decimal", "money", "date", "boolean", "json", "url"])
def test_an_integer_too_long_to_be_written_is_refused_like_any_other(type_: str) -> None:
    with pytest.raises(ValueProblem) as caught:
        clean(10**5000, field(type_, currency="EUR" if type_ == "money" else None))
    assert len(caught.value.message) < 200


def test_a_message_never_shows_a_sensitive_value() -> None:
    definitions = [field(name, sensitive=True, choices=STATUS) for name in FIELD_TYPES if name != "json"]
    for definition in [*definitions, field("text", sensitive=True, pattern="[0-9]+")]:
        if definition.type in ("text", "reference") and definition.pattern is None:
            continue
        with pytest.raises(ValueProblem) as caught:
            clean("hunter2 secret", definition)
        assert "hunter2" not in caught.value.message
        assert "***" in caught.value.message


def test_a_message_can_be_stored_whatever_the_value_holds() -> None:
    with pytest.raises(ValueProblem) as caught:
        clean("a\0\ud800", field("integer"))
    assert "\0" not in caught.value.message
    assert caught.value.message.encode()


def test_canonical_values_become_python_values_and_texts_to_read() -> None:
    money = {"amount": "12.30", "currency": "EUR"}
    assert to_python(money, field("money")) == Amount(Decimal("12.30"), "EUR")
    assert to_python("2024-03-17", field("date")) == dt.date(2024, 3, 17)
    assert to_python("2024-03-17T12:00:00Z", field("datetime")) == dt.datetime(2024, 3, 17, 12, tzinfo=dt.UTC)
    assert to_python("1.50", field("decimal")) == Decimal("1.50")
    assert display(money, field("money")) == "12.30 EUR"
    assert display(True, field("boolean")) == "Yes"
    assert display("2024-03-17T12:00:00Z", field("datetime")) == "2024-03-17 12:00:00 UTC"
    assert display("in_progress", field("choice", choices=STATUS)) == "In progress"
    assert display({"a": ["ä"]}, field("json")) == '{"a": ["ä"]}'
    assert display(None, field("decimal")) == ""


def test_sort_texts_of_times_with_and_without_fractions_keep_their_order() -> None:
    moments = ["2024-03-17T12:00:05Z", "2024-03-17T12:00:05.500000Z", "2024-03-17T12:00:06Z"]
    texts = [sort_text(moment, field("datetime")) for moment in moments]
    assert texts == sorted(texts)
    assert sorted(moments) != moments


def test_sort_texts_fit_an_index_slot_and_know_no_case() -> None:
    assert sort_text("STRASSE", field("text")) == sort_text("straße", field("text"))
    assert len(sort_text("ß" * 400, field("text"))) == 190
    assert sort_text(-1, field("integer")) < sort_text(0, field("integer")) < sort_text(10, field("integer"))
    assert sort_text("-0.5", field("decimal")) < sort_text("0.00000001", field("decimal"))
