"""The store of answers to calls with an Idempotency-Key (the kernel's `Store`)."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.apikeys.models import IdempotencyRecord
from apps.kernel.api.idempotency import HOURS, Answer, Call, InFlight, OtherBody
from apps.kernel.crypto.fields import sealed


class DatabaseStore:
    """One row per call. The unique constraint decides who was first, the token who may store the answer."""

    def begin(self, call: Call, *, lease: int) -> Answer | uuid.UUID:
        """See the Protocol. A record that has expired, or whose lease has, is taken over."""
        now = timezone.now()
        token = uuid.uuid4()
        name = hashlib.sha256(
            "\0".join([call.caller, call.method, call.path, call.key]).encode("utf-8", "surrogateescape")
        ).hexdigest()
        fresh = {
            "fingerprint": call.fingerprint,
            "token": token,
            "created_at": now,
            "locked_until": now + timedelta(seconds=lease),
            "expires_at": now + timedelta(hours=HOURS),
            "status_code": None,
            "headers": {},
        }
        mine = IdempotencyRecord.objects.filter(organization_id=call.organization_id, call=name)
        record = mine.first()
        if record is None:
            try:
                with transaction.atomic():
                    IdempotencyRecord.objects.create(
                        organization_id=call.organization_id, call=name, body=None, **fresh
                    )
            except IntegrityError:
                record = mine.first()
            else:
                return token
        if record is None:  # released between the two looks
            return self.begin(call, lease=lease)
        if record.expires_at > now:
            if record.fingerprint != call.fingerprint:
                raise OtherBody(
                    "This Idempotency-Key was used here with another body. Take a new key for a new call."
                )
            if record.status_code is not None:
                return Answer(record.status_code, (record.body or "").encode(), dict(record.headers))
            if record.locked_until > now:
                raise InFlight("The call with this Idempotency-Key is still running. Ask again in a moment.")
        abandoned = Q(expires_at__lte=now) | Q(status_code=None, locked_until__lte=now)
        if mine.filter(abandoned, token=record.token).update(body=None, **fresh):
            return token
        raise InFlight("The call with this Idempotency-Key is still running. Ask again in a moment.")

    def finish(self, token: uuid.UUID, answer: Answer) -> None:
        record = IdempotencyRecord.objects.filter(token=token).first()
        if record is not None:
            IdempotencyRecord.objects.filter(pk=record.pk, token=token).update(
                status_code=answer.status,
                **sealed(record, body=answer.body.decode(), headers=dict(answer.headers)),
            )

    def release(self, token: uuid.UUID) -> None:
        IdempotencyRecord.objects.filter(token=token, status_code=None).delete()


def forget_expired(*, batch: int = 5000) -> int:
    """Delete answers that are older than a day; returns how many."""
    total = 0
    while True:
        old = list(
            IdempotencyRecord.objects.filter(expires_at__lte=timezone.now()).values_list("pk", flat=True)[
                :batch
            ]
        )
        if not old:
            return total
        total += IdempotencyRecord.objects.filter(pk__in=old).delete()[0]
