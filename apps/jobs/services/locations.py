"""Naming places where files lie, and trying them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.jobs.models import FileLocation
from apps.jobs.places import Target, checked_path, open_place
from apps.jobs.schedule_statuses import LocationKind
from apps.kernel.errors import Conflict, FieldError, HubError, InvalidInput
from apps.kernel.outbound import OutboundBlocked, check_spelled, default_policy
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

PLAIN = (
    "name", "description", "kind", "host", "port", "host_key", "endpoint_url", "region", "bucket", "base_url",
    "folder", "username",
)  # fmt: skip
SECRETS = ("secret", "private_key", "passphrase")
# What a secret was entered for: sent nowhere else than where it was meant for.
_ADDRESS = ("kind", "host", "port", "endpoint_url", "bucket", "base_url")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HOST = re.compile(r"[A-Za-z0-9:.\-\[\]_]+")


def target_of(location: FileLocation) -> Target:
    """The place as the adapters take it."""
    return Target(
        kind=location.kind,
        host=location.host,
        port=location.port,
        host_key=location.host_key,
        endpoint_url=location.endpoint_url,
        region=location.region,
        bucket=location.bucket,
        base_url=location.base_url,
        folder=location.folder,
        username=location.username,
        secrets=dict(location.secrets()),
        allow_http=location.organization.allow_http or None,
    )


def create(*, organization: Organization, actor: Actor, **values: Any) -> FileLocation:
    """Name a place; `values` are PLAIN and SECRETS. Raises InvalidInput with a pointer per field."""
    location = FileLocation(organization=organization, created_by=actor.label[:200])
    _assign(location, values)
    _refuse(location)
    with _unique(location), transaction.atomic():
        location.save(force_insert=True)
        entries.record(
            organization=organization,
            actor=actor,
            action="file_location.created",
            target=location,
            changes={"kind": ["", location.kind], "address": ["", location.shown_address]},
        )
    return location


def update(*, location: FileLocation, actor: Actor, **values: Any) -> FileLocation:
    """Change a place. An empty or absent secret stays, unless the place leads elsewhere now: then it goes.

    Raises InvalidInput with a pointer per field.
    """
    before = {name: getattr(location, name) for name in PLAIN}
    held = dict(location.secrets())
    _assign(location, values)
    moved = any(getattr(location, name) != before[name] for name in _ADDRESS)
    if moved and location.secrets() == held and any(held.values()):
        detail = "The address was changed: enter the secret for it again."
        raise InvalidInput(detail, errors=[FieldError("/secret", "required", detail)])
    _refuse(location)
    changes: dict[str, Any] = {
        name: [before[name], getattr(location, name)]
        for name in PLAIN
        if getattr(location, name) != before[name]
    }
    if location.secrets() != held:
        changes["credentials"] = ["(hidden)", "(changed)"]
    if not changes:
        return location
    if set(changes) - {"name", "description"}:
        location.tested_at, location.test_passed, location.test_result = None, None, ""
    with _unique(location), transaction.atomic():
        location.save()
        entries.record(
            organization=location.organization,
            actor=actor,
            action="file_location.updated",
            target=location,
            changes=changes,
        )
    return location


def delete(*, location: FileLocation, actor: Actor) -> None:
    """Forget a place. Raises Conflict that names the schedules which use it."""
    using = sorted(
        {
            *location.schedules.values_list("number", flat=True),
            *location.destinations.values_list("schedule__number", flat=True),
        }
    )
    if using:
        raise Conflict(f"“{location}” is used by {', '.join(using[:10])}: change or delete these first.")
    with transaction.atomic():
        entries.record(
            organization=location.organization, actor=actor, action="file_location.deleted", target=location
        )
        location.delete()


def test(*, location: FileLocation, actor: Actor) -> tuple[bool, str]:
    """Try to get in and look around: whether that went well, and a plain reason.

    It calls the place, so call it outside of transactions.
    """
    try:
        with open_place(target_of(location)) as place:
            passed, said = True, place.test()
    except HubError as error:
        passed, said = False, error.detail
    with transaction.atomic():
        location.tested_at, location.test_passed, location.test_result = timezone.now(), passed, said[:500]
        location.save(update_fields=["tested_at", "test_passed", "test_result", "updated_at"])
        entries.record(
            organization=location.organization,
            actor=actor,
            action="file_location.tested",
            target=location,
            changes={"passed": [None, passed]},
        )
    return passed, said


def _assign(location: FileLocation, values: Mapping[str, Any]) -> None:
    for name in PLAIN:
        if name in values:
            value = values[name]
            setattr(location, name, value.strip() if isinstance(value, str) else value)
    given = {name: values[name] for name in SECRETS if values.get(name)}
    if given:
        location.credentials = {**location.secrets(), **given}


class _unique:
    """A name that is taken is an error of the field."""

    def __init__(self, location: FileLocation) -> None:
        self._name = location.name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, IntegrityError):
            detail = f"There is a place called “{self._name}” already."
            raise InvalidInput(detail, errors=[FieldError("/name", "unique", detail)]) from None


def _refuse(location: FileLocation) -> None:
    found = list(_problems(location))
    if found:
        raise InvalidInput(found[0].detail, errors=found)


def _problems(location: FileLocation) -> list[FieldError]:
    found: list[FieldError] = []

    def wrong(field: str, detail: str, code: str = "invalid") -> None:
        found.append(FieldError(f"/{field}", code, detail))

    if not location.name:
        wrong("name", "Give the place a name.", "required")
    if location.kind not in LocationKind.values:
        wrong("kind", f"The kind is one of {', '.join(LocationKind.values)}.")
        return found
    try:
        # A folder of an SFTP server may begin at its root.
        root = "/" if location.kind == LocationKind.SFTP and location.folder.startswith("/") else ""
        location.folder = root + checked_path(location.folder, what="folder")
    except ValueError as error:
        wrong("folder", str(error))
    if location.kind == LocationKind.SFTP:
        _sftp(location, wrong)
    elif location.kind == LocationKind.S3:
        if not _BUCKET.fullmatch(location.bucket):
            wrong("bucket", "A bucket's name has 3 to 63 small letters, digits, dots and hyphens.")
        if location.endpoint_url:
            _address(location, location.endpoint_url, "endpoint_url", wrong)
        if location.username and not location.has_secret("secret"):
            wrong("secret", "Enter the secret access key.", "required")
        if location.region and not re.fullmatch(r"[a-z0-9-]+", location.region):
            wrong("region", "A region reads like eu-central-1.")
    else:
        if not location.base_url:
            wrong("base_url", "Enter the address that the files' addresses begin with.", "required")
        else:
            _address(location, location.base_url, "base_url", wrong)
    return found


def _sftp(location: FileLocation, wrong: Any) -> None:
    if not location.host or not _HOST.fullmatch(location.host):
        wrong("host", "Enter the server's name, such as sftp.example.com.", "required")
    elif location.port < 1 or location.port > 65535:
        wrong("port", "A port is between 1 and 65535.")
    else:
        _address(location, f"https://{location.host}:{location.port}/", "host", wrong)
    if not location.username:
        wrong("username", "Enter the user name.", "required")
    if not (location.has_secret("secret") or location.has_secret("private_key")):
        wrong("secret", "Enter a password or a private key.", "required")


def _address(location: FileLocation, url: str, field: str, wrong: Any) -> None:
    try:
        check_spelled(url, default_policy(), allow_http=location.organization.allow_http or None)
    except OutboundBlocked as error:
        wrong(field, error.detail, error.code)
