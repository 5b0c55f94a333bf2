"""The whole hub in one process: services, real servers around it, and a worker that hears every bell."""

from __future__ import annotations

import queue as queues
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile
from kombu.simple import SimpleQueue

from apps.apikeys.services import usage, verified
from apps.jobs.models import Job
from apps.jobs.services import uploads
from apps.records.selectors import dataset_of
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.tenants.services import organizations
from integration_hub.celery import app
from integration_hub.schedule import ENTRIES
from tests.webhooks.receiver import Receiver, receiving

ADA = Actor("user", "ada@northwind.example", "Ada Lovelace")
QUEUES = ("default", "sync", "jobs", "webhooks", "maintenance")
# What the scheduler rings every few seconds; the rest of the schedule is housekeeping.
app.loader.import_default_modules()
PULSE = ("connectors.tick", "jobs.sweep", "events.sweep", "webhooks.sweep")


@pytest.fixture(autouse=True)
def _this_machine_may_be_called(settings: Any) -> Iterator[None]:
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    settings.HUB_ALLOW_HTTP = True
    verified.forget_all()
    usage.forget_all()
    hear(lambda name, args: None)  # bells of other tests
    yield
    verified.forget_all()


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    return organizations.create(name="Northwind")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def upload(organization: Organization) -> Callable[..., Job]:
    """Uploads a file, as a person does."""

    def receive(content: bytes, name: str, dataset: str = "clients") -> Job:
        return uploads.receive(
            organization=organization,
            dataset=dataset_of(organization, dataset),
            file=ContentFile(content, name=name),
            actor=ADA,
        )

    return receive


def hear(answer: Callable[[str, list[Any]], object]) -> int:
    """Take every message from the broker and let `answer` have its task's name and arguments."""
    heard = 0
    with app.connection_for_read() as connection:
        for name in QUEUES:
            waiting = SimpleQueue(connection, name)
            while True:
                try:
                    message = waiting.get_nowait()
                except queues.Empty:
                    break
                message.ack()
                heard += 1
                answer(message.headers["task"], message.decode()[0])
            waiting.close()
    return heard


def work() -> None:
    """Be the scheduler for one beat, and the worker until nothing rings any more."""
    known = {entry.task for entry in ENTRIES}
    for name in PULSE:
        assert name in known
        app.tasks[name]()
    while hear(lambda name, args: app.tasks[name](*args)):
        pass
