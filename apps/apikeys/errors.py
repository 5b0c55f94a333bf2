"""What may go wrong with API keys."""

from __future__ import annotations

from uuid import UUID

from apps.kernel.errors import BadRequest, Conflict, Forbidden, Unauthenticated


class KeyRefused(Unauthenticated):
    """Unknown, misspelt, wrong, revoked, suspended or expired: its holder learns nothing more."""

    code = "invalid_key"
    title = "The API key is not valid"

    # The key that was meant, for the hub's own records: known only if its secret was right.
    key_id: UUID | None = None


class TokenRefused(Unauthenticated):
    """Unknown, forged, expired or revoked, or of somebody who is no longer let in."""

    code = "invalid_token"
    title = "The access token is not valid"
    challenge = 'error="invalid_token", error_description="The access token is unknown, expired or revoked"'


class GrantRefused(Unauthenticated):
    """E-mail, password or refresh token that opens nothing."""

    code = "invalid_grant"
    title = "Not signed in"


class KeyInAddress(BadRequest):
    """A key in a query string ends up in logs, histories and referrers."""

    code = "key_in_query_string"
    title = "API keys do not belong into addresses"


class ScopeNotHeld(Forbidden):
    """Nobody gives away what they do not have."""

    code = "scope_not_held"
    title = "The key would be allowed more than you are"


class SignatureRefused(Unauthenticated):
    """The key is right, but the call is not signed as it must be."""

    code = "signature_invalid"
    title = "The signature of the call is not valid"


class NothingToCollect(Conflict):
    """A secret is handed out once."""

    code = "nothing_to_collect"
    title = "There is no key to collect"
