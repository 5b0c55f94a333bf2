"""What is collected here depends on the services that the run is given."""

from __future__ import annotations

import os

# A hub of several machines is a test of a run on PostgreSQL and Redis, and no test at all of another.
_distributed = os.environ.get("TEST_DATABASE_URL", "").startswith("postgres") and os.environ.get(
    "TEST_REDIS_URL"
)
collect_ignore = [] if _distributed else ["test_distributed.py"]
