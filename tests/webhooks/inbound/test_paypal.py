"""PayPal's certificates: which addresses, which chains, and how often one is asked for."""

from __future__ import annotations

import base64
import datetime as dt
import zlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Store

from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.messages import Keys, Message
from apps.webhooks.inbound.special.paypal import (
    FETCHES_PER_MINUTE,
    NAMES,
    Certificates,
    CertificateUnavailable,
    verify,
)

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ADDRESS = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"
BODY = b'{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED"}'
WEBHOOK_ID = "8PT597110X687430LKGECATA"


class Authority:
    """A certificate authority, and what it issues."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A test authority")])
        others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
        usage = dict.fromkeys((*others, "key_agreement", "encipher_only", "decipher_only"), False)
        self.certificate = (
            self._builder(self.name, self.key.public_key(), days=400)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, key: object, *, days: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(days=500))
            .not_valid_after(NOW + dt.timedelta(days=days))
        )

    def issue(self, key: rsa.RSAPrivateKey, name: str = NAMES[0], days: int = 30) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        leaf = (
            self._builder(subject, key.public_key(), days=days)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return leaf.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class Shelf:
    """PayPal's addresses: what each holds, and how often it was asked for."""

    def __init__(self, authority: Authority, pem: bytes) -> None:
        self.pem = pem
        self.asked: list[str] = []
        self.certificates = Certificates(fetch=self.fetch, roots=lambda: Store([authority.certificate]))

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        return self.pem


def signed(
    key: rsa.RSAPrivateKey, *, body: bytes = BODY, webhook_id: str = WEBHOOK_ID, **changed: str
) -> Message:
    headers = {
        "paypal-transmission-id": "69cd13f0-d67a-11e5-baa3-778b53f4ae55",
        "paypal-transmission-time": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "paypal-cert-url": ADDRESS,
        "paypal-auth-algo": "SHA256withRSA",
    }
    text = (
        f"{headers['paypal-transmission-id']}|{headers['paypal-transmission-time']}|{webhook_id}|"
        f"{zlib.crc32(body)}"
    )
    value = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    headers["paypal-transmission-sig"] = base64.b64encode(value).decode()
    return Message("POST", ("https://hub.example.com/x",), {**headers, **changed}, body, NOW.timestamp())


def test_what_paypal_signs_is_believed_and_its_certificate_asked_for_once(
    authority: Authority, key: rsa.RSAPrivateKey
) -> None:
    shelf = Shelf(authority, authority.issue(key))
    for _ in range(3):
        proof = verify(signed(key), Keys((), {"webhook_id": WEBHOOK_ID}), shelf.certificates)
    assert proof.message_id == "69cd13f0-d67a-11e5-baa3-778b53f4ae55"
    assert shelf.asked == [ADDRESS]
    verify(signed(key), Keys((WEBHOOK_ID,)), shelf.certificates)


@pytest.mark.parametrize(
    "changed",
    [
        {"paypal-transmission-id": "69cd13f0-d67a-11e5-baa3-778b53f4ae56"},
        {"paypal-transmission-time": "2026-03-01T12:00:01Z"},
        {"paypal-auth-algo": "SHA1withRSA"},
        {"paypal-transmission-sig": "AAAA"},
        {"paypal-transmission-time": "2026-02-01T12:00:00Z"},
        {"paypal-transmission-time": "yesterday"},
    ],
)
def test_changed_headers_are_refused(
    authority: Authority, key: rsa.RSAPrivateKey, changed: dict[str, str]
) -> None:
    shelf = Shelf(authority, authority.issue(key))
    with pytest.raises(SignatureInvalid):
        verify(signed(key, **changed), Keys((WEBHOOK_ID,)), shelf.certificates)


def test_a_changed_body_or_another_webhook_is_refused(authority: Authority, key: rsa.RSAPrivateKey) -> None:
    shelf = Shelf(authority, authority.issue(key))
    message = signed(key)
    forged = Message(message.method, message.urls, message.headers, BODY + b" ", message.received_at)
    for one, webhook_id in ((forged, WEBHOOK_ID), (message, "another")):
        with pytest.raises(SignatureInvalid):
            verify(one, Keys((webhook_id,)), shelf.certificates)
    with pytest.raises(SignatureInvalid):
        verify(message, Keys(()), shelf.certificates)


@pytest.mark.parametrize(
    "address",
    [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/?https://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../../open-redirect",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?next=x",
        "https://api.paypal.com/v1/notifications/certs/",
        "https://api.paypal.com/other/CERT-1",
        "https://API.PAYPAL.COM\\@evil.example/v1/notifications/certs/x",
        "https://[::1/v1/notifications/certs/x",
    ],
)
def test_only_paypals_own_addresses_are_asked(
    authority: Authority, key: rsa.RSAPrivateKey, address: str
) -> None:
    shelf = Shelf(authority, authority.issue(key))
    with pytest.raises(SignatureInvalid):
        verify(signed(key, **{"paypal-cert-url": address}), Keys((WEBHOOK_ID,)), shelf.certificates)
    assert shelf.asked == []


def test_a_certificate_of_another_name_authority_or_time_is_not_believed(
    authority: Authority, key: rsa.RSAPrivateKey
) -> None:
    stranger = Authority()
    for pem in (
        authority.issue(key, name="www.paypal.com"),
        authority.issue(key, name="evil.example"),
        stranger.issue(key),
        authority.issue(key, days=-1),
        b"no certificate",
    ):
        shelf = Shelf(authority, pem)
        for _ in range(2):
            with pytest.raises(SignatureInvalid):
                verify(signed(key), Keys((WEBHOOK_ID,)), shelf.certificates)
        assert shelf.asked == [ADDRESS]  # and what is bad is remembered for a while


def test_a_flood_of_invented_addresses_is_no_flood_of_requests(
    authority: Authority, key: rsa.RSAPrivateKey
) -> None:
    shelf = Shelf(authority, b"nothing")
    refused = {SignatureInvalid: 0, CertificateUnavailable: 0}
    for number in range(100):
        address = f"https://api.paypal.com/v1/notifications/certs/CERT-{number}"
        with pytest.raises((SignatureInvalid, CertificateUnavailable)) as caught:
            verify(signed(key, **{"paypal-cert-url": address}), Keys((WEBHOOK_ID,)), shelf.certificates)
        refused[caught.type] += 1
    assert len(shelf.asked) == FETCHES_PER_MINUTE
    assert refused == {SignatureInvalid: FETCHES_PER_MINUTE, CertificateUnavailable: 100 - FETCHES_PER_MINUTE}
