"""The hub's own settings, with the peer's table and the benchmark's addresses beside them."""

from integration_hub.settings import *  # noqa: F403
from integration_hub.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "rest_framework_api_key"]
ROOT_URLCONF = "benchmarks.access_urls"
ALLOWED_HOSTS = ["*"]
# What `startproject` writes: the peers run behind this, the hub behind all of its own.
PLAIN_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
