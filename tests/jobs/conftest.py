from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.base import ContentFile

from apps.jobs.models import Job
from apps.jobs.services import imports, uploads, work
from apps.records.models import Dataset
from apps.records.selectors import dataset_of
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.tenants.services import organizations

ADA = Actor("user", "1", "Ada Lovelace")


@pytest.fixture
def organization(db: None) -> Organization:
    return organizations.create(name="Northwind")


@pytest.fixture
def clients(organization: Organization) -> Dataset:
    return dataset_of(organization, "clients")


@pytest.fixture
def upload(organization: Organization, clients: Dataset) -> Callable[..., Job]:
    """Uploads a file as a person does; the import waits for its columns to be matched."""

    def receive(content: bytes | str, name: str = "clients.csv", dataset: Dataset | None = None) -> Job:
        data = content.encode() if isinstance(content, str) else content
        chosen = dataset or clients
        return uploads.receive(
            organization=chosen.organization, dataset=chosen, file=ContentFile(data, name=name), actor=ADA
        )

    return receive


def configured(job: Job, **settings: Any) -> Job:
    """The proposed mapping, taken as it is."""
    proposal = imports.propose(job=job)
    return imports.configure(job=job, actor=ADA, mapping=proposal.spec, settings=imports.Settings(**settings))


def run(job: Job) -> Job:
    """Start the import and be the worker."""
    imports.start(job=job, actor=ADA)
    return work_on(job)


def work_on(job: Job) -> Job:
    assert work.take(job_id=job.pk)
    job.refresh_from_db()
    return job


def checked(job: Job) -> Job:
    imports.check(job=job, actor=ADA)
    return work_on(job)
