"""Numbers such as `INT-2026-00001`: per organization and year, never reused, gap-tolerant."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.tenants.models import NumberSequence, Organization


def assign(*, organization: Organization, prefix: str) -> str:
    """The next number. Call it inside the transaction that creates the numbered row.

    The sequence row stays locked until that transaction ends, so two creators never get one number.
    """
    year = timezone.now().year
    row = {"organization": organization, "prefix": prefix, "year": year}
    with transaction.atomic():
        if not NumberSequence.objects.filter(**row).update(last=F("last") + 1):
            try:
                with transaction.atomic():
                    NumberSequence.objects.create(**row, last=1)
            except IntegrityError:
                NumberSequence.objects.filter(**row).update(last=F("last") + 1)
        last = NumberSequence.objects.values_list("last", flat=True).get(**row)
    return f"{prefix}-{year}-{last:05d}"
