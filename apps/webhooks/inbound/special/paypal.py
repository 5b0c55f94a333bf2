"""PayPal: RSA-SHA256 over `id|time|webhook id|crc32(body)`, by a certificate that the headers name.

The certificate is fetched only from PayPal's own hosts, must be issued for its message verification by an
authority that this machine trusts, and is kept for a day. Source: developer.paypal.com, "Integrate webhooks",
"Self verification method".
"""

from __future__ import annotations

import datetime as dt
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from apps.kernel import outbound
from apps.kernel.errors import TransientError
from apps.webhooks.errors import SignatureInvalid
from apps.webhooks.inbound.hmacs import decode
from apps.webhooks.inbound.messages import Keys, Message, Proof

HOSTS = ("api.paypal.com", "api.sandbox.paypal.com", "api-m.paypal.com", "api-m.sandbox.paypal.com")
PATH = "/v1/notifications/certs/"
NAMES = ("messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com")
# PayPal retries for three days, with the headers of the first try.
TOLERANCE = 3 * 24 * 3600 + 300
KEPT = 24 * 3600.0
FAILED_KEPT = 60.0
MAX_CACHED = 64
FETCHES_PER_MINUTE = 20
MAX_BYTES = 64 * 1024


class CertificateUnavailable(TransientError):
    """PayPal's certificate could not be fetched: the provider should send again."""

    code = "certificate_unavailable"


def fetched(url: str) -> bytes:
    """The file behind a certificate's address. Raises OutboundError, CertificateUnavailable."""
    answer = outbound.request("GET", url, timeout=5, max_bytes=MAX_BYTES)
    if answer.status != 200:
        raise CertificateUnavailable(f"PayPal answered {answer.status} when asked for its certificate.")
    return answer.content


@lru_cache(maxsize=1)
def trusted() -> Store:
    """The authorities that this machine trusts."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    certificates = [x509.load_der_x509_certificate(one) for one in found]
    if not certificates:
        import certifi

        with open(certifi.where(), "rb") as file:
            certificates = x509.load_pem_x509_certificates(file.read())
    return Store(certificates)


@dataclass
class Certificates:
    """Certificates by address, checked once and kept; safe for threads."""

    fetch: Callable[[str], bytes] = fetched
    roots: Callable[[], Store] = trusted
    names: Sequence[str] = NAMES
    hosts: Sequence[str] = HOSTS
    _known: dict[str, tuple[float, RSAPublicKey | None]] = field(default_factory=dict)
    _fetches: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def key(self, url: str, now: float) -> RSAPublicKey:
        """The public key behind the address. Raises SignatureInvalid, CertificateUnavailable,
        OutboundError.
        """
        self.check_address(url)
        with self._lock:
            until, known = self._known.get(url, (0.0, None))
        if time.monotonic() < until:
            if known is None:
                raise SignatureInvalid("The certificate is not one that PayPal signs messages with.")
            return known
        self._count_fetch()
        try:
            key = self._checked(self.fetch(url), now)
        except SignatureInvalid:
            self._keep(url, None, FAILED_KEPT)
            raise
        self._keep(url, key, KEPT)
        return key

    def check_address(self, url: str) -> None:
        """Raises SignatureInvalid unless it is an address of PayPal's certificates."""
        try:
            parts = urlsplit(url)
            plain = parts.port is None and parts.username is None and not parts.query and not parts.fragment
        except ValueError:
            raise SignatureInvalid("The address of the certificate is malformed.") from None
        good = parts.scheme == "https" and parts.netloc in self.hosts and parts.path.startswith(PATH)
        rest = parts.path[len(PATH) :]
        if not (good and plain and rest.replace("-", "").replace("_", "").isalnum() and rest.isascii()):
            raise SignatureInvalid("The address of the certificate is not PayPal's.")

    def _count_fetch(self) -> None:
        """A flood of invented addresses must not become a flood of requests."""
        now = time.monotonic()
        with self._lock:
            self._fetches = [at for at in self._fetches if at > now - 60]
            if len(self._fetches) >= FETCHES_PER_MINUTE:
                raise CertificateUnavailable("Too many certificates were asked for in the last minute.")
            self._fetches.append(now)

    def _keep(self, url: str, key: RSAPublicKey | None, seconds: float) -> None:
        with self._lock:
            if len(self._known) >= MAX_CACHED:
                self._known.pop(next(iter(self._known)))
            self._known[url] = (time.monotonic() + seconds, key)

    def _checked(self, pem: bytes, now: float) -> RSAPublicKey:
        try:
            leaf, *others = x509.load_pem_x509_certificates(pem)
        except ValueError:
            raise SignatureInvalid("What PayPal's address holds is no certificate.") from None
        moment = dt.datetime.fromtimestamp(now, dt.UTC)
        for name in self.names:
            verifier = (
                PolicyBuilder()
                .store(self.roots())
                .time(moment.replace(tzinfo=None))
                .build_server_verifier(x509.DNSName(name))
            )
            try:
                verifier.verify(leaf, others)
            except VerificationError:
                continue
            key = leaf.public_key()
            if isinstance(key, RSAPublicKey):
                return key
        raise SignatureInvalid("The certificate is not one that PayPal signs messages with.")


_certificates = Certificates()


def verify(message: Message, keys: Keys, certificates: Certificates | None = None) -> Proof:
    """Raises SignatureInvalid; CertificateUnavailable or OutboundError if the certificate cannot be had now.

    The webhook's id is `options.webhook_id`, or the secret.
    """
    if message.header("PAYPAL-AUTH-ALGO") != "SHA256withRSA":
        raise SignatureInvalid("The header PAYPAL-AUTH-ALGO names an algorithm that PayPal does not use.")
    message_id = message.header("PAYPAL-TRANSMISSION-ID")
    stamp = message.header("PAYPAL-TRANSMISSION-TIME")
    text = message.header("PAYPAL-TRANSMISSION-SIG")
    given = decode(text, "base64")
    address = message.header("PAYPAL-CERT-URL")
    sent = _moment(stamp)
    if abs(message.received_at - sent) > TOLERANCE:
        raise SignatureInvalid("The signed timestamp is too old or ahead.")
    own = keys.options.get("webhook_id")
    webhook_ids = [str(own)] if own else list(keys.required())
    key = (certificates or _certificates).key(address, message.received_at)
    for webhook_id in webhook_ids:
        signed = f"{message_id}|{stamp}|{webhook_id}|{zlib.crc32(message.body)}"
        try:
            key.verify(given, signed.encode("utf-8", "replace"), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return Proof(signature=text, timestamp=stamp, message_id=message_id)
    raise SignatureInvalid("The signature does not match the body.")


def _moment(text: str) -> float:
    try:
        found = dt.datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo else found.replace(tzinfo=dt.UTC).timestamp()
    except (ValueError, OverflowError):
        raise SignatureInvalid("The signed timestamp is malformed.") from None
