"""From what an export wrote to the one file that is stored: as it is, packed, or an archive of several."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from django.utils import timezone

from apps.jobs.formats import packing
from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.registry import formats
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import attachments, files, storage
from apps.jobs.services.export_columns import Layout
from apps.jobs.statuses import ArtifactKind, Compression


def filename_of(job: Job, format: str) -> str:
    """`clients-2026-03-01.csv`, by the organization's calendar."""
    today = timezone.localtime(timezone=ZoneInfo(job.organization.timezone))
    return f"{job.dataset.slug}-{today:%Y-%m-%d}{formats[format].extensions[0]}"


@dataclass
class Packing:
    """Packs and stores. `check` is called between files and raises when the work is no longer ours."""

    job: Job
    settings: dict[str, Any]
    layout: Layout
    attached: attachments.Collector | None
    check: Callable[[], None]

    def stored(self, members: list[packing.Member], rows: int) -> JobArtifact:
        """The first of the members, or a ZIP: of several, of attachments, or with a password."""
        password = self.job.export_password or ""
        if self.settings.get("has_password") and not password:
            raise FormatError(
                "The password of this export is no longer known. Order it anew.", code="no_password"
            )
        compression = self.settings["compression"]
        if password or len(members) > 1 or self.attached is not None:
            compression = Compression.ZIP
        name, file = members[0].name, members[0].file
        with ExitStack() as stack:
            if compression:
                packed = stack.enter_context(tempfile.TemporaryFile())
                if compression == Compression.GZIP:
                    packing.gzipped(file, packed, name)
                    name += ".gz"
                else:
                    manifest = stack.enter_context(tempfile.TemporaryFile())
                    manifest.write(self._manifest(members, rows))
                    members = [*members, packing.Member("manifest.json", manifest)]
                    packing.zipped(self._all(members), packed, password=password)
                    name = f"{name.rpartition('.')[0]}.zip"
                file = packed
            self.check()
            return files.store(
                self.job,
                ArtifactKind.OUTPUT,
                str(self.settings["format"]),
                name,
                file,
                rows=rows,
                days=files.OUTPUT_DAYS,
                compression=compression,
            )

    def _all(self, members: list[packing.Member]) -> Iterator[packing.Member]:
        yield from members
        if self.attached is not None:
            for member in self.attached.members():
                self.check()
                yield member

    def _manifest(self, members: list[packing.Member], rows: int) -> bytes:
        """What the archive holds, for programs: columns with their types, filters, counts, digests."""
        listed = []
        for member in members:
            sha256, size = storage.digest_of(member.file)
            listed.append({"name": member.name, "size": size, "sha256": sha256})
        about = {
            "dataset": self.job.dataset.slug,
            "job": self.job.number,
            "exported_at": timezone.now(),
            "rows": rows,
            "filters": self.job.filters,
            "ordering": self.settings["ordering"],
            "columns": [{"name": c.name, "title": c.title, "type": c.kind} for c in self.layout.columns],
            "files": listed,
            "attachments": self.attached.listing() if self.attached is not None else [],
        }
        return orjson.dumps(about, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
