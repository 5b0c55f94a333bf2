"""The states of inbound webhooks and merchant transactions, and the ways between them."""

from __future__ import annotations

from django.db import models

from apps.kernel.states import transitions


class InboundStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    PROCESSING = "processing", "Processing"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    IGNORED = "ignored", "Ignored"


_I = InboundStatus
# Work itself moves under leases: pending → processing → completed, failed, ignored, or pending again.
BY_HAND = transitions({_I.COMPLETED: [_I.PENDING], _I.FAILED: [_I.PENDING], _I.IGNORED: [_I.PENDING]})
DONE = (InboundStatus.COMPLETED, InboundStatus.FAILED, InboundStatus.IGNORED)


class TransactionStatus(models.TextChoices):
    CREATED = "created", "Waiting for the payment"
    PERFORMED = "performed", "Paid"
    CANCELLED = "cancelled", "Cancelled before payment"
    REFUNDED = "refunded", "Cancelled after payment"


_T = TransactionStatus
TRANSACTION_TRANSITIONS = transitions({_T.CREATED: [_T.PERFORMED, _T.CANCELLED], _T.PERFORMED: [_T.REFUNDED]})
