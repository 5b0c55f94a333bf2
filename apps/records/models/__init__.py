from apps.records.models.datasets import Dataset, DatasetCount, Mapping
from apps.records.models.history import Change, LaterChange, Origin, Undoing
from apps.records.models.links import Link
from apps.records.models.records import KEY_LENGTH, SLOTS, Record, RecordKey, SeenRecord

__all__ = [
    "KEY_LENGTH",
    "SLOTS",
    "Change",
    "Dataset",
    "DatasetCount",
    "LaterChange",
    "Link",
    "Mapping",
    "Origin",
    "Record",
    "RecordKey",
    "SeenRecord",
    "Undoing",
]
