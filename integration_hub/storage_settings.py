"""Where files are kept: Django's storage for `STORAGE_URL`."""

from __future__ import annotations

from typing import Any

from integration_hub.config_values import Storage


def file_storage(store: Storage) -> dict[str, Any]:
    """The entry of STORAGES: a folder of this machine, or a bucket."""
    return _folder(store) if store.kind == "file" else _bucket(store)


def _folder(store: Storage) -> dict[str, Any]:
    return {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        # No base_url: files leave only through views that check who asks.
        "OPTIONS": {
            "location": store.folder,
            "base_url": None,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    }


def _bucket(store: Storage) -> dict[str, Any]:
    from botocore.config import Config  # of some weight: only where there is a bucket

    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": store.bucket,
            "location": store.prefix,
            "endpoint_url": store.endpoint_url or None,
            "region_name": store.region or None,
            "access_key": store.access_key or None,
            "secret_key": store.secret_key or None,
            "default_acl": None,
            "file_overwrite": False,
            "querystring_auth": True,
            # A file that is read lies in a temporary file beyond this size, not in memory.
            "max_memory_size": 16 * 2**20,
            "client_config": Config(
                signature_version="s3v4",
                # Services other than Amazon's seldom answer to a host name for each bucket, and not all know
                # the checksums that Amazon's does.
                s3={"addressing_style": "path" if store.endpoint_url else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=5,
                read_timeout=60,
                retries={"max_attempts": 3, "mode": "standard"},
            ),
        },
    }
