"""An S3 service on this machine: moto's server, with buckets made by the test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.config import Config

KEY, SECRET = "AKIDEXAMPLE", "s3-secret-access-key"


@dataclass(frozen=True)
class S3Peer:
    url: str
    client: Any
    bucket: str

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def stored(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.bucket)
        return sorted(item["Key"] for item in found.get("Contents", ()))


@contextmanager
def s3_peer(bucket: str = "files") -> Iterator[S3Peer]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = botocore.session.Session().create_client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=Config(s3={"addressing_style": "path"}),
    )
    peer = S3Peer(url, client, bucket)
    client.create_bucket(Bucket=bucket)
    try:
        yield peer
    finally:
        # The service keeps its buckets for the process: the next test finds none.
        for key in peer.stored():
            client.delete_object(Bucket=bucket, Key=key)
        client.delete_bucket(Bucket=bucket)
        client.close()
        server.stop()
