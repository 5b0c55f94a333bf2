"""Files in an S3 bucket. botocore builds and signs the calls; the hub's own HTTP client makes them, so that
the same guard holds as for every other address.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC
from functools import partial
from typing import Any, BinaryIO

import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from apps.jobs.places.base import (
    MAX_LISTED,
    FileChanged,
    PlaceRefused,
    PlaceUnreachable,
    RemoteFile,
    Target,
    join,
    safe_name,
)
from apps.kernel.outbound import OutboundError, shared

PART = 8 * 2**20
_OURS = frozenset({"expect", "content-length", "transfer-encoding", "host"})
_SAID = {
    "InvalidAccessKeyId": "It does not know the access key id.",
    "SignatureDoesNotMatch": "The secret access key is wrong.",
    "NoSuchBucket": "There is no bucket “{bucket}”.",
    "404": "There is no such bucket or file.",
    "NoSuchKey": "The file is no longer there.",
    "AccessDenied": "The keys are not allowed to do this (AccessDenied).",
    "403": "The keys are not allowed to do this.",
    "AuthorizationHeaderMalformed": "The region is not the bucket's.",
    "PermanentRedirect": "The bucket is in another region.",
    "301": "The bucket is in another region.",
    "InvalidBucketName": "“{bucket}” is no name of a bucket.",
    "ExpiredToken": "The keys have expired.",
    "RequestTimeTooSkewed": "The clock of this machine is wrong.",
}
_PASSING = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "503", "500"})


def _client(target: Target, keyed: bool) -> Any:
    session = botocore.session.Session(include_builtin_handlers=True)
    return session.create_client(
        "s3",
        region_name=target.region or "us-east-1",
        endpoint_url=target.endpoint_url or None,
        # Never the machine's own role: what is not given is asked without a signature.
        aws_access_key_id=target.username if keyed else "none",
        aws_secret_access_key=target.secret("secret") if keyed else "none",
        config=Config(
            signature_version="s3v4" if keyed else UNSIGNED,
            s3={"addressing_style": "path" if target.endpoint_url else "auto"},
            retries={"max_attempts": 2, "mode": "standard"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            ignore_configured_endpoint_urls=True,
        ),
    )


class S3Place:
    """One bucket, below one prefix."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._bucket = target.bucket
        keyed = bool(target.username)
        try:
            self._client: Any = _client(target, keyed)
        except (BotoCoreError, ValueError) as error:
            raise PlaceRefused(
                f"The settings of the bucket are not right ({type(error).__name__})."
            ) from None
        self._client.meta.events.register("before-send.s3", partial(_send, target.allow_http))

    def _call(self, name: str, **values: Any) -> Any:
        try:
            return getattr(self._client, name)(Bucket=self._bucket, **values)
        except OutboundError:
            raise
        except ClientError as error:
            raise self._refusal(str(error.response.get("Error", {}).get("Code", ""))) from None
        except BotoCoreError as error:
            raise PlaceRefused(
                f"The settings of the bucket are not right ({type(error).__name__})."
            ) from None

    def _refusal(self, code: str) -> PlaceRefused | PlaceUnreachable:
        if code in _PASSING:
            return PlaceUnreachable(f"The storage has a problem of its own ({code}).")
        said = _SAID.get(code, "The storage refused ({code}).")
        return PlaceRefused(said.format(bucket=self._bucket, code=code[:60] or "no reason given"))

    def _key(self, path: str) -> str:
        return join(self._target.folder, path)

    def test(self) -> str:
        prefix = join(self._target.folder)
        found = self._call("list_objects_v2", Prefix=f"{prefix}/" if prefix else "", MaxKeys=1)
        what = "It holds files" if found.get("KeyCount") else "It is empty"
        return f"The bucket “{self._bucket}” can be read. {what}{f' below “{prefix}”' if prefix else ''}."

    def files(self, folder: str) -> list[RemoteFile]:
        prefix = self._key(folder)
        prefix = f"{prefix}/" if prefix else ""
        found: list[RemoteFile] = []
        for item in self._listed(prefix):
            name = str(item["Key"])[len(prefix) :]
            if not safe_name(name):
                continue
            etag = str(item.get("ETag", "")).strip('"')
            modified = item["LastModified"].astimezone(UTC)
            found.append(
                RemoteFile(join(folder, name), int(item["Size"]), modified, f"{item['Size']}:{etag}"[:300])
            )
        return found

    def _listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        seen = 0
        while True:
            page = self._call("list_objects_v2", Prefix=prefix, Delimiter="/", MaxKeys=1000, **token)
            for item in page.get("Contents", ()):
                seen += 1
                yield item
            if not page.get("IsTruncated") or "NextContinuationToken" not in page:
                return
            if seen >= MAX_LISTED:
                raise PlaceRefused(f"More than {MAX_LISTED:,} files lie there: choose a narrower folder.")
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def download(self, file: RemoteFile, into: BinaryIO, *, max_bytes: int, seconds: float) -> RemoteFile:
        where = {"Bucket": self._bucket, "Key": self._key(file.path)}
        url = self._client.generate_presigned_url("get_object", Params=where, ExpiresIn=3600)
        allow_http = self._target.allow_http
        with shared().stream(url, timeout=seconds, max_bytes=max_bytes, allow_http=allow_http) as answer:
            if not answer.ok:
                raise self._refusal("NoSuchKey" if answer.status == 404 else str(answer.status))
            size = 0
            for piece in answer.chunks():
                into.write(piece)
                size += len(piece)
            etag = answer.headers.get("etag", "").strip('"')
        version = f"{size}:{etag}"[:300]
        if file.version and version != file.version:
            raise FileChanged(f"“{file.name}” was replaced while it was read; it is taken the next time.")
        return RemoteFile(file.path, size, file.modified_at, version)

    def upload(self, path: str, content: BinaryIO) -> None:
        key = self._key(path)
        content.seek(0)
        first = content.read(PART)
        if len(first) < PART:
            self._call("put_object", Key=key, Body=first)
            return
        upload = self._call("create_multipart_upload", Key=key)["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            piece = first
            while piece:
                number = len(parts) + 1
                sent = self._call("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=piece)
                parts.append({"PartNumber": number, "ETag": sent["ETag"]})
                piece = content.read(PART)
            self._call(
                "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            self._call("abort_multipart_upload", Key=key, UploadId=upload)
            raise

    def move(self, path: str, to: str) -> None:
        source = {"Bucket": self._bucket, "Key": self._key(path)}
        self._call("copy_object", Key=self._key(to), CopySource=source)
        self.delete(path)

    def delete(self, path: str) -> None:
        self._call("delete_object", Key=self._key(path))

    def close(self) -> None:
        self._client.close()


class _Body(io.BytesIO):
    """A body that was read, as botocore wants to read it."""

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        yield self.read()


def _send(allow_http: bool | None, request: AWSPreparedRequest, **kwargs: Any) -> AWSResponse:
    """Make a call that botocore has signed, and answer for the network."""
    headers = {
        str(name): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
        if name.lower() not in _OURS
    }
    body: Any = request.body
    if body is not None and hasattr(body, "read"):
        body = body.read()
    answer = shared().request(
        request.method,
        request.url,
        headers=headers,
        content=bytes(body) if isinstance(body, bytearray) else body,
        timeout=120,
        max_bytes=16 * 2**20,
        allow_http=allow_http,
    )
    return AWSResponse(request.url, answer.status, dict(answer.headers), _Body(answer.content))
