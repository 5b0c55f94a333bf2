"""What schedules, their runs, places and deliveries are, where they stand, and how they may move."""

from __future__ import annotations

from django.db import models

from apps.kernel.states import transitions


class ScheduleType(models.TextChoices):
    ONCE = "once", "Once"
    INTERVAL = "interval", "At an interval"
    CRON = "cron", "By a crontab"


class ScheduleStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    FINISHED = "finished", "Finished"


SCHEDULE_TRANSITIONS = transitions(
    {
        ScheduleStatus.ACTIVE: [ScheduleStatus.PAUSED, ScheduleStatus.FINISHED],
        ScheduleStatus.PAUSED: [ScheduleStatus.ACTIVE],
        ScheduleStatus.FINISHED: [ScheduleStatus.ACTIVE],
    }
)


class RunTrigger(models.TextChoices):
    SCHEDULE = "schedule", "By the clock"
    MANUAL = "manual", "By hand"


class RunStatus(models.TextChoices):
    """A waiting run is due whenever nobody holds its lease; a running one waits for its jobs."""

    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"


OPEN_RUNS = (RunStatus.WAITING, RunStatus.RUNNING)
RUN_TRANSITIONS = transitions(
    {
        RunStatus.WAITING: [RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.FAILED],
        RunStatus.RUNNING: [RunStatus.WAITING, RunStatus.COMPLETED, RunStatus.FAILED],
    }
)


class LocationKind(models.TextChoices):
    S3 = "s3", "S3 bucket"
    SFTP = "sftp", "SFTP server"
    HTTPS = "https", "Web address"


class AfterImport(models.TextChoices):
    KEEP = "keep", "Leave it there"
    MOVE = "move", "Move it to another folder"
    DELETE = "delete", "Delete it"


class FetchedStatus(models.TextChoices):
    IMPORTED = "imported", "Imported"
    DUPLICATE = "duplicate", "Same content as before"
    REFUSED = "refused", "Not a file that can be imported"


class Disposal(models.TextChoices):
    """What is to become of the file at its place, once it is imported."""

    NONE = "", "Nothing"
    WAITING = "waiting", "Waits for the import"
    DUE = "due", "Due"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class DeliveryKind(models.TextChoices):
    LOCATION = "location", "Place"
    MAIL = "mail", "File by mail"
    NOTICE = "notice", "Notice by mail"


class DeliveryStatus(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


DELIVERY_TRANSITIONS = transitions(
    {
        DeliveryStatus.WAITING: [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED],
        DeliveryStatus.FAILED: [DeliveryStatus.WAITING],
    }
)
