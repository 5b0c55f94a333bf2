"""What makes an integration's settings right. Every finding has a pointer into the caller's input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.connectors.engine import settings
from apps.connectors.engine.errors import EngineError
from apps.connectors.engine.manifest import Manifest, Stream
from apps.connectors.models import Integration
from apps.connectors.services import connections, schedules
from apps.connectors.statuses import Direction, Environment, SyncMode
from apps.kernel import outbound
from apps.kernel.errors import FieldError, HubError
from apps.kernel.redaction import is_secret_name
from apps.records import selectors as records
from apps.records.mapping import MappingSpec, check
from apps.records.models import Dataset
from apps.records.models import Mapping as SavedMapping

MAX_INTERVAL = 60 * 24 * 31


@dataclass(frozen=True)
class StreamSettings:
    """How one stream of an integration is used. `mapping` is a saved mapping's public id, or empty."""

    name: str
    dataset: str = ""
    mapping: str = ""
    enabled: bool = True
    mode: str = SyncMode.INCREMENTAL
    delete_missing: bool = False
    delete_limit_percent: int = 20


def sync_errors(row: Integration, manifest: Manifest) -> Iterator[FieldError]:
    """Contradictions in the sync settings."""
    if row.auto_sync and row.sync_direction == Direction.NONE:
        yield FieldError(
            "/auto_sync",
            "contradiction",
            "Automatic sync is on, but the direction is “none”: choose a direction, or turn it off.",
        )
    if row.auto_sync and not row.sync_enabled:
        yield FieldError(
            "/auto_sync",
            "contradiction",
            "Automatic sync is on, but syncing is turned off for this integration.",
        )
    if row.auto_sync and not (row.sync_interval_minutes or row.sync_crontab):
        yield FieldError(
            "/sync_interval_minutes", "required", "Automatic sync needs an interval in minutes or a crontab."
        )
    if row.sync_interval_minutes and row.sync_crontab:
        yield FieldError("/sync_crontab", "contradiction", "Give an interval or a crontab, not both.")
    if row.sync_interval_minutes > MAX_INTERVAL:
        yield FieldError("/sync_interval_minutes", "maximum", f"At most {MAX_INTERVAL:,} minutes (31 days).")
    if row.sync_crontab:
        try:
            schedules.parse(row.sync_crontab)
        except ValueError as error:
            yield FieldError("/sync_crontab", "invalid", str(error))
    if row.sync_direction in (Direction.OUTBOUND, Direction.BIDIRECTIONAL):
        yield FieldError(
            "/sync_direction",
            "unsupported",
            f"{manifest.title} can only be read: choose “inbound” or “none”.",
        )
    on_change = (row.sync_on_create, row.sync_on_update, row.sync_on_delete)
    if any(on_change) and row.sync_direction in (Direction.INBOUND, Direction.NONE):
        yield FieldError(
            "/sync_direction",
            "contradiction",
            "Changes here can only be sent on when the direction leads to the provider.",
        )


def settings_errors(row: Integration, manifest: Manifest) -> Iterator[FieldError]:
    """What is wrong with the connection's settings: authentication, environment, config, address."""
    if manifest.auth_mode(row.auth_mode) is None:
        offered = ", ".join(mode.mode for mode in manifest.auth)
        yield FieldError("/auth_mode", "invalid", f"{manifest.title} offers: {offered}.")
        return
    if row.environment not in Environment.values or row.environment not in manifest.base_urls:
        yield FieldError("/environment", "invalid", f"{manifest.title} has: {', '.join(manifest.base_urls)}.")
        return
    problems = settings.problems_of(manifest, row.config)
    for problem in problems:
        yield FieldError(f"/config{problem.pointer}", problem.code, f"{problem.place}: {problem.message}")
    if problems:
        return
    found = list(_secrets_in(row))
    yield from found
    if found:
        return
    try:
        url = connections.resolve(row).base_url
        allow_http = True if row.organization.allow_http else None
        outbound.check_spelled(url, outbound.default_policy(), allow_http=allow_http)
    except EngineError as error:
        yield FieldError("/config", "invalid", error.message)
    except HubError as error:
        yield FieldError("/config/base_url", error.code, error.detail)


def _secrets_in(row: Integration) -> Iterator[FieldError]:
    """Credentials where they would be stored in clear."""
    places: list[tuple[str, Any]] = [
        ("/metadata", row.metadata),
        ("/config/custom_settings", row.config.get("custom_settings")),
    ]
    for n, stream in enumerate(row.config.get("streams") or ()):
        for part in ("headers", "query"):
            places.append((f"/config/streams/{n}/request/{part}", stream["request"].get(part)))
    for pointer, values in places:
        for name in values if isinstance(values, Mapping) else ():
            if is_secret_name(str(name)):
                yield FieldError(
                    f"{pointer}/{name}",
                    "secret",
                    f"“{name}” looks like a credential, and settings are not encrypted: choose an "
                    "authentication and enter it there.",
                )


def credential_errors(manifest: Manifest, mode: str, given: Mapping[str, Any]) -> Iterator[FieldError]:
    """Credentials that the authentication does not know, or that are not text."""
    auth = manifest.auth_mode(mode)
    known = {credential.name for credential in auth.credentials} if auth else set()
    for name, value in given.items():
        pointer = f"/credentials/{name}"
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            yield FieldError(
                pointer, "unknown", f"There is no credential “{name[:60]}” here. There are: {names}."
            )
        elif value is not None and not isinstance(value, str):
            yield FieldError(pointer, "type", "A credential is text.")
        elif value and len(value) > 20_000:
            yield FieldError(pointer, "max_length", "A credential has at most 20,000 characters.")


def dataset_or_none(row: Integration, slug: str) -> Dataset | None:
    try:
        return records.dataset_of(row.organization, slug)
    except HubError:
        return None


def mapping_or_none(row: Integration, ref: str) -> SavedMapping | None:
    pk = SavedMapping.parse_public_id(ref)
    if pk is None:
        return None
    return SavedMapping.objects.filter(organization_id=row.organization_id, pk=pk).first()


def stream_errors(
    row: Integration, known: Mapping[str, Stream], given: Sequence[StreamSettings] | None
) -> Iterator[FieldError]:
    """Streams that do not exist, datasets that do not exist, mappings that do not fit."""
    own = {item["name"]: n for n, item in enumerate(row.config.get("streams") or ())}
    for name, stream in known.items():
        if name not in own or not (stream.dataset or stream.mapping):
            continue
        pointer = f"/config/streams/{own[name]}"
        dataset = dataset_or_none(row, stream.dataset) if stream.dataset else None
        if dataset is None:
            yield FieldError(f"{pointer}/dataset", "invalid", f"There is no dataset “{stream.dataset}”.")
        elif stream.mapping:
            yield from _misfits(stream.mapping, dataset, f"{pointer}/mapping")
    for n, item in enumerate(given or ()):
        pointer = f"/streams/{n}"
        if item.name not in known:
            names = ", ".join(known) or "none"
            yield FieldError(
                f"{pointer}/name", "invalid", f"There is no stream “{item.name}”. There are: {names}."
            )
            continue
        dataset = dataset_or_none(row, item.dataset or known[item.name].dataset)
        if dataset is None:
            yield FieldError(f"{pointer}/dataset", "invalid", f"There is no dataset “{item.dataset}”.")
        if item.mapping:
            saved = mapping_or_none(row, item.mapping)
            if saved is None:
                yield FieldError(f"{pointer}/mapping", "invalid", f"There is no mapping “{item.mapping}”.")
            elif dataset is not None and saved.dataset_id != dataset.pk:
                yield FieldError(
                    f"{pointer}/mapping", "invalid", f"The mapping “{saved.name}” is for another dataset."
                )
        if item.mode == SyncMode.INCREMENTAL and item.delete_missing and known[item.name].incremental:
            yield FieldError(
                f"{pointer}/delete_missing",
                "contradiction",
                "What is missing is known only after reading everything: choose the mode “full”.",
            )


def _misfits(spec: Mapping[str, Any], dataset: Dataset, pointer: str) -> Iterator[FieldError]:
    try:
        found = check(MappingSpec.from_dict(spec), dataset.fields)
    except HubError as error:
        found = getattr(error, "errors", None) or [FieldError("", error.code, error.detail)]
    for problem in found:
        yield FieldError(f"{pointer}{problem.pointer}", problem.code, problem.detail)
