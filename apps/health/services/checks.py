"""Asking the probes and keeping what they found."""

from __future__ import annotations

import logging
from datetime import datetime

from django.utils import timezone

from apps.health.models import HealthCheck
from apps.kernel.probes import Finding, Probe, Verdict, probes
from apps.kernel.redaction import redact_text

log = logging.getLogger(__name__)

WORSE_AFTER = 2
BETTER_AFTER = 2


def ask(probe: Probe) -> Finding:
    """The probe's finding; a probe that breaks is itself a failure."""
    try:
        return probe.ask()
    except Exception as error:
        log.warning("Probe %s broke: %s", probe.name, redact_text(str(error)))
        return Finding(Verdict.FAIL, f"The check itself broke: {redact_text(str(error))[:300]}")


def settle(check: HealthCheck, finding: Finding, now: datetime) -> None:
    """Take a finding in: the status moves after two equal findings in a row, so that a blip stays a blip."""
    verdict = finding.verdict.value
    check.detail = finding.detail[:500]
    check.observed = finding.observed
    check.unit = finding.unit
    check.checked_at = now
    if check.status == verdict:
        check.pending, check.consecutive = "", 0
        return
    check.consecutive = check.consecutive + 1 if check.pending == verdict else 1
    check.pending = verdict
    needed = BETTER_AFTER if verdict == Verdict.PASS else WORSE_AFTER
    if check.status == HealthCheck.Status.UNKNOWN or check.consecutive >= needed:
        check.status, check.since = verdict, now
        check.pending, check.consecutive = "", 0


def run_all() -> int:
    """Ask every probe once and keep the findings; returns how many do not pass."""
    known = {check.name: check for check in HealthCheck.objects.all()}
    now = timezone.now()
    troubled = 0
    for probe in probes:
        finding = ask(probe)
        check = known.pop(probe.name, None) or HealthCheck(name=probe.name, since=now)
        check.title = probe.title
        settle(check, finding, now)
        check.save()
        troubled += check.status != HealthCheck.Status.PASS
    HealthCheck.objects.filter(pk__in=[check.pk for check in known.values()]).delete()
    return troubled
