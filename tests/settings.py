"""The hub's own settings, as the tests run them.

Without any environment: embedded mode in a folder of its own, thrown away at the end. With TEST_DATABASE_URL
(and TEST_REDIS_URL): distributed mode on those. Never the hub that the same machine may be running.
"""

from __future__ import annotations

import atexit
import base64
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from integration_hub.config_table import VARIABLES

_home = Path(tempfile.mkdtemp(prefix="hub-tests-"))
_owner = os.getpid()


def _remove_home() -> None:
    if os.getpid() == _owner:  # a forked child of a test leaves it alone
        shutil.rmtree(_home, ignore_errors=True)


atexit.register(_remove_home)


def _keys() -> str:
    return f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"


for _variable in VARIABLES:
    os.environ.pop(_variable.name, None)


def _own_redis(url: str) -> str:
    """Each worker of pytest-xdist takes a database number of its own, from that of `url` on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    parts = urlsplit(url)
    return parts._replace(path=f"/{int(parts.path.strip('/') or 0) + worker}").geturl()


os.environ["HUB_HOME"] = str(_home)
os.environ["ALLOWED_HOSTS"] = "127.0.0.1,localhost,testserver"
if os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
    os.environ["REDIS_URL"] = _own_redis(os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/9")
    os.environ["SECRET_KEY"] = secrets.token_urlsafe(64)
    os.environ["HUB_ENCRYPTION_KEYS"] = _keys()
    os.environ["HUB_PEPPERS"] = _keys()

from integration_hub.settings import *  # noqa: E402, F403
from integration_hub.settings import (  # noqa: E402
    DATABASES,
    INSTALLED_APPS,
    MIDDLEWARE,
    PASSWORD_HASHERS,
)

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in life: an in-memory database is shared between threads by other rules.
    DATABASES["default"]["TEST"] = {"NAME": str(_home / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"
# Finding every static file anew for every test client costs more than the tests.
MIDDLEWARE = [name for name in MIDDLEWARE if "whitenoise" not in name]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *PASSWORD_HASHERS]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
HUB_USAGE_SECONDS = 0  # no thread writes into a test's database; tests call flush()
CELERY_BROKER_URL = "memory://"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {}
# A busy machine is no outage.
LIMITS_TIMEOUT = 3.0
# Tables for the kernel's abstract models, which has none of its own.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.kernel.sample"]
