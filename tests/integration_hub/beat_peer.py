"""A scheduler with short waits and one entry of its own, for the test with two of them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from integration_hub import celery, schedule

if __name__ == "__main__":
    celery.app.loader.import_default_modules()

    from integration_hub.runtime import beat

    beat.LEASE, beat.RENEW, beat.WAIT = 2.0, 0.5, 0.2
    schedule.ENTRIES[:] = [schedule.Entry("Test ring", "tests.ring", "default", seconds=1)]
    celery.app.start(["beat", "--pidfile="])
