"""The toolkit's models, swapped, and what is decided from their first row on."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.hashers import check_password, identify_hasher, make_password
from oauth2_provider import models as toolkit
from oauth2_provider.settings import oauth2_settings

from apps.apikeys import models
from apps.tenants.models import Organization


def test_the_toolkit_uses_our_models() -> None:
    assert toolkit.get_application_model() is models.Application
    assert toolkit.get_access_token_model() is models.AccessToken
    assert toolkit.get_refresh_token_model() is models.RefreshToken
    assert toolkit.get_id_token_model() is models.IDToken
    assert toolkit.get_grant_model() is models.Grant
    assert toolkit.get_device_grant_model() is models.DeviceGrant


def test_what_is_unsafe_is_off() -> None:
    assert oauth2_settings.PKCE_REQUIRED is True
    assert oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS == 900
    assert oauth2_settings.ROTATE_REFRESH_TOKEN is True
    assert oauth2_settings.REFRESH_TOKEN_REUSE_PROTECTION is True
    assert oauth2_settings.COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT is True
    assert oauth2_settings.COMPLIANT_BCP_RFC9700_PASSWORD_GRANT is True
    assert oauth2_settings.COMPLIANT_BCP_RFC9700_TOKEN_STORAGE is True


@pytest.fixture
def _hashers(settings: Any) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "apps.apikeys.hashers.KeyedHasher",
    ]


@pytest.mark.usefixtures("_hashers")
def test_a_client_secret_is_kept_as_a_fast_keyed_hash(acme: Organization) -> None:
    application = models.Application.objects.create(
        organization=acme,
        name="Shop",
        client_type="confidential",
        authorization_grant_type="client-credentials",
    )
    stored = models.Application.objects.values_list("client_secret", flat=True).get()
    assert stored.startswith("hub_hmac_sha256$")
    assert stored == application.client_secret

    secret = "s3cret" * 10
    encoded = make_password(secret, hasher="hub_hmac_sha256")
    assert secret not in encoded
    assert identify_hasher(encoded).algorithm == "hub_hmac_sha256"
    start = time.process_time()
    assert check_password(secret, encoded)
    assert time.process_time() - start < 0.05
    assert not check_password(secret + "x", encoded)
    assert not check_password("", encoded)
    damaged = encoded[:-2] + ("00" if encoded[-2:] != "00" else "11")
    assert not check_password(secret, damaged)


@pytest.mark.usefixtures("_hashers")
def test_passwords_of_people_are_hashed_slowly() -> None:
    assert make_password("a long password").startswith("pbkdf2_sha256$")
