from apps.jobs.models.corrections import Cause, Correction
from apps.jobs.models.deliveries import JobDelivery
from apps.jobs.models.export_templates import ExportTemplate
from apps.jobs.models.files import JobArtifact, RememberedMapping
from apps.jobs.models.jobs import Job
from apps.jobs.models.locations import FileLocation
from apps.jobs.models.problems import JobError, Rejection
from apps.jobs.models.schedules import (
    FetchedFile,
    JobSchedule,
    ScheduleDestination,
    ScheduleRun,
)

__all__ = [
    "Cause",
    "Correction",
    "ExportTemplate",
    "FetchedFile",
    "FileLocation",
    "Job",
    "JobArtifact",
    "JobDelivery",
    "JobError",
    "JobSchedule",
    "Rejection",
    "RememberedMapping",
    "ScheduleDestination",
    "ScheduleRun",
]
