"""The staff door of records: lists and pages of each dataset, definitions, mappings, changes, undo."""

from apps.records.admin import cards as cards
from apps.records.admin import changes as changes
from apps.records.admin import datasets as datasets
from apps.records.admin import mappings as mappings
from apps.records.admin import palette as palette
from apps.records.admin import record_pages as record_pages
from apps.records.admin import records as records
