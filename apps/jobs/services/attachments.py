"""The files that belong to exported records, for the archive of an export.

Who holds files says so in `apps.records.catalog.attachments`. Jobs hold the files that records were imported
from, and any file of theirs that a record names by its SHA-256, as documents do. Addresses on other servers
are not fetched: they stay in their column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.packing import Member
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import storage
from apps.jobs.statuses import ArtifactKind
from apps.records.catalog import Attachment
from apps.records.catalog import attachments as holders
from apps.records.models import Change, Dataset

MAX_FILES = 10_000
MAX_BYTES = 4 * 1024**3
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')


class Collector:
    """Gathers the files of the records that pass by, each once."""

    def __init__(self, job: Job, using: str) -> None:
        self.dataset = job.dataset
        self.using = using
        self.found: dict[str, Attachment] = {}
        self.names: dict[str, str] = {}
        self.missing: list[str] = []
        self._bytes = 0

    def see(self, records: Sequence[tuple[Any, dict[str, Any]]]) -> None:
        """Note the files of these records. Raises FormatError for more than an archive should hold."""
        for holder in holders:
            for attachment in holder.find(self.dataset, records, self.using):
                if attachment.path in self.found:
                    continue
                self.found[attachment.path] = attachment
                self._bytes += attachment.size
                self.names[attachment.path] = self._free_name(attachment.name)
                if len(self.found) > MAX_FILES or self._bytes > MAX_BYTES:
                    raise FormatError(
                        f"The attachments are more than {MAX_FILES:,} files or {MAX_BYTES // 1024**3} GiB. "
                        "Filter what is exported.",
                        code="too_many_attachments",
                    )

    def _free_name(self, name: str) -> str:
        """A name in the archive that leads nowhere else and that no other file has."""
        plain = _UNSAFE.sub("_", name).strip(" .")[-150:] or "file"
        taken = {known.casefold() for known in self.names.values()}
        stem, dot, ending = plain.rpartition(".")
        stem, ending = (stem, dot + ending) if stem else (plain, "")
        chosen, n = f"attachments/{plain}", 1
        while chosen.casefold() in taken:
            n += 1
            chosen = f"attachments/{stem} ({n}){ending}"
        return chosen

    def listing(self) -> list[dict[str, Any]]:
        """The files with the records that they belong to, for the manifest."""
        return [
            {"name": self.names[path], "size": one.size, "record": one.record}
            for path, one in self.found.items()
        ]

    def members(self) -> Iterator[Member]:
        """The files, opened one after the other. One that is gone meanwhile is left out."""
        for path in self.found:
            if storage.exists(path):
                with storage.opened(path) as file:
                    yield Member(self.names[path], file)


def held_by_jobs(
    dataset: Dataset, records: Sequence[tuple[Any, dict[str, Any]]], using: str
) -> Iterable[Attachment]:
    """The files that these records were imported from, and those that they name by SHA-256."""
    origins: set[Any] = set()
    keys = [pk for pk, _ in records]
    for start in range(0, len(keys), 500):
        changes = Change.objects.using(using).filter(record__in=keys[start : start + 500])
        origins.update(
            changes.filter(origin__kind="job").order_by().values_list("origin_id", flat=True).distinct()
        )
    named = {
        str(data["sha256"]): str(data.get("external_id") or pk) for pk, data in records if data.get("sha256")
    }
    wanted = Q(kind=ArtifactKind.SOURCE, job__origin__in=origins)
    digests = sorted(named)
    for start in range(0, max(1, len(digests)), 500):
        condition = Q(sha256__in=digests[start : start + 500])
        rows = JobArtifact.objects.using(using).filter(
            wanted | condition if start == 0 else condition, job__organization=dataset.organization_id
        )
        for artifact in rows.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now())).select_related(
            "job"
        ):
            name = artifact.job.original_name if artifact.kind == ArtifactKind.SOURCE else artifact.filename
            yield Attachment(
                name or artifact.filename,
                artifact.file_path,
                artifact.file_size,
                named.get(artifact.sha256, ""),
            )
