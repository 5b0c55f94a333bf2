from __future__ import annotations

import asyncio
import datetime
import gzip
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apps.kernel.outbound import Outbound, OutboundPolicy, tls
from tests.kernel.outbound.peers import bomb

LOOPBACK = OutboundPolicy(
    allow=(ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")), allow_http=True
)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The guarantees hold on both loops: workers run on uvloop where there is one."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def client() -> Iterator[Outbound]:
    """A blocking client that may call the loopback."""
    with Outbound(LOOPBACK) as made:
        yield made


@pytest.fixture(scope="session")
def gzip_bomb() -> bytes:
    return bomb()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate authority (`ca.pem`) and a certificate for good.example (`good.pem`)."""
    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.datetime.now(datetime.UTC)

    def make(
        name: str, *, days: int, issuer: x509.Certificate | None, key_of_issuer: object
    ) -> tuple[object, ...]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        )
        if issuer is not None:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
            ).add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
        else:
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            ).add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
            )
        certificate = builder.sign(key_of_issuer or key, hashes.SHA256())  # type: ignore[arg-type]
        return certificate, key

    authority, authority_key = make("Test authority", days=30, issuer=None, key_of_issuer=None)
    for file, name, days in (("good", "good.example", 30), ("expired", "good.example", -1)):
        certificate, key = make(name, days=days, issuer=authority, key_of_issuer=authority_key)  # type: ignore[arg-type]
        (folder / f"{file}.pem").write_bytes(
            key.private_bytes(  # type: ignore[attr-defined]
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)  # type: ignore[attr-defined]
        )
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))  # type: ignore[attr-defined]
    return folder


def server_context(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem")
    return context


@pytest.fixture
def trusted(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The test authority is the only one that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    tls.context.cache_clear()
    yield certificates
    tls.context.cache_clear()


@pytest.fixture(scope="session")
def small_gzip() -> bytes:
    return gzip.compress(b'{"hello": "world"}')
