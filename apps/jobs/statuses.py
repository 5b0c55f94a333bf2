"""What a job is, where it stands, and how it may move."""

from __future__ import annotations

from django.db import models

from apps.kernel.states import transitions


class JobType(models.TextChoices):
    IMPORT = "import", "Import"
    EXPORT = "export", "Export"


class JobStatus(models.TextChoices):
    """A job that is fetching, validating or processing is due whenever nobody holds its lease."""

    PENDING = "pending", "Pending"
    FETCHING = "fetching", "Fetching its file"
    VALIDATING = "validating", "Checking"
    PROCESSING = "processing", "Processing"
    PAUSED = "paused", "Paused"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


WORKING = (JobStatus.FETCHING, JobStatus.VALIDATING, JobStatus.PROCESSING)
FINISHED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)

JOB_TRANSITIONS = transitions(
    {
        JobStatus.PENDING: [JobStatus.VALIDATING, JobStatus.PROCESSING, JobStatus.CANCELLED],
        JobStatus.FETCHING: [JobStatus.PENDING, JobStatus.FAILED, JobStatus.CANCELLED],
        JobStatus.VALIDATING: [JobStatus.PENDING, JobStatus.CANCELLED],
        JobStatus.PROCESSING: [
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.PAUSED,
            JobStatus.CANCELLED,
        ],
        JobStatus.PAUSED: [JobStatus.PROCESSING, JobStatus.CANCELLED],
        JobStatus.FAILED: [JobStatus.PROCESSING, JobStatus.FETCHING],
        JobStatus.CANCELLED: [JobStatus.PROCESSING, JobStatus.FETCHING],
    }
)


class ImportMode(models.TextChoices):
    """The values are those of `apps.records.services.upsert.Mode`."""

    CREATE = "create", "Create only"
    UPDATE = "update", "Update only"
    UPSERT = "upsert", "Create or update"
    REPLACE = "replace", "Replace all"


class Repeats(models.TextChoices):
    """What becomes of a row that means the same record as an earlier row of the file."""

    LAST = "last", "The last one wins"
    FIRST = "first", "The first one wins"
    ERROR = "error", "The later ones are wrong"


class FileType(models.TextChoices):
    CSV = "csv", "CSV"
    XLSX = "xlsx", "Excel"
    XLS = "xls", "Excel 97–2003"
    XLSB = "xlsb", "Excel, binary"
    ODS = "ods", "OpenDocument"
    JSON = "json", "JSON"
    NDJSON = "ndjson", "NDJSON"
    XML = "xml", "XML"
    PDF = "pdf", "PDF"


WORKBOOKS = (FileType.XLSX, FileType.XLS, FileType.XLSB, FileType.ODS)
WRITABLE = (FileType.CSV, FileType.XLSX)
"""What templates and files of rejected rows are written as."""
EXPORTABLE = (FileType.CSV, FileType.XLSX, FileType.JSON, FileType.NDJSON, FileType.XML, FileType.PDF)
"""What exports are written as."""
EXPORTABLE_CHOICES = [(kind.value, str(kind.label)) for kind in EXPORTABLE]


class Compression(models.TextChoices):
    """What an exported file is packed into. More than one file, or a password, makes it a ZIP."""

    NONE = "", "Not packed"
    GZIP = "gzip", "gzip"
    ZIP = "zip", "ZIP"


class Severity(models.TextChoices):
    ERROR = "error", "Error"
    WARNING = "warning", "Warning"


class CorrectionKind(models.TextChoices):
    """What a correction does to the cells of its rows, or (`skip`, `accept`) to the rows."""

    SET = "set", "Set"
    REPLACE = "replace", "Replace"
    TRIM = "trim", "Trim"
    SKIP = "skip", "Skip"
    ACCEPT = "accept", "Take as read"


class ArtifactKind(models.TextChoices):
    SOURCE = "source", "Uploaded file"
    REJECTED = "rejected", "Rejected rows"
    ERRORS = "errors", "All errors"
    OUTPUT = "output", "Exported file"
    VANISHING = "vanishing", "Records that would be deleted"
