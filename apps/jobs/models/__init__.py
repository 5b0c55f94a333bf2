from apps.jobs.models.corrections import Cause, Correction
from apps.jobs.models.files import JobArtifact, RememberedMapping
from apps.jobs.models.jobs import Job
from apps.jobs.models.problems import JobError, Rejection

__all__ = ["Cause", "Correction", "Job", "JobArtifact", "JobError", "Rejection", "RememberedMapping"]
