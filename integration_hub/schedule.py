"""What happens by the clock. Append an entry when its task exists; people change intervals in the admin.

A scheduler only rings: each task looks in the database for what is due, so that a ring too many does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from celery.schedules import crontab, schedule


@dataclass(frozen=True)
class Entry:
    """`task` is rung every `seconds`, or `at` certain moments (UTC), on `queue`."""

    name: str
    task: str
    queue: str
    seconds: int = 0
    at: crontab | None = None

    def __post_init__(self) -> None:
        # The table of intervals holds whole seconds, and would ring without a pause at none.
        if (self.seconds < 1) == (self.at is None) or self.seconds != int(self.seconds):
            raise ValueError(f"{self.name}: give either whole seconds, at least 1, or `at`.")

    @property
    def when(self) -> schedule | crontab:
        return self.at or schedule(self.seconds)

    @property
    def expires(self) -> int:
        """Seconds after which an unheard ring is dropped: the next one says the same."""
        return max(self.seconds * 2, 30) if self.seconds else 12 * 3600


ENTRIES: list[Entry] = [
    Entry("Heartbeat and health checks", "health.heartbeat", "maintenance", seconds=15),
    Entry("Fold the counts of datasets", "records.fold_counts", "jobs", seconds=600),
    Entry("Undoing that waits for a worker", "records.sweep_undo", "jobs", seconds=10),
    Entry("Imports and exports that wait for a worker", "jobs.sweep", "jobs", seconds=10),
    Entry("Scheduled imports and exports, and what they deliver", "jobs.tick", "jobs", seconds=10),
    Entry("Files of jobs whose time is over", "jobs.retention", "maintenance", seconds=3600),
    Entry(
        "Files of uploads that came to nothing",
        "jobs.forsaken",
        "maintenance",
        at=crontab(hour="3", minute="10"),
    ),
    Entry("Due syncs, abandoned syncs, health checks of connections", "connectors.tick", "sync", seconds=10),
    Entry("Old lines of the integrations' log", "connectors.sweep_logs", "maintenance", seconds=3600),
    Entry("Events that wait for their subscribers", "events.sweep", "webhooks", seconds=5),
    Entry("Webhook deliveries that are due", "webhooks.sweep", "webhooks", seconds=5),
    Entry("Replays of webhooks that wait for a worker", "webhooks.replay_sweep", "jobs", seconds=10),
    Entry("The audit log since its last anchor", "audit.verify_new", "maintenance", seconds=3600),
    Entry("The whole audit log", "audit.verify", "maintenance", at=crontab(hour="2", minute="40")),
    Entry("Old numbers of API usage", "apikeys.thin_usage", "maintenance", seconds=600),
    Entry("Inbound webhooks that wait to be worked off", "webhooks.inbound_sweep", "webhooks", seconds=5),
    Entry("Providers that have fallen silent", "webhooks.inbound_watch", "maintenance", seconds=300),
    Entry("Old inbound webhooks", "webhooks.inbound_retention", "maintenance", seconds=3600),
    Entry("Old messages and tries of webhooks", "webhooks.retention", "maintenance", seconds=3600),
    Entry("Attempts of webhooks, counted for the metrics", "webhooks.tally", "maintenance", seconds=60),
    Entry("API keys at the end of their lives", "apikeys.expire_keys", "maintenance", seconds=60),
    Entry("API keys that are rotated by their policy", "apikeys.rotate_due", "maintenance", seconds=300),
    Entry(
        "API keys that are used as they were not before",
        "apikeys.look_for_suspicion",
        "maintenance",
        seconds=60,
    ),
    Entry("Mails about API keys", "apikeys.mail_alerts", "maintenance", seconds=60),
    Entry("Versions of the API whose end has come", "apikeys.mark_versions", "maintenance", seconds=60),
    Entry("API keys that end soon", "apikeys.warn_of_expiry", "maintenance", seconds=3600),
    Entry("Tokens, codes and signing keys that ended", "apikeys.forget_tokens", "maintenance", seconds=3600),
    Entry(
        "Answers of repeatable API calls that are over", "apikeys.forget_answers", "maintenance", seconds=3600
    ),
]
