"""Configuration: defaults, derived values, and one sentence for everything that is wrong."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from integration_hub.config import Config, ConfigError, load
from integration_hub.config_table import VARIABLES, markdown

PROJECT = Path(__file__).resolve().parents[2]
KEYS = f"k2:{base64.b64encode(bytes(32)).decode()},k1:{base64.b64encode(bytes(32)).decode()}"
SECRET = "q8Rk2_vTzXw4LmN7pYbC1dEfGhJ3sA5uV6xZ9-0oIiKtPqWrQy"
DISTRIBUTED = {
    "DATABASE_URL": "postgresql://hub:p%40ss@db.internal:5433/hub?sslmode=require",
    "REDIS_URL": "redis://cache.internal:6379/2",
    "SECRET_KEY": SECRET,
    "HUB_ENCRYPTION_KEYS": KEYS,
    "HUB_PEPPERS": KEYS,
    "HUB_BASE_URL": "https://hub.example.com",
}


def refusal(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(environ)
    return caught.value.sentences


def test_without_any_variable_the_hub_is_embedded_and_keeps_all_under_var() -> None:
    config = load({})
    assert config.embedded
    assert config.hub_home == PROJECT / "var"
    assert config.database_url.name == str(PROJECT / "var" / "hub.sqlite3")
    assert config.storage_url.folder == PROJECT / "var" / "files"
    assert (config.hub_base_url, config.hub_port) == ("http://127.0.0.1:8000", 8000)
    assert config.allowed_hosts == ("127.0.0.1", "localhost", "[::1]")
    assert (config.redis_url, config.celery_broker_url) == ("", "")
    assert (config.webhook_max_retries, config.api_rate_limit) == (None, 1_000_000)


def test_a_postgresql_address_makes_it_distributed() -> None:
    config = load(DISTRIBUTED)
    database = config.database_url
    assert config.mode == "distributed"
    assert (database.user, database.password, database.host) == ("hub", "p@ss", "db.internal")
    assert (database.port, database.name, database.options) == ("5433", "hub", (("sslmode", "require"),))
    assert config.celery_broker_url == config.redis_url == "redis://cache.internal:6379/2"
    assert config.allowed_hosts == ("hub.example.com",)
    assert (config.hub_workers, config.hub_worker_concurrency) == (2, 4)


def test_an_empty_variable_counts_as_absent() -> None:
    assert load({variable.name: " " for variable in VARIABLES}) == load({})


def test_secrets_do_not_show_in_the_configurations_repr() -> None:
    shown = repr(
        load(
            DISTRIBUTED
            | {
                "CELERY_BROKER_URL": "amqp://u:brokerpass@mq//",
                "EMAIL_URL": "smtp://u:mailpass@mail:587",
                "STORAGE_URL": "s3://id:storepass@bucket",
                "WEBHOOK_SECRET": "whsec_hookpass",
            }
        )
    )
    for secret in ("p@ss", "p%40ss", SECRET, "brokerpass", "mailpass", "storepass", "hookpass", "AAAAAAAA"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("HUB_PORT", "eighty", "HUB_PORT must be a whole number, not 'eighty'."),
        ("HUB_PORT", "70000", "HUB_PORT must be between 0 and 65535, not 70000."),
        ("DEBUG", "maybe", "DEBUG must be true or false, not 'maybe'."),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not 'LOUD'."),
        ("TIME_ZONE", "Mars", "TIME_ZONE must be a time zone such as Europe/Berlin or UTC, not 'Mars'."),
        ("TIME_ZONE", "../etc", "TIME_ZONE must be a time zone such as Europe/Berlin or UTC, not '../etc'."),
        (
            "HUB_OUTBOUND_ALLOW",
            "10.0.0.0/8,10.1.1.1/8",
            "HUB_OUTBOUND_ALLOW must list networks such as 10.0.0.0/8 or fd00::/8, separated by commas; "
            "'10.1.1.1/8' is none.",
        ),
        (
            "DATABASE_URL",
            "mysql://u:hush@h/d",
            "DATABASE_URL must be an address such as postgresql://user:password@host:5432/name or "
            "sqlite:///path/to/file.",
        ),
        (
            "DATABASE_URL",
            "postgresql://u:hush@h:port/d",
            "DATABASE_URL must be an address such as postgresql://user:password@host:5432/name or "
            "sqlite:///path/to/file.",
        ),
        ("REDIS_URL", "redis:///0", "REDIS_URL must name a host, as in redis://127.0.0.1:6379/0."),
        ("STORAGE_URL", "s3://Up_Per", "STORAGE_URL must be the name of an S3 bucket, not 'up_per'."),
        (
            "STORAGE_URL",
            "s3://bucket?zone=1",
            "STORAGE_URL has the unknown option 'zone'; known are endpoint_url and region.",
        ),
        (
            "HUB_BASE_URL",
            "https://h.example/hub",
            "HUB_BASE_URL must be only a scheme, a host and a port, such as https://hub.example.com.",
        ),
        (
            "HUB_ENCRYPTION_KEYS",
            "k1:c2h1c2g=",
            "HUB_ENCRYPTION_KEYS holds the key 'k1' of 5 bytes; a key has 32.",
        ),
        (
            "HUB_PEPPERS",
            "hush",
            "HUB_PEPPERS must look like k2:<base64 of 32 bytes>,k1:<base64 of 32 bytes>.",
        ),
        ("HUB_PEPPERS", KEYS + "," + KEYS, "HUB_PEPPERS names the key 'k2' twice."),
        ("SECRET_KEY", "django-insecure-" + "x" * 60, "SECRET_KEY is a well-known placeholder: "),
        ("SECRET_KEY", "short", "SECRET_KEY has 5 characters and needs at least 50: "),
        ("API_KEY_PREFIX", "SK!", "API_KEY_PREFIX must be one to ten small letters or digits, "),
        ("WEBHOOK_BACKOFF_FACTOR", "nan", "WEBHOOK_BACKOFF_FACTOR must be between 1 and 100, not nan."),
    ],
)
def test_a_wrong_value_is_one_sentence(name: str, text: str, sentence: str) -> None:
    sentences = refusal(**{name: text})
    assert len(sentences) == 1
    assert sentences[0].startswith(sentence)
    assert "hush" not in sentences[0]


def test_every_wrong_value_is_told_at_once() -> None:
    assert len(refusal(HUB_PORT="x", DEBUG="x", LOG_FORMAT="x")) == 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"DEBUG": "true"}, "DEBUG must be off"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is required"),
        ({"SECRET_KEY": "a" * 60}, "SECRET_KEY is not random"),
        ({"HUB_ENCRYPTION_KEYS": ""}, "HUB_ENCRYPTION_KEYS is required"),
        ({"HUB_PEPPERS": ""}, "HUB_PEPPERS is required"),
        ({"ALLOWED_HOSTS": "hub.example.com,*"}, "ALLOWED_HOSTS must list host names"),
        ({"REDIS_URL": ""}, "REDIS_URL or CELERY_BROKER_URL is required"),
    ],
)
def test_distributed_mode_refuses_what_is_unsafe(change: dict[str, str], word: str) -> None:
    sentences = refusal(**(DISTRIBUTED | change))
    assert len(sentences) == 1
    assert sentences[0].startswith(word)


def test_rabbitmq_alone_is_enough_for_the_queue() -> None:
    config = load(DISTRIBUTED | {"REDIS_URL": "", "CELERY_BROKER_URL": "amqp://u:p@mq:5672//"})
    assert (config.redis_url, config.celery_broker_url) == ("", "amqp://u:p@mq:5672//")


def test_addresses_of_services_are_taken_apart() -> None:
    config: Config = load(
        {
            "STORAGE_URL": "s3://files/hub/a?endpoint_url=http://127.0.0.1:9000&region=eu-1",
            "EMAIL_URL": "smtp://user:p%3Aw@mail.example.com:587?from=hub@example.com",
            "DATABASE_URL": "sqlite:////srv/hub/db.sqlite3",
            "API_KEY_PREFIX": "acme",
            "HUB_HOST": "0.0.0.0",
            "HUB_PORT": "9000",
        }
    )
    store, mail = config.storage_url, config.email_url
    assert (store.bucket, store.prefix, store.region) == ("files", "hub/a", "eu-1")
    assert store.endpoint_url == "http://127.0.0.1:9000"
    assert (mail.host, mail.port, mail.password, mail.starttls) == ("mail.example.com", 587, "p:w", True)
    assert mail.sender == "hub@example.com"
    assert config.database_url.name == "/srv/hub/db.sqlite3"
    assert config.api_key_prefix == "acme_"
    assert config.hub_base_url == "http://127.0.0.1:9000"


def test_the_document_of_the_variables_is_current() -> None:
    assert (PROJECT / "docs" / "configuration.md").read_text() == markdown(), (
        "Run `python manage.py show_config --markdown > docs/configuration.md`."
    )


def run_manage(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=clean | {"HUB_HOME": str(home)} | environ,
        capture_output=True,
        text=True,
    )


def test_a_command_with_a_wrong_value_ends_with_its_sentence_and_status_2(tmp_path: Path) -> None:
    done = run_manage(tmp_path, "show_config", HUB_PORT="x", DATABASE_URL="postgresql://h")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "HUB_PORT must be a whole number, not 'x'.",
        "DATABASE_URL must name a database after the host, as in "
        "postgresql://user:password@host:5432/name or sqlite:///path/to/file.",
    ]


def test_three_first_starts_at_once_agree_on_their_secrets(tmp_path: Path) -> None:
    home = tmp_path / "var"
    code = (
        "from integration_hub import settings as s;"
        "print(s.SECRET_KEY, s.HUB_KEYRING.read_text(), s.HUB_PEPPERS.read_text())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "HUB_HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    printed = {process.communicate(timeout=60)[0] for process in processes}
    assert len(printed) == 1
    assert len(printed.pop()) > 200
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    names = {"secret_key", "keyring.json", "peppers.json", "hub.sqlite3"}
    assert {path.name for path in home.iterdir() if path.is_file()} == names
    assert {stat.S_IMODE((home / name).stat().st_mode) for name in names} == {0o600}
