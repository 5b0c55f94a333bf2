"""Django settings, all derived from the Config that `integration_hub.config` reads from the environment.

What another process or person may choose is a variable there; what is the same everywhere is here.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import global_settings as django_settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from integration_hub.admin_settings import UNFOLD as UNFOLD
from integration_hub.api_settings import OAUTH2_PROVIDER as OAUTH2_PROVIDER
from integration_hub.api_settings import REST_FRAMEWORK as REST_FRAMEWORK
from integration_hub.api_settings import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS
from integration_hub.celery_settings import celery_settings
from integration_hub.config import PROJECT, ConfigError, load
from integration_hub.database_settings import database_settings
from integration_hub.logging_settings import logging_settings
from integration_hub.runtime import home
from integration_hub.storage_settings import file_storage

BASE_DIR = PROJECT
try:
    HUB = load(os.environ)
    home.prepare(HUB)
    SECRET_KEY = home.secret_key(HUB)
except ConfigError as error:
    print(error, file=sys.stderr)
    raise SystemExit(2) from None

# --- what the apps read
HUB_ROLE = os.environ.get("HUB_ROLE", "command")  # set by the supervisor: web, worker, scheduler
HUB_EMBEDDED = HUB.embedded
HUB_HOME = HUB.hub_home
HUB_BASE_URL = HUB.hub_base_url
HUB_TRUSTED_PROXIES = HUB.hub_trusted_proxies
OAUTH2_PROVIDER["OIDC_ISS_ENDPOINT"] = HUB_BASE_URL
HUB_OUTBOUND_ALLOW = [str(network) for network in HUB.hub_outbound_allow]
HUB_ALLOW_HTTP = HUB.hub_allow_http
API_KEY_PREFIX, API_KEY_EXPIRY = HUB.api_key_prefix, HUB.api_key_expiry  # days
HUB_USAGE_SECONDS = 3  # between two writes of what API calls add up to; 0 writes none by itself
HUB_IMPORT_MAX_BYTES = HUB.hub_import_max_mb * 2**20
HUB_IMPORT_UNDO_DAYS = HUB.hub_import_undo_days
API_RATE_LIMIT = HUB.api_rate_limit  # per hour; 0 is none
# Where calls are counted; without Redis in the one web process.
LIMITS_REDIS_URL, LIMITS_PREFIX = HUB.redis_url, "hub"
LIMITS_WHEN_DOWN, LIMITS_TIMEOUT = HUB.hub_limits_when_down, HUB.hub_limits_timeout / 1000  # seconds
LIMITS_PROCESSES = HUB.hub_workers
LIMITS_LEGACY_HEADERS = HUB.hub_legacy_limit_headers
CORS_ORIGINS = (*HUB.hub_cors_origins, HUB_BASE_URL)
WEBHOOK_MAX_RETRIES, WEBHOOK_RETRY_DELAY = HUB.webhook_max_retries, HUB.webhook_retry_delay  # ms; or None
WEBHOOK_BACKOFF_FACTOR, WEBHOOK_TIMEOUT = HUB.webhook_backoff_factor, HUB.webhook_timeout  # ms; or None
WEBHOOK_SECRET = HUB.webhook_secret
WEBHOOK_BODY_DAYS, WEBHOOK_ATTEMPT_DAYS = HUB.webhook_body_days, HUB.webhook_attempt_days  # 0: for ever
HUB_METRICS_TOKEN = HUB.hub_metrics_token  # empty: no metrics
BACKUP_S3_BUCKET = HUB.backup_s3_bucket
# Key ring and peppers: the variable's text where it is set, else the embedded mode's file.
HUB_ENCRYPTION_KEYS, HUB_PEPPERS_JSON = HUB.hub_encryption_keys, HUB.hub_peppers
HUB_KEYRING, HUB_PEPPERS = HUB_HOME / "keyring.json", HUB_HOME / "peppers.json"

DEBUG = HUB.debug
ALLOWED_HOSTS = list(HUB.allowed_hosts)
_https = HUB_BASE_URL.startswith("https://")

INSTALLED_APPS = [
    "integration_hub",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.inlines",
    "unfold.contrib.import_export",
    "integration_hub.admin_app.HubAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "import_export",
    "oauth2_provider",
    "django_ratelimit",
    "apps.kernel",
    "apps.tenants",
    "apps.audit",
    "apps.events",
    "apps.records",
    "apps.apikeys",
    "apps.connectors",
    "apps.jobs",
    "apps.webhooks",
    "apps.backups",
    "apps.accounting",
    "apps.esign",
    "apps.health",
]

AUTH_USER_MODEL = "tenants.User"
OAUTH2_PROVIDER_APPLICATION_MODEL = "apikeys.Application"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "apikeys.AccessToken"  # noqa: S105
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "apikeys.RefreshToken"  # noqa: S105
OAUTH2_PROVIDER_ID_TOKEN_MODEL = "apikeys.IDToken"  # noqa: S105
OAUTH2_PROVIDER_GRANT_MODEL = "apikeys.Grant"
OAUTH2_PROVIDER_DEVICE_GRANT_MODEL = "apikeys.DeviceGrant"

MIDDLEWARE = [
    "apps.kernel.api.middleware.RequestIdMiddleware",
    "apps.apikeys.cors.Cors",
    "apps.apikeys.middleware.UsageMiddleware",
    "integration_hub.middleware.SecurityHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "integration_hub.page_middleware.PageSession",
    "django.middleware.common.CommonMiddleware",
    "integration_hub.page_middleware.PageCsrf",
    "integration_hub.page_middleware.PageUser",
    "integration_hub.page_middleware.PageMessages",
    "integration_hub.page_middleware.PageOrganization",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "apps.apikeys.public_limits.PublicLimits",
]

ROOT_URLCONF = "integration_hub.urls"
WSGI_APPLICATION = "integration_hub.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- rows, cache, files, mail
DATABASES = {"default": database_settings(HUB, HUB_ROLE)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": HUB.redis_url,
        "KEY_PREFIX": "hub",
        # Tried once more at most: the client's own patience would keep every caller waiting for seconds.
        "OPTIONS": {
            "socket_connect_timeout": 1,
            "socket_timeout": 2,
            "health_check_interval": 30,
            "retry": Retry(NoBackoff(), 1),
        },
    }
    if HUB.redis_url
    else {
        "BACKEND": "integration_hub.runtime.sqlite_cache.SQLiteCache",
        "LOCATION": str(HUB_HOME / "cache.sqlite3"),
        "KEY_PREFIX": "hub",
    }
}

# What is counted by address (django-ratelimit): in the same place, with less patience.
CACHES["limits"] = dict(CACHES["default"])
if HUB.redis_url:
    _patience = {"socket_connect_timeout": LIMITS_TIMEOUT, "socket_timeout": LIMITS_TIMEOUT}
    CACHES["limits"]["OPTIONS"] = {**_patience, "retry": Retry(NoBackoff(), 0)}
RATELIMIT_USE_CACHE = "limits"

STORAGES: dict[str, dict[str, Any]] = {
    "default": file_storage(HUB.storage_url),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# An image has them collected into this folder; elsewhere they are served from where the packages keep them.
_collected = BASE_DIR / "staticfiles"
STATIC_ROOT = _collected if _collected.is_dir() else None
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
WHITENOISE_MAX_AGE = 600

_mail = HUB.email_url
EMAIL_BACKEND = {
    "smtp": "django.core.mail.backends.smtp.EmailBackend",
    "console": "django.core.mail.backends.console.EmailBackend",
    "file": "django.core.mail.backends.filebased.EmailBackend",
}[_mail.kind]
EMAIL_FILE_PATH = _mail.folder
EMAIL_HOST, EMAIL_PORT = _mail.host or "localhost", _mail.port or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.starttls, _mail.tls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = _mail.sender
EMAIL_SUBJECT_PREFIX = "[Integration Hub] "

# --- who may come in, and what a browser may do
PASSWORD_HASHERS = [
    *django_settings.PASSWORD_HASHERS,
    "apps.apikeys.hashers.KeyedHasher",  # of OAuth2 client secrets, never of passwords
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
SESSION_COOKIE_NAME = "hub_session"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_NAME = "hub_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = _https
CSRF_TRUSTED_ORIGINS = [HUB_BASE_URL]
SECURE_SSL_REDIRECT = False  # health probes speak http inside; the proxy redirects
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HUB_TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False
SECURE_HSTS_PRELOAD = False
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Deliberate: the redirect and the HSTS reach of sub-domains are the proxy's business; django-ratelimit
# doubts Django's Redis cache and ours, whose increments are atomic; native applications come back to
# http://127.0.0.1 (RFC 8252); CSRF is checked by a subclass, which lets pass only what serves no session.
SILENCED_SYSTEM_CHECKS = [
    "security.W003",
    "security.W004",
    "security.W005",
    "security.W008",
    "security.W021",
    "django_ratelimit.W001",
    "oauth2_provider.W008",
]
DEFAULT_EXCEPTION_REPORTER = "apps.kernel.redaction.HubExceptionReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "apps.kernel.redaction.HubExceptionReporterFilter"

LANGUAGE_CODE = "en"
TIME_ZONE = HUB.time_zone
USE_TZ = True
USE_I18N = True

LOGGING = logging_settings(HUB)

globals().update(celery_settings(HUB))
