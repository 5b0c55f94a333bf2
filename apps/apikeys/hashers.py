"""The hasher of OAuth2 client secrets."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.hashers import BasePasswordHasher, mask_hash

from apps.kernel.crypto import hashing

_PURPOSE = "oauth-client-secret"


class KeyedHasher(BasePasswordHasher):
    """HMAC-SHA256 with the hub's pepper.

    Client secrets are random and long: a slow hash would protect nothing more and cost half a second of CPU
    at each request for a token.
    """

    algorithm = "hub_hmac_sha256"

    def salt(self) -> str:
        return hashing.get_peppers().active_id

    def encode(self, password: str, salt: str) -> str:
        pepper_id, digest = hashing.digest(password, purpose=_PURPOSE)
        return f"{self.algorithm}${pepper_id}${digest.hex()}"

    def decode(self, encoded: str) -> dict[str, Any]:
        algorithm, pepper_id, digest = encoded.split("$", 2)
        return {"algorithm": algorithm, "pepper_id": pepper_id, "hash": digest}

    def verify(self, password: str, encoded: str) -> bool:
        parts = self.decode(encoded)
        return hashing.verify(password, parts["pepper_id"], bytes.fromhex(parts["hash"]), _PURPOSE)

    def safe_summary(self, encoded: str) -> dict[Any, Any]:
        parts = self.decode(encoded)
        return {
            "algorithm": parts["algorithm"],
            "pepper": parts["pepper_id"],
            "hash": mask_hash(parts["hash"]),
        }

    def must_update(self, encoded: str) -> bool:
        return False

    def harden_runtime(self, password: str, encoded: str) -> None:
        """The work does not depend on a number of rounds."""
