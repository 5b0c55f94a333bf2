"""Names of delivered files: a path with placeholders such as `exports/{dataset}-{date}.{ext}`."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from django.utils import timezone

from apps.jobs.models import Job, JobArtifact
from apps.jobs.places import checked_path

DEFAULT = "{dataset}-{date}.{ext}"
PLACEHOLDERS = {
    "dataset": "the dataset's short name",
    "date": "the day, such as 2026-03-31",
    "time": "the time, such as 0630",
    "number": "the job's number",
    "ext": "the file's extension",
}
_PLACE = re.compile(r"{([^{}]*)}")


def check(pattern: str) -> None:
    """Raise ValueError with a sentence if the pattern makes no path."""
    for name in _PLACE.findall(pattern):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise ValueError(f"{{{name[:40]}}} is not known; there are {known}.")
    rest = checked_path(_PLACE.sub("x", pattern))
    if "{" in rest or "}" in rest:
        raise ValueError("A brace stands alone.")
    if pattern.strip().endswith("/"):
        raise ValueError("The path ends in a folder: add the file's name, such as {dataset}-{date}.{ext}.")


def path_of(pattern: str, job: Job, artifact: JobArtifact) -> str:
    """The path of a job's file, with the date and time of the organization's clock."""
    now = timezone.now().astimezone(ZoneInfo(job.organization.timezone))
    values = {
        "dataset": job.dataset.slug,
        "date": f"{now:%Y-%m-%d}",
        "time": f"{now:%H%M}",
        "number": job.number,
        "ext": artifact.filename.partition(".")[2] or artifact.format,
    }
    return checked_path(_PLACE.sub(lambda match: values.get(match[1], ""), pattern.strip() or DEFAULT))
