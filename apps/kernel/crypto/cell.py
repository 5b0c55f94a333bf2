"""Between an encrypted column and an attribute: the envelope as stored, and the cell that opens it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from apps.kernel.crypto.keyring import KeyRing, get_keyring

MASK = "***"
_TRANSIT = b"hub|pickled cell"


class Envelope(bytes):
    """Ciphertext bound to one row and field: the only thing that an encrypted column takes and yields."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    @property
    def key_id(self) -> str:
        """The id of the key that made it. Raises DecryptionFailed if these bytes are no envelope."""
        return KeyRing.key_id_of(self)


class Cell:
    """What an instance holds in place of a secret: an envelope, an opened value, or both.

    `pk` is the row that the envelope is bound to: a row that is copied under another key is sealed again.
    A pickled cell carries ciphertext only.
    """

    __slots__ = ("dump", "envelope", "opened", "pk", "plaintext", "transit", "value")

    def __init__(self, dump: Callable[[Any], bytes]) -> None:
        self.dump = dump
        self.envelope: Envelope | None = None
        self.pk: Any = None
        self.transit: bytes | None = None
        self.opened = False
        self.plaintext: bytes | None = None
        self.value: Any = None

    def __repr__(self) -> str:
        return MASK

    @classmethod
    def stored(cls, dump: Callable[[Any], bytes], envelope: Envelope, pk: Any) -> Cell:
        """A cell read from the row `pk` (None if the key is not known yet)."""
        cell = cls(dump)
        cell.envelope, cell.pk = envelope, pk
        return cell

    @classmethod
    def assigned(cls, dump: Callable[[Any], bytes], value: Any) -> Cell:
        """A cell of a value that no row holds yet."""
        cell = cls(dump)
        cell.opened, cell.value = True, value
        return cell

    def current(self) -> bytes:
        """The plaintext as of now, with changes made inside an opened value. Only for opened cells."""
        return self.dump(self.value)

    def unchanged(self) -> bool:
        """Whether the envelope still tells the value."""
        return self.envelope is not None and (not self.opened or self.current() == self.plaintext)

    def reveal_transit(self) -> bytes:
        """The plaintext of an unpickled cell that no row holds. Raises DecryptionFailed."""
        assert self.transit is not None
        return get_keyring().decrypt(self.transit, _TRANSIT)

    def __deepcopy__(self, memo: dict[int, Any]) -> Cell:
        twin = Cell(self.dump)
        for name in ("envelope", "pk", "transit", "opened", "plaintext"):
            setattr(twin, name, getattr(self, name))
        twin.value = copy.deepcopy(self.value, memo)
        return twin

    def __getstate__(self) -> tuple[Callable[[Any], bytes], bytes | None, Any, bytes | None]:
        if self.unchanged():
            return self.dump, bytes(self.envelope or b""), self.pk, None
        transit = get_keyring().encrypt(self.current(), _TRANSIT) if self.opened else self.transit
        return self.dump, None, None, transit

    def __setstate__(self, state: tuple[Callable[[Any], bytes], bytes | None, Any, bytes | None]) -> None:
        dump, envelope, pk, transit = state
        self.__init__(dump)  # type: ignore[misc]
        self.envelope = None if envelope is None else Envelope(envelope)
        self.pk, self.transit = pk, transit
