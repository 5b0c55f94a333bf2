"""One valid call for every operation of the API that changes something, for walks over all of them.

`CALLS` has an entry for each (see `test_writes.py`): what has to be there first is made by the API itself or
by a service, so that each call succeeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from rest_framework.test import APIClient

from apps.apikeys.models import APIKey
from apps.apikeys.services import keys, rotation
from apps.connectors.models import Integration, SyncJob
from apps.connectors.statuses import SyncStatus
from apps.jobs.models import Job, JobDelivery
from apps.jobs.services import corrections, exports, imports, uploads, work
from apps.records.models import Origin
from apps.records.selectors import dataset_of
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.webhooks.models import InboundWebhook
from tests.house.samples import Maker
from tests.people import PASSWORD, member
from tests.webhooks.receiver import Receiver

API = "/api/v1/"
FOR_PEOPLE = {"security/default-rate-limits"}
_numbers = itertools.count(1)


@dataclass
class World:
    """An organization, an unrestricted key of it, and a server on this machine that answers everybody."""

    organization: Organization
    receiver: Receiver
    secret: str = field(init=False)
    key: APIKey = field(init=False)
    token: str = ""

    def __post_init__(self) -> None:
        issued = self.issue(scopes=["*:*"], rotate_every_days=30)
        self.key, self.secret = issued.key, issued.secret

    def issue(self, **values: Any) -> Any:
        given: dict[str, Any] = {"scopes": ["records:read"], "permissions": keys.ALL_PERMISSIONS}
        return keys.create(
            organization=self.organization, name=f"key {next(_numbers)}", actor=SYSTEM, never_expires=True,
            **{**given, **values},
        )  # fmt: skip

    def client(self, secret: str = "", **headers: str) -> APIClient:
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret or self.secret}", **headers)
        return client

    def send(self, method: str, address: str, body: Any = None, **headers: str) -> Any:
        if callable(body):
            return getattr(self.client(), method)(f"{API}{address}", body(), format="multipart", **headers)
        values = {} if body is None and method != "delete" else body
        client = self.person() if address in FOR_PEOPLE else self.client()
        return getattr(client, method)(f"{API}{address}", values, format="json", **headers)

    def person(self) -> APIClient:
        """The owner, with a token: some things no program may do."""
        if not self.token:
            email = f"owner{next(_numbers)}@example.com"
            member(self.organization, "owner", email=email)
            body = {"email": email, "password": PASSWORD}
            answer = APIClient().post(f"{API}auth/token", body, format="json")
            self.token = answer.json()["access_token"]
        return self.client(self.token)

    def made(self, address: str, body: Any) -> Any:
        answer = self.send("post", address, body)
        assert answer.status_code in (200, 201, 202), (address, answer.content)
        return answer.json()

    def place(self) -> str:
        return str(self.made("file-locations", self.new_place())["id"])

    def new_place(self) -> dict[str, Any]:
        return {"name": f"place {next(_numbers)}", "kind": "https", "base_url": self.receiver.url}

    def schedule(self) -> str:
        return str(self.made("job-schedules", new_schedule())["id"])

    def paused_schedule(self) -> str:
        number = self.schedule()
        self.made(f"job-schedules/{number}/pause", {})
        return number

    def new_export_template(self) -> dict[str, Any]:
        return {"name": f"Template {next(_numbers)}", "dataset": "clients", "options": {"format": "csv"}}

    def export_template(self) -> str:
        return str(self.made("export-templates", self.new_export_template())["id"])

    def exported(self) -> str:
        """The number of an export whose file is there."""
        job = exports.create(
            organization=self.organization,
            dataset=dataset_of(self.organization, "clients"),
            actor=SYSTEM,
        )
        work.take(job_id=job.pk)
        return job.number

    def failed_delivery(self) -> str:
        row: Any = Maker(self.organization).make(JobDelivery, status="failed", job=self.upload())
        return str(row.public_id)

    # What calls are about.

    def rotated(self, key: APIKey) -> APIKey:
        """The successor that a policy has made for a key, which waits to be collected."""
        APIKey.objects.filter(pk=key.pk).update(next_rotation_at=timezone.now())
        assert rotation.rotate_due() == 1
        return APIKey.objects.get(group=key.group, waiting_secret__isnull=False)

    def suspended(self) -> APIKey:
        return keys.suspend(key=self.issue().key, actor=SYSTEM)

    def application(self) -> str:
        return str(self.made("oauth-applications", APPLICATION)["id"])

    def dataset(self) -> str:
        return str(self.made("datasets", new_dataset())["id"])

    def record(self) -> str:
        return str(self.made("records/clients", new_record())["id"])

    def origin(self) -> str:
        self.record()
        return Origin.objects.filter(organization=self.organization).latest("pk").public_id

    def mapping(self) -> str:
        return str(self.made("mappings", new_mapping())["id"])

    def event_type(self) -> str:
        return str(self.made("event-types", new_event_type())["name"])

    def endpoint(self, **values: Any) -> str:
        return str(self.made("webhooks", {**self.new_endpoint(), **values})["id"])

    def new_endpoint(self) -> dict[str, Any]:
        return {"name": f"hook {next(_numbers)}", "url": f"{self.receiver.url}hook", "events": ["custom.*"]}

    def paused_endpoint(self) -> str:
        number = self.endpoint()
        self.made(f"webhooks/{number}/pause", {})
        return number

    def replay(self) -> str:
        body = {"since": "2026-01-01T00:00:00Z"}
        return str(self.made(f"webhooks/{self.endpoint()}/replay", body)["id"])

    def paused_replay(self) -> str:
        return str(self.made(f"replays/{self.replay()}/pause", {})["id"])

    def delivery(self, status: str) -> str:
        from apps.webhooks.models import Delivery, WebhookEndpoint

        endpoint = WebhookEndpoint.objects.get(number=self.endpoint())
        maker = Maker(self.organization)
        maker._made[WebhookEndpoint] = endpoint
        row: Any = maker.make(Delivery, status=status, next_attempt_at=timezone.now())
        return str(row.public_id)

    def new_integration(self) -> dict[str, Any]:
        n = next(_numbers)
        return {
            "connector": "rest", "name": f"Shop {n}", "code": f"shop-{n}", "auth_mode": "none",
            "config": {
                "base_url": self.receiver.url,
                "streams": [
                    {
                        "name": "orders", "request": {"path": "/orders"}, "remote_id": "id",
                        "dataset": "clients",
                        "mapping": {"fields": [{"target": "external_id", "source": "id"}]},
                    }
                ],
            },
        }  # fmt: skip

    def integration_again(self) -> dict[str, Any]:
        values = self.new_integration()
        return {name: value for name, value in values.items() if name not in ("connector", "code")}

    def integration(self, status: str = "") -> str:
        number = str(self.made("integrations", self.new_integration())["id"])
        if status:
            Integration.objects.filter(number=number).update(status=status)
        return number

    def sync(self, status: str) -> str:
        integration = self.integration("active")
        number = str(self.made(f"integrations/{integration}/sync", {})["id"])
        job = SyncJob.objects.get(organization=self.organization, number=number)
        if status != SyncStatus.PENDING:
            job.streams.update(status=status)
            SyncJob.objects.filter(pk=job.pk).update(status=status, completed_at=timezone.now())
        return number

    def inbound(self, status: str) -> str:
        row: Any = Maker(self.organization).make(
            InboundWebhook, status=status, dedupe_key=f"d{next(_numbers)}"
        )
        return str(row.public_id)

    def upload(self) -> Job:
        dataset = dataset_of(self.organization, "clients")
        file = ContentFile(csv_file(), name="clients.csv")
        return uploads.receive(organization=self.organization, dataset=dataset, file=file, actor=SYSTEM)

    def ready(self) -> Job:
        job = self.upload()
        proposal = imports.propose(job=job)
        return imports.configure(job=job, actor=SYSTEM, mapping=proposal.spec, settings=imports.Settings())

    def corrected(self) -> Job:
        job = self.ready()
        corrections.edit(job=job, actor=SYSTEM, edits=[corrections.Edit(1, "skip")])
        return job

    def job(self, status: str) -> str:
        job = self.ready()
        if status == "completed":
            imports.start(job=job, actor=SYSTEM)
            assert work.take(job_id=job.pk)
        else:
            Job.objects.filter(pk=job.pk).update(status=status)
        return str(job.number)


APPLICATION = {
    "name": "Shop Sync", "redirect_uris": ["https://app.example.com/callback"], "scopes": ["records:read"],
}  # fmt: skip
LIMITS = {"requests_per_minute": 100}


def csv_file() -> bytes:
    return f"external_id,name\nF{next(_numbers)},Northwind\n".encode()


def uploaded_form() -> dict[str, Any]:
    return {"file": SimpleUploadedFile("clients.csv", csv_file()), "dataset": "clients"}


def new_record() -> dict[str, Any]:
    return {"external_id": f"C-{next(_numbers)}", "name": "Ada Lovelace"}


def new_dataset() -> dict[str, Any]:
    n = next(_numbers)
    definition = [{"name": "code", "type": "text"}, {"name": "title", "type": "text"}]
    return {"slug": f"things_{n}", "name": f"Things {n}", "fields": definition}


def new_schedule() -> dict[str, Any]:
    return {
        "name": f"schedule {next(_numbers)}", "job_type": "export", "dataset": "clients",
        "schedule_type": "cron", "crontab": "0 6 * * *",
    }  # fmt: skip


def new_mapping() -> dict[str, Any]:
    spec = {"fields": [{"target": "external_id", "source": "ID"}, {"target": "name", "source": "Name"}]}
    return {"name": f"mapping {next(_numbers)}", "dataset": "clients", "spec": spec}


def new_event_type() -> dict[str, Any]:
    return {"name": f"custom.thing{next(_numbers)}", "schema": {"type": "object"}}


# What a call gives: the address below the version, and the body (a function: a form, made anew each time).
Prepared = tuple[str, Any]
Prepare = Callable[[World], Prepared]


def at(address: str, body: Any = None) -> Prepare:
    return lambda world: (address, body() if callable(body) else body)


def of(make: Callable[[World], Any], address: str, body: Any = None) -> Prepare:
    return lambda world: (address.format(make(world)), body() if callable(body) else body)


def _key(world: World) -> str:
    return str(world.issue().key.number)


def _collectable(world: World) -> str:
    return str(world.rotated(world.issue(rotate_every_days=30).key).number)


def _own_successor(world: World) -> Prepared:
    world.rotated(world.key)
    return "api-keys/current/collect", {}


def _signed(world: World) -> str:
    return str(world.issue(signature_required=True).key.number)


CALLS: dict[str, Prepare] = {
    "POST api-keys": at("api-keys", {"name": "made", "scopes": ["records:read"]}),
    "POST api-keys/current/collect": _own_successor,
    "PATCH api-keys/{id}": of(_key, "api-keys/{}", {"name": "other"}),
    "DELETE api-keys/{id}": of(_key, "api-keys/{}"),
    "POST api-keys/{id}/collect": of(_collectable, "api-keys/{}/collect"),
    "POST api-keys/{id}/resume": of(lambda w: w.suspended().number, "api-keys/{}/resume"),
    "POST api-keys/{id}/revoke": of(_key, "api-keys/{}/revoke"),
    "POST api-keys/{id}/rotate": of(_key, "api-keys/{}/rotate"),
    "POST api-keys/{id}/signing-secret": of(_signed, "api-keys/{}/signing-secret"),
    "POST api-keys/{id}/suspend": of(_key, "api-keys/{}/suspend"),
    "PUT api-keys/{id}/rate-limits": of(_key, "api-keys/{}/rate-limits", LIMITS),
    "PUT security/rate-limits/{id}": of(_key, "security/rate-limits/{}", LIMITS),
    "PUT security/default-rate-limits": at("security/default-rate-limits", LIMITS),
    "PUT oauth-applications/{id}/rate-limits": of(
        World.application, "oauth-applications/{}/rate-limits", LIMITS
    ),
    "POST oauth-applications": at("oauth-applications", APPLICATION),
    "PATCH oauth-applications/{id}": of(World.application, "oauth-applications/{}", {"name": "other"}),
    "DELETE oauth-applications/{id}": of(World.application, "oauth-applications/{}"),
    "POST oauth-applications/{id}/rotate-secret": of(
        World.application, "oauth-applications/{}/rotate-secret"
    ),
    "POST datasets": at("datasets", new_dataset),
    "PATCH datasets/{id}": of(World.dataset, "datasets/{}", {"name": "other"}),
    "DELETE datasets/{id}": of(World.dataset, "datasets/{}"),
    "POST mappings": at("mappings", new_mapping),
    "PATCH mappings/{id}": of(World.mapping, "mappings/{}", {"name": "other"}),
    "DELETE mappings/{id}": of(World.mapping, "mappings/{}"),
    "POST records/{dataset}": at("records/clients", new_record),
    "POST records/{dataset}/bulk": at("records/clients/bulk", lambda: [new_record()]),
    "PUT records/{dataset}/{id}": of(World.record, "records/clients/{}", new_record),
    "PATCH records/{dataset}/{id}": of(World.record, "records/clients/{}", {"name": "Grace Hopper"}),
    "DELETE records/{dataset}/{id}": of(World.record, "records/clients/{}"),
    "POST records/origins/{id}/undo": of(World.origin, "records/origins/{}/undo"),
    "POST event-types": at("event-types", new_event_type),
    "PATCH event-types/{name}": of(World.event_type, "event-types/{}", {"description": "other"}),
    "DELETE event-types/{name}": of(World.event_type, "event-types/{}"),
    "POST events": at("events", {"type": "custom.happened", "data": {"n": 1}}),
    "POST export": at("export", {"dataset": "clients"}),
    "POST import/upload": lambda world: ("import/upload", uploaded_form),
    "POST import/fetch": at("import/fetch", {"dataset": "clients", "url": "https://8.8.8.8/clients.csv"}),
    "POST import/validate": lambda world: ("import/validate", {"job": world.upload().number}),
    "POST import/execute": lambda world: ("import/execute", {"job": world.upload().number}),
    "POST import/{id}/corrections": of(
        lambda w: w.ready().number,
        "import/{}/corrections",
        {"corrections": [{"row": 1, "column": "name", "value": "Ada"}]},
    ),
    "POST import/{id}/corrections/take-back": of(
        lambda w: w.corrected().number, "import/{}/corrections/take-back"
    ),
    "POST jobs": at("jobs", {"dataset": "clients"}),
    "POST jobs/{id}/start": of(lambda w: w.ready().number, "jobs/{}/start"),
    "POST jobs/{id}/pause": of(lambda w: w.job("processing"), "jobs/{}/pause"),
    "POST jobs/{id}/resume": of(lambda w: w.job("paused"), "jobs/{}/resume"),
    "POST jobs/{id}/cancel": of(lambda w: w.job("pending"), "jobs/{}/cancel"),
    "POST jobs/{id}/retry": of(lambda w: w.job("failed"), "jobs/{}/retry"),
    "POST jobs/{id}/undo": of(lambda w: w.job("completed"), "jobs/{}/undo"),
    "POST file-locations": lambda world: ("file-locations", world.new_place()),
    "PATCH file-locations/{id}": of(World.place, "file-locations/{}", {"name": "other"}),
    "DELETE file-locations/{id}": of(World.place, "file-locations/{}"),
    "POST file-locations/{id}/test": of(World.place, "file-locations/{}/test"),
    "POST export-templates": lambda world: ("export-templates", world.new_export_template()),
    "PATCH export-templates/{id}": of(World.export_template, "export-templates/{}", {"name": "other"}),
    "DELETE export-templates/{id}": of(World.export_template, "export-templates/{}"),
    "POST job-schedules": at("job-schedules", new_schedule),
    "PATCH job-schedules/{id}": of(World.schedule, "job-schedules/{}", {"name": "other"}),
    "DELETE job-schedules/{id}": of(World.schedule, "job-schedules/{}"),
    "POST job-schedules/{id}/run": of(World.schedule, "job-schedules/{}/run"),
    "POST job-schedules/{id}/pause": of(World.schedule, "job-schedules/{}/pause"),
    "POST job-schedules/{id}/resume": of(World.paused_schedule, "job-schedules/{}/resume"),
    "POST job-deliveries": lambda world: (
        "job-deliveries",
        {"job": world.exported(), "kind": "mail", "recipients": ["ada@example.com"]},
    ),
    "POST job-deliveries/{id}/retry": of(World.failed_delivery, "job-deliveries/{}/retry"),
    "POST integrations": lambda world: ("integrations", world.new_integration()),
    "PUT integrations/{id}": lambda world: (f"integrations/{world.integration()}", world.integration_again()),
    "PATCH integrations/{id}": of(World.integration, "integrations/{}", {"name": "other"}),
    "DELETE integrations/{id}": of(World.integration, "integrations/{}"),
    "POST integrations/{id}/test": of(World.integration, "integrations/{}/test"),
    "POST integrations/{id}/connect": of(World.integration, "integrations/{}/connect"),
    "POST integrations/{id}/disconnect": of(lambda w: w.integration("active"), "integrations/{}/disconnect"),
    "POST integrations/{id}/pause": of(lambda w: w.integration("active"), "integrations/{}/pause"),
    "POST integrations/{id}/sync": of(lambda w: w.integration("active"), "integrations/{}/sync"),
    "PUT integrations/{id}/inbound": of(World.integration, "integrations/{}/inbound", {"max_retries": 3}),
    "PATCH integrations/{id}/inbound": of(World.integration, "integrations/{}/inbound", {"max_retries": 2}),
    "POST sync-jobs/{id}/cancel": of(lambda w: w.sync("pending"), "sync-jobs/{}/cancel"),
    "POST sync-jobs/{id}/retry": of(lambda w: w.sync("failed"), "sync-jobs/{}/retry"),
    "DELETE inbound-webhooks/{id}": of(lambda w: w.inbound("failed"), "inbound-webhooks/{}"),
    "POST inbound-webhooks/{id}/retry": of(lambda w: w.inbound("failed"), "inbound-webhooks/{}/retry"),
    "POST webhooks": lambda world: ("webhooks", world.new_endpoint()),
    "PUT webhooks/{id}": lambda world: (f"webhooks/{world.endpoint()}", world.new_endpoint()),
    "PATCH webhooks/{id}": of(World.endpoint, "webhooks/{}", {"name": "other"}),
    "DELETE webhooks/{id}": of(World.endpoint, "webhooks/{}"),
    "POST webhooks/{id}/test": of(World.endpoint, "webhooks/{}/test"),
    "POST webhooks/{id}/preview": of(World.endpoint, "webhooks/{}/preview"),
    "POST webhooks/{id}/pause": of(World.endpoint, "webhooks/{}/pause"),
    "POST webhooks/{id}/resume": of(World.paused_endpoint, "webhooks/{}/resume"),
    "POST webhooks/{id}/rotate-secret": of(World.endpoint, "webhooks/{}/rotate-secret"),
    "POST webhooks/{id}/replay": of(World.endpoint, "webhooks/{}/replay", {"since": "2026-01-01T00:00:00Z"}),
    "POST deliveries/retry": at("deliveries/retry", {"status": ["failed"]}),
    "POST replays/{id}/pause": of(World.replay, "replays/{}/pause"),
    "POST replays/{id}/cancel": of(World.replay, "replays/{}/cancel"),
    "POST replays/{id}/resume": of(World.paused_replay, "replays/{}/resume"),
    "POST deliveries/{id}/retry": of(lambda w: w.delivery("failed"), "deliveries/{}/retry"),
    "POST deliveries/{id}/cancel": of(lambda w: w.delivery("pending"), "deliveries/{}/cancel"),
    "POST deliveries/{id}/expunge": of(lambda w: w.delivery("delivered"), "deliveries/{}/expunge"),
    "POST security/audit-log/verification": at("security/audit-log/verification"),
}
__all__ = ["API", "CALLS", "World"]
