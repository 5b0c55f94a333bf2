"""Headers of files from other countries find the fields of the built-in datasets."""

from __future__ import annotations

import pytest

from apps.records.catalog import datasets
from apps.records.mapping.suggest import suggest
from apps.records.synonyms import ABROAD


@pytest.mark.parametrize(
    ("dataset", "headers"),
    [
        (
            "clients",
            {
                "Nr.": "",
                "KUNDEN-NR.": "external_id",
                "Firma": "name",
                "Strasse": "address",
                "PLZ": "postcode",
                "Ort": "city",
                "Waehrung": "currency",
                "Kunde seit": "since",
                "E-Mail-Adresse": "email",
            },
        ),
        (
            "clients",
            {"N° client": "external_id", "Raison sociale": "name", "Téléphone": "phone", "Ville": "city"},
        ),
        ("clients", {"Código de cliente": "external_id", "Razon social": "name", "Población": "city"}),
        (
            "clients",
            {"Codice cliente": "external_id", "Ragione sociale": "name", "Partita IVA": "tax_number"},
        ),
        ("clients", {"Klantnr.": "external_id", "Bedrijfsnaam": "name", "Plaats": "city"}),
        ("contacts", {"Imię": "first_name", "Nazwisko": "last_name", "Data urodzenia": "birthday"}),
        (
            "clients",
            {"Код клиента": "external_id", "Наименование": "name", "Город": "city", "Сайт": "website"},
        ),
        (
            "orders",
            {"Rechnungsnr.": "number", "Kd.": "", "Kundennummer": "client", "Betrag": "total", "MwSt": "tax"},
        ),
        ("tasks", {"Aufgabe": "title", "Faelligkeit": "due_on", "PRIORITÄT": "priority"}),
        (
            "products",
            {"Art.-Nr.": "sku", "Bezeichnung": "name", "VK-Preis": "price", "Lagerbestand": "stock"},
        ),
    ],
)
def test_headers_of_other_languages_are_matched(dataset, headers) -> None:
    found = suggest(list(headers), datasets[dataset].fields)
    assert {column.column: column.target for column in found.columns} == headers


def test_short_synonyms_are_not_seen_in_other_words() -> None:
    found = suggest(["Hotel", "Betragsart"], datasets["clients"].fields)
    assert [column.target for column in found.columns] == ["", ""]


def test_every_word_belongs_to_a_field() -> None:
    for name, fields in ABROAD.items():
        assert set(fields) <= {field.name for field in datasets[name].fields}, name
