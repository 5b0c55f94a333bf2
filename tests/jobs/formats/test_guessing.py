"""What is found out by itself about files from elsewhere: encoding, sheet, header; and that doubt is told."""

from __future__ import annotations

import io

import openpyxl
import pytest

from apps.jobs.formats import Table, open_table
from apps.jobs.formats.encodings import detect

TEXTS = {
    "pl": "Nazwa;Miasto\nSpółka Łąkowa;Łódź\nPiękna Żaba;Gdańsk\nWróbel i Syn;Kraków\n",
    "cz": "Název;Město\nPříklad s.r.o.;Plzeň\nKůň a spol.;Brno\nVěra Řezníčková;Děčín\n",
    "ru": "Название;Город\nООО Ромашка;Москва\nАО Север;Санкт-Петербург\n",
    "RU": "НАЗВАНИЕ;ГОРОД\nООО РОМАШКА;МОСКВА\nАО СЕВЕР;САНКТ-ПЕТЕРБУРГ\n",
    "zh": "名称;城市\n北京科技有限公司;北京\n上海贸易公司;上海\n",
    "ko": "이름;도시\n삼성전자;서울\n현대자동차;부산\n",
    "ja": "名前;都市\n株式会社あおい;東京\nかわさき商店;大阪\n",
    "de": "Name;Ort\nMüller;Köln\nGröße;Düsseldorf\nBäcker;Görlitz\n",
    "fr": "Nom;Ville\nÉlève;Orléans\nGarçon;Nîmes\nFrère;Où\n",
    "es": "Nombre;Pregunta\n¿qué?;Ñoño\n¿cómo?;Málaga\n¡hola!;nº 1ª\n",
    "it": "Nome;Città\nPerché;Forlì\nLunedì;Cantù\nCaffè;Più\n",
    "da": "Navn;By\nSørensen;Århus\nKøbmand;Ærø\nBjørn;Tønder\n",
    "en": "Name;Area\nA;10 m³\nB;£5\nC;12 m²\nD;½ cup\n",
}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("pl", "cp1250"), ("cz", "cp1250"), ("ru", "cp1251"), ("ru", "koi8-r"), ("RU", "cp1251"),
        ("RU", "koi8-r"), ("zh", "gb18030"), ("ko", "euc_kr"), ("ja", "euc_jp"), ("ja", "shift_jis"),
        *((name, "cp1252") for name in ("de", "fr", "es", "it", "da", "en")),
    ],
)  # fmt: skip
def test_encodings_are_concluded_and_the_doubt_is_told(text, encoding) -> None:
    file = io.BytesIO(TEXTS[text].encode(encoding))
    found = detect(file)
    assert (found.name, found.sure) == (encoding, False)
    table = open_table(file)
    assert table.names == TEXTS[text].partition("\n")[0].split(";")
    assert any("If letters look wrong" in notice for notice in table.notices)


def book(**sheets: list[list[object]]) -> Table:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    made.save(file)
    return open_table(file)


DATA = [["Nr", "Name", "Since"], *([n, f"Client {n}", "2024-01-01"] for n in range(1, 13))]


@pytest.mark.parametrize(
    "cover",
    [
        [["Annual report"], ["of Northwind"], [], ["Confidential"]],
        [["Author", "Ada"], ["Date", "2024-01-01"], ["Status", "draft"]],
        [],
    ],
)
def test_a_cover_is_not_taken_for_the_table(cover) -> None:
    table = book(Cover=cover, Data=DATA, Notes=[["Nothing", "here"]])
    assert (table.findings.sheet, table.names) == ("Data", ["Nr", "Name", "Since"])
    assert any("“Data” is read; there are also “Cover”" in notice for notice in table.notices)


def test_a_first_sheet_that_is_a_table_stays_whatever_the_others_hold() -> None:
    larger = [[*row, *row] for row in DATA for _ in range(5)]
    assert book(Data=DATA, Archive=larger).findings.sheet == "Data"
    assert (
        book(Data=[["Nr", "Name"], [1, "Ada"]], Help=[["Fill in the first sheet"]]).findings.sheet == "Data"
    )


def test_of_two_rows_of_headers_the_one_that_names_the_columns_is_taken() -> None:
    rows = [
        ["Client", None, "Amount", None],
        ["Nr", "Name", "Net", "Gross"],
        [1, "Ada", 10, 12],
        [2, "Bob", 5, 6],
    ]
    table = book(Data=rows)
    assert (table.findings.header_row, table.names) == (2, ["Nr", "Name", "Net", "Gross"])
    assert any("rows above it are passed over" in notice for notice in table.notices)
    # A header that lacks a name stays the header.
    plain = open_table(io.BytesIO(b"Name,City,\nAda,Bonn,new\nBob,Ulm,7\n"))
    assert (plain.findings.header_row, plain.names[:2]) == (1, ["Name", "City"])
