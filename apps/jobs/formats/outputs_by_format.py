"""Which class writes which format of export."""

from __future__ import annotations

from apps.jobs.formats.out_csv import CsvOutput
from apps.jobs.formats.out_json import JsonOutput, NdjsonOutput
from apps.jobs.formats.out_pdf import PdfOutput
from apps.jobs.formats.out_xlsx import XlsxOutput
from apps.jobs.formats.out_xml import XmlOutput
from apps.jobs.formats.outputs import Output

OUTPUTS: dict[str, type[Output]] = {
    "csv": CsvOutput,
    "xlsx": XlsxOutput,
    "json": JsonOutput,
    "ndjson": NdjsonOutput,
    "xml": XmlOutput,
    "pdf": PdfOutput,
}
