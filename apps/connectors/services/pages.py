"""Writing one page of a stream: records, checkpoint, counts and errors in one transaction."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.connectors.engine.manifest import Stream
from apps.connectors.engine.reader import Page
from apps.connectors.models import IntegrationStream, SyncJob, SyncStream
from apps.connectors.services import removals, row_errors
from apps.connectors.statuses import SyncMode, SyncStatus
from apps.kernel.leases import fenced_update
from apps.records.mapping import MappingSpec
from apps.records.models import Dataset
from apps.records.services.upsert import BatchOutcome, LinkSource, upsert
from apps.tenants.principals import Actor

COUNTS = ("processed", "created", "updated", "unchanged", "deleted", "failed", "pages")


class PageWriter:
    """Writes the pages of one stream of one run. Every write is fenced by the job's lease."""

    def __init__(
        self,
        *,
        job: SyncJob,
        run: SyncStream,
        row: IntegrationStream,
        stream: Stream,
        dataset: Dataset,
        mapping: MappingSpec | None,
    ) -> None:
        self.job, self.run, self.row, self.stream = job, run, row, stream
        self.dataset, self.mapping = dataset, mapping
        self.actor = actor_of(job)
        self.link = LinkSource(
            source=job.integration.number,
            stream=stream.name,
            remote_id=stream.remote_id,
            remote_version=stream.remote_version,
        )

    def write(self, page: Page) -> None:
        """Write a page. Raises LeaseLost, with nothing written, if another worker has the job by now."""
        with transaction.atomic():
            outcome = self._upsert(page.rows) if page.rows else BatchOutcome(first_row=1)
            deleted = removals.remote_ids(
                source=self.link.source,
                stream=self.stream.name,
                dataset=self.dataset,
                ids=page.gone,
                actor=self.actor,
            )
            row_errors.note(self.job, self.stream, page.rows, outcome)
            counts = {
                "processed": len(page.rows) + len(page.gone) + page.duplicates,
                "created": outcome.created + outcome.restored,
                "updated": outcome.updated,
                "unchanged": outcome.unchanged,
                "deleted": deleted,
                "failed": outcome.failed,
                "pages": 1,
            }
            self._checkpoint(page, counts)

    def _upsert(self, rows: list[dict[str, Any]]) -> BatchOutcome:
        outcomes: list[BatchOutcome] = []
        upsert(
            dataset=self.dataset,
            rows=rows,
            actor=self.actor,
            mapping=self.mapping,
            link=self.link,
            batch_size=len(rows),
            on_batch=outcomes.append,
        )
        return outcomes[0]

    def _checkpoint(self, page: Page, counts: dict[str, int]) -> None:
        run, now = self.run, timezone.now()
        for name, more in counts.items():
            setattr(run, name, getattr(run, name) + more)
        run.duplicates += page.duplicates
        run.warning = "; ".join(page.warnings)[:500] or run.warning
        run.checkpoint = page.next_state
        changed = [*COUNTS, "duplicates", "warning", "checkpoint"]
        if page.last:
            run.cursor_after = page.cursor or ""
            if self.row.delete_missing and run.mode == SyncMode.FULL and self._complete():
                run.checkpoint = {**page.next_state, "sweep": True}
            else:
                run.status, run.completed_at = SyncStatus.COMPLETED, now
            changed += ["cursor_after", "status", "completed_at"]
            IntegrationStream.objects.filter(pk=self.row.pk, revision=run.revision).update(
                state=page.next_state, last_synced_at=now, updated_at=now
            )
        run.save(update_fields=changed)
        # Last, so that the job's row is locked for the shortest time; it takes everything back if it fails.
        fenced_update(
            self.job,
            attempts=0,
            error_kind="",
            error_message="",
            **{name: getattr(self.job, name) + more for name, more in counts.items()},
        )

    def _complete(self) -> bool:
        """Whether the run saw everything that it should; an answer without a list is no proof of that."""
        return not self.run.warning

    def sweep(self) -> bool:
        """Delete some records that the complete run did not see; True when none are left."""
        with transaction.atomic():
            before = self.run.started_at or timezone.now()
            done = removals.missing(
                source=self.link.source,
                stream=self.stream.name,
                dataset=self.dataset,
                before=before,
                limit_percent=self.row.delete_limit_percent,
                already=self.run.deleted,
                actor=self.actor,
            )
            self.run.deleted += done.deleted
            if done.finished:
                self.run.status, self.run.completed_at = SyncStatus.COMPLETED, timezone.now()
                self.run.checkpoint = {name: v for name, v in self.run.checkpoint.items() if name != "sweep"}
                self.run.warning = (done.refused or self.run.warning)[:500]
            self.run.save(update_fields=["deleted", "status", "completed_at", "checkpoint", "warning"])
            fenced_update(self.job, deleted=self.job.deleted + done.deleted)
        return done.finished


def actor_of(job: SyncJob) -> Actor:
    """Who writes the records of a sync: its origin, which can be undone as a whole."""
    return Actor("sync", job.number, f"{job.integration} ({job.number})")
