"""Two effects of routes: an event of the hub, and records. (A sync is the connectors' own effect.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.events.inbound import Arrival
from apps.events.services import outbox, publications
from apps.events.services.outbox import Draft
from apps.kernel.errors import FieldError, HubError, InvalidInput
from apps.kernel.safejson import dumps_canonical
from apps.records import selectors
from apps.records.mapping import MappingSpec, check
from apps.records.models import Dataset
from apps.records.models import Mapping as SavedMapping
from apps.records.services.outcomes import LinkSource, Mode, UpsertStopped
from apps.records.services.upsert import upsert
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.webhooks.events import INBOUND_RECEIVED
from apps.webhooks.inbound.reading import search
from apps.webhooks.inbound.scheme import path_problem

MAX_ROWS = 10_000


class BadPayload(InvalidInput):
    """The payload is not what the route expects."""

    code = "bad_payload"
    title = "The payload does not fit the route"


# --- an event


def check_event(organization: Organization, number: str, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    problems = _unknown(given, ("type", "data", "subject"))
    name = given.get("type")
    if name is not None:
        problems += [("/type", error.detail) for error in publications.type_problems(name)]
    for key in ("data", "subject"):
        text = given.get(key)
        if text is not None:
            problem = (
                path_problem(text)
                if isinstance(text, str) and 0 < len(text) <= 500
                else "is a JMESPath expression."
            )
            if problem:
                problems.append((f"/{key}", problem))
    return problems


def run_event(arrival: Arrival, given: Mapping[str, Any]) -> dict[str, str]:
    """Publish the arrival as `inbound.received`, or what the route takes from it under a name of its own."""
    return run_events([arrival], given)[0]


def run_events(arrivals: Sequence[Arrival], given: Mapping[str, Any]) -> list[dict[str, str]]:
    """The same for several arrivals of one source."""
    own = given.get("type")
    if own:
        return [_publish_own(arrival, own, given) for arrival in arrivals]
    drafts = [
        Draft(type=INBOUND_RECEIVED, data=_told(arrival), subject=_subject(arrival, given))
        for arrival in arrivals
    ]
    outbox.publish_many(organization=arrivals[0].organization, drafts=drafts, even_if_unheard=True)
    return [{"ref": "", "text": INBOUND_RECEIVED} for _ in arrivals]


def _publish_own(arrival: Arrival, own: str, given: Mapping[str, Any]) -> dict[str, str]:
    data = search(given["data"], arrival.payload) if given.get("data") else arrival.payload
    if not isinstance(data, dict):
        data = {"payload": data}
    event = publications.publish_own(
        organization=arrival.organization, type=own, data=data, subject=_subject(arrival, given)
    )
    return {"ref": event.public_id, "text": own}


def _subject(arrival: Arrival, given: Mapping[str, Any]) -> str:
    found = search(given["subject"], arrival.payload) if given.get("subject") else arrival.external_id
    return str(found if found is not None else "")[:120].replace("\x00", "")


def _told(arrival: Arrival) -> dict[str, Any]:
    told = {
        "id": arrival.id,
        "integration": arrival.source.number,
        "provider": arrival.source.provider,
        "event_type": arrival.event_type,
        "external_id": arrival.external_id,
        "received_at": arrival.received_at.isoformat(),
        "payload": arrival.payload,
    }
    if len(dumps_canonical(told)) > publications.MAX_BYTES:
        # Still told, and to be fetched by its id.
        told["payload"] = None
    return told


# --- records


def check_record(organization: Organization, number: str, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    problems = _unknown(given, ("dataset", "mapping", "rows", "mode", "remote_id", "stream"))
    dataset = _dataset(organization, given)
    if dataset is None:
        problems.append(("/dataset", "names a dataset of this organization."))
    rows = given.get("rows")
    if rows is not None:
        problem = (
            path_problem(rows)
            if isinstance(rows, str) and 0 < len(rows) <= 500
            else "is a JMESPath expression."
        )
        if problem:
            problems.append(("/rows", problem))
    if given.get("mode", Mode.UPSERT) not in (Mode.UPSERT, Mode.CREATE, Mode.UPDATE):
        problems.append(("/mode", "is upsert, create or update."))
    remote = given.get("remote_id")
    if remote is not None and (not isinstance(remote, str) or not remote or path_problem(remote)):
        problems.append(("/remote_id", "is a JMESPath expression that finds the provider's id in a row."))
    stream = given.get("stream")
    if stream is not None and (not isinstance(stream, str) or not 0 < len(stream) <= 60):
        problems.append(("/stream", "is the name of a stream."))
    if dataset is not None:
        try:
            spec = _spec(organization, dataset, given)
            found = check(spec, dataset.fields) if spec is not None else []
        except InvalidInput as error:
            found = error.errors or [FieldError("", "invalid", error.detail)]
        problems += [(f"/mapping{error.pointer}", error.detail) for error in found]
    return problems


def run_record(arrival: Arrival, given: Mapping[str, Any]) -> dict[str, str]:
    """Write the payload's rows into a dataset: all of them, or none."""
    dataset = _dataset(arrival.organization, given)
    if dataset is None:
        raise InvalidInput(f"There is no dataset “{given.get('dataset')}” any more; change the route.")
    found = search(given["rows"], arrival.payload) if given.get("rows") else arrival.payload
    rows = found if isinstance(found, list) else [found]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise BadPayload("The payload has no rows where the route looks for them.")
    if len(rows) > MAX_ROWS:
        raise BadPayload(f"The payload has {len(rows):,} rows; at most {MAX_ROWS:,} are taken at once.")
    link = None
    if given.get("remote_id"):
        stream = given.get("stream") or dataset.slug
        link = LinkSource(source=arrival.source.number, stream=stream, remote_id=given["remote_id"])
    try:
        result = upsert(
            dataset=dataset,
            rows=rows,
            actor=Actor("integration", arrival.source.number, arrival.source.name),
            mapping=_spec(arrival.organization, dataset, given),
            mode=given.get("mode", Mode.UPSERT),
            link=link,
            stop_on_error=True,
        )
    except UpsertStopped as error:
        raise BadPayload(f"A row was refused, so none was written. {error.detail}") from None
    parts = [
        f"{count:,} {word}"
        for count, word in (
            (result.created, "created"),
            (result.updated, "updated"),
            (result.unchanged, "unchanged"),
        )
        if count
    ]
    return {"ref": result.origin.public_id, "text": f"{dataset.slug}: {', '.join(parts) or 'nothing'}"}


def _dataset(organization: Organization, given: Mapping[str, Any]) -> Dataset | None:
    slug = given.get("dataset")
    if not isinstance(slug, str) or not slug:
        return None
    try:
        return selectors.dataset_of(organization, slug)
    except HubError:
        return None


def _spec(organization: Organization, dataset: Dataset, given: Mapping[str, Any]) -> MappingSpec | None:
    """The mapping: the name of a saved one, a specification, or none (by names). Raises InvalidInput."""
    mapping = given.get("mapping")
    if not mapping:
        return None
    if isinstance(mapping, dict):
        return MappingSpec.from_dict(mapping)
    saved = SavedMapping.objects.filter(organization=organization, dataset=dataset, name=str(mapping)).first()
    if saved is None:
        raise InvalidInput(f"There is no mapping “{str(mapping)[:60]}” for {dataset}.")
    return MappingSpec.from_dict(saved.spec)


def _unknown(given: Mapping[str, Any], known: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (f"/{name}", f"is not known; known are {', '.join(known)}.") for name in given if name not in known
    ]
