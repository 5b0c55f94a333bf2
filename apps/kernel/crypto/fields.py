"""Encrypted model fields: ciphertext in the column, plaintext only at the attribute that somebody reads.

The AAD is `app.Model|primary key|field`, so ciphertext that is copied to another row or field does not
decrypt. Hence the primary key must be known before the row is saved (use `apps.kernel.models.TimeOrdered`),
and writes go through instances (`save`, `create`, `bulk_create`) or `update(**sealed(row, field=value))`.
NULL stays NULL; every other value, the empty string included, is encrypted.

Renaming a model or a field changes its AAD: give the field `bound_as="old_app.OldModel|old_field"` then.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from django import forms
from django.core import checks
from django.core.exceptions import FieldError, ObjectDoesNotExist
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.lookups import Exact, IsNull, Lookup, Transform
from django.db.models.query_utils import DeferredAttribute

from apps.kernel.crypto.cell import MASK, Cell, Envelope
from apps.kernel.crypto.keyring import get_keyring

__all__ = ["EncryptedField", "EncryptedJSONField", "EncryptedTextField", "Envelope", "sealed"]


class _Opener(DeferredAttribute):
    """Decrypts at the first read of the attribute."""

    field: EncryptedField

    def __get__(self, instance: models.Model | None, cls: type[models.Model] | None = None) -> Any:
        if instance is None:
            return self
        data = instance.__dict__
        if self.field.attname not in data:
            self.field.load_deferred(instance)
        cell = data[self.field.attname]
        if not isinstance(cell, Cell):
            return cell
        if not cell.opened:
            self.field.open(cell, instance)
        return cell.value

    def __set__(self, instance: models.Model, value: Any) -> None:
        data = instance.__dict__
        name = self.field.attname
        if value is None:
            data[name] = None
        elif isinstance(value, Envelope):
            data[name] = Cell.stored(self.field.dump, value, data.get(_pk_name(instance)))
        elif isinstance(value, Cell):
            data[name] = value
        else:
            cell = data.get(name)
            if not (isinstance(cell, Cell) and cell.opened and cell.value is value):
                data[name] = Cell.assigned(self.field.dump, self.field.accept(value))


class _StoredAs(Exact):
    """Compares stored bytes: the compare-and-set of the key rotation."""

    lookup_name = "stored_as"

    def get_rhs_op(self, connection: BaseDatabaseWrapper, rhs: str) -> str:
        return f"= {rhs}"


class EncryptedField(models.Field):
    """Common ground of the encrypted fields; see the module."""

    description = "Encrypted value"
    empty_values = [None, ""]
    descriptor_class = _Opener

    def __init__(self, *args: Any, bound_as: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("editable", False)
        for option in ("unique", "primary_key", "db_index", "choices", "db_default"):
            if kwargs.get(option) and kwargs[option] is not models.NOT_PROVIDED:
                raise TypeError(
                    f"An encrypted field cannot have {option}: its ciphertext differs at each save."
                )
        self.bound_as = bound_as
        super().__init__(*args, **kwargs)

    # What subclasses say.

    def accept(self, value: Any) -> Any:
        """The value to hold for an assigned one. Raises TypeError, without quoting the value."""
        raise NotImplementedError

    @staticmethod
    def dump(value: Any) -> bytes:
        """The plaintext bytes of a value."""
        raise NotImplementedError

    @staticmethod
    def load(plaintext: bytes) -> Any:
        """The value of plaintext bytes."""
        raise NotImplementedError

    # Sealing and opening.

    def aad(self, pk: Any) -> bytes:
        """The name of the one place where the envelope is valid. Raises ValueError without a primary key."""
        if pk is None:
            raise ValueError(
                f"{self.model._meta.label}.{self.name} is encrypted for its row: "
                "the primary key must be known before the value is saved."
            )
        if not isinstance(pk, uuid.UUID):
            pk = self.model._meta.pk.to_python(pk)
        return f"{self.bound_as or f'{self.model._meta.label}|{self.name}'}|{pk}".encode()

    def seal(self, pk: Any, value: Any) -> Envelope:
        """The envelope of `value` for the row `pk`."""
        return Envelope(get_keyring().encrypt(self.dump(self.accept(value)), self.aad(pk)))

    def open(self, cell: Cell, instance: models.Model) -> None:
        """Decrypt a cell in place. Raises DecryptionFailed."""
        if cell.transit is not None:
            cell.value = self.load(cell.reveal_transit())
        else:
            assert cell.envelope is not None
            pk = instance.pk if cell.pk is None else cell.pk
            cell.plaintext = get_keyring().decrypt(cell.envelope, self.aad(pk))
            cell.value = self.load(cell.plaintext)
        cell.opened = True

    def load_deferred(self, instance: models.Model) -> None:
        """Fetch the column that the query left out."""
        model = type(instance)
        rows = model._base_manager.db_manager(instance._state.db, hints={"instance": instance})
        found = rows.filter(pk=instance.pk).values_list(self.attname, flat=True)[:1]
        for value in found:
            setattr(instance, self.attname, value)
            return
        raise ObjectDoesNotExist(f"{model.__name__} {instance.pk} no longer exists.")

    def pre_save(self, model_instance: models.Model, add: bool) -> Envelope | None:
        data = model_instance.__dict__
        if self.attname not in data:
            self.load_deferred(model_instance)
        cell = data[self.attname]
        if cell is None:
            return None
        pk = model_instance.pk
        ring = get_keyring()
        bound = cell.pk is None or cell.pk == pk
        if bound and cell.unchanged() and cell.envelope.key_id == ring.active_id:
            return cell.envelope
        if not cell.opened:
            self.open(cell, model_instance)
        plaintext = cell.current()
        # A new cell: copies of the instance may share the old one.
        fresh = Cell.stored(self.dump, Envelope(ring.encrypt(plaintext, self.aad(pk))), pk)
        fresh.opened, fresh.value, fresh.plaintext = True, cell.value, plaintext
        data[self.attname] = fresh
        return fresh.envelope

    # The database.

    def get_internal_type(self) -> str:
        return "BinaryField"

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return str(connection.ops.binary_placeholder_sql(value))

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, Envelope) or hasattr(value, "resolve_expression"):
            return value
        raise FieldError(
            f"{self._label()} is encrypted for its row: give it values through an instance (save, create, "
            "bulk_create) or update(**apps.kernel.crypto.fields.sealed(row, …)); in a migration, add it with "
            "null=True."
        )

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        value = self.get_prep_value(value)
        return connection.Database.Binary(bytes(value)) if isinstance(value, Envelope) else value

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Envelope | None:
        return None if value is None else Envelope(value)

    def get_lookup(self, lookup_name: str) -> type[Lookup[Any]] | None:
        if lookup_name == "isnull":
            return IsNull
        if lookup_name == _StoredAs.lookup_name:
            return _StoredAs
        raise FieldError(f"{self._label()} is encrypted and cannot be searched; only __isnull works.")

    def get_transform(self, lookup_name: str) -> type[Transform] | None:
        raise FieldError(f"{self._label()} is encrypted and cannot be searched; only __isnull works.")

    # The rest of Django.

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.editable:
            kwargs["editable"] = True
        else:
            kwargs.pop("editable", None)
        if self.bound_as:
            kwargs["bound_as"] = self.bound_as
        return name, path, list(args), kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        found = list(super().check(**kwargs))
        if isinstance(self.model._meta.pk, models.AutoField):
            found.append(
                checks.Error(
                    f"{self.name} is encrypted for its row, but the primary key is known only after saving.",
                    hint="Derive the model from apps.kernel.models.TimeOrdered.",
                    obj=self,
                    id="kernel.E001",
                )
            )
        return found

    def to_python(self, value: Any) -> Any:
        return value

    def value_from_object(self, obj: models.Model) -> Any:
        """For serializers and forms: whether there is a value, never which."""
        if self.attname not in obj.__dict__:
            self.load_deferred(obj)
        return None if obj.__dict__[self.attname] is None else MASK

    def value_to_string(self, obj: models.Model) -> str:
        return self.value_from_object(obj) or ""

    def formfield(self, *args: Any, **kwargs: Any) -> Any:
        return None

    def _label(self) -> str:
        return f"{self.model._meta.label}.{self.name}" if hasattr(self, "model") else type(self).__name__


class EncryptedTextField(EncryptedField):
    """A secret text, such as a token or a password."""

    _pyi_private_set_type: str
    _pyi_private_get_type: str

    def accept(self, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{self._label()} takes text, not {type(value).__name__}.")
        return value

    @staticmethod
    def dump(value: Any) -> bytes:
        return str(value).encode("utf-8", "surrogatepass")

    @staticmethod
    def load(plaintext: bytes) -> str:
        return plaintext.decode("utf-8", "surrogatepass")

    def formfield(self, *args: Any, **kwargs: Any) -> Any:
        """Write-only: the stored value is never rendered, and leaving the input blank keeps it."""
        if not self.editable:
            return None
        return forms.CharField(
            label=self.verbose_name,
            help_text=self.help_text,
            required=False,
            strip=False,
            widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        )

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        if data not in (None, "", MASK):
            setattr(instance, self.name, data)


class EncryptedJSONField(EncryptedField):
    """A JSON value with secrets in it, such as credentials. Changes made inside the value are saved, too."""

    _pyi_private_set_type: Any
    _pyi_private_get_type: Any

    def accept(self, value: Any) -> Any:
        return value

    @staticmethod
    def dump(value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
            "utf-8", "surrogatepass"
        )

    @staticmethod
    def load(plaintext: bytes) -> Any:
        return json.loads(plaintext.decode("utf-8", "surrogatepass"))


def sealed(row: models.Model, **values: Any) -> dict[str, Any]:
    """`values` for an `update()` of `row` alone: those of encrypted fields become envelopes for it."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        field = row._meta.get_field(name)
        if isinstance(field, EncryptedField) and value is not None and not isinstance(value, Envelope):
            value = field.seal(row.pk, value)
        result[name] = value
    return result


def _pk_name(instance: models.Model) -> str:
    return instance._meta.pk.attname
