from __future__ import annotations

import copy
import json
import pickle
import uuid
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import FieldError, ObjectDoesNotExist
from django.db import connection, models, transaction
from django.db.migrations.writer import MigrationWriter
from django.forms import modelform_factory
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext, isolate_apps

from apps.kernel.crypto.errors import DecryptionFailed
from apps.kernel.crypto.fields import EncryptedJSONField, EncryptedTextField, Envelope, sealed
from apps.kernel.crypto.keyring import KeyRing
from tests.kernel.sample.models import Vault

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ring_file")]

TOKEN = "tok-Ünïcode-✓"


def stored(vault: Vault, column: str = "token") -> bytes | None:
    """The column's bytes, past every layer of ours."""
    with connection.cursor() as cursor:
        key: Any = vault.pk if connection.vendor == "postgresql" else vault.pk.hex
        cursor.execute(f"SELECT {column} FROM kernel_sample_vault WHERE id = %s", [key])
        value = cursor.fetchone()[0]
    return None if value is None else bytes(value)


def store(vault: Vault, data: bytes | None, column: str = "token") -> None:
    with connection.cursor() as cursor:
        key: Any = vault.pk if connection.vendor == "postgresql" else vault.pk.hex
        cursor.execute(f"UPDATE kernel_sample_vault SET {column} = %s WHERE id = %s", [data, key])


def test_a_secret_comes_back_and_is_not_in_the_table():
    vault = Vault.objects.create(token=TOKEN, credentials={"user": "ann", "password": "pä55"})
    found = Vault.objects.get(pk=vault.pk)

    assert found.token == TOKEN
    assert found.credentials == {"user": "ann", "password": "pä55"}
    assert TOKEN.encode() not in (stored(vault) or b"")
    assert b"ann" not in (stored(vault, "credentials") or b"")
    assert KeyRing.key_id_of(stored(vault) or b"") == "k1"


def test_null_stays_null_and_the_empty_text_is_encrypted():
    none = Vault.objects.create(token=None)
    empty = Vault.objects.create(token="")

    assert Vault.objects.get(pk=none.pk).token is None
    assert Vault.objects.get(pk=empty.pk).token == ""
    assert stored(none) is None
    assert len(stored(empty) or b"") == 32
    assert list(Vault.objects.filter(token__isnull=True)) == [none]


def test_a_queryset_decrypts_only_what_is_read(ring_file):
    readable, damaged = Vault.objects.create(token="a"), Vault.objects.create(token="b")
    store(damaged, b"rubbish")
    rows = {row.pk: row for row in Vault.objects.all()}

    assert rows[readable.pk].token == "a"
    with pytest.raises(DecryptionFailed):
        rows[damaged.pk].token  # noqa: B018
    ring_file.unlink()  # without any key, a list of vaults still shows
    assert {row.name for row in Vault.objects.all()} == {""}


def test_ciphertext_copied_to_another_row_fails_closed():
    mine, other = Vault.objects.create(token="mine"), Vault.objects.create(token="other")
    store(mine, stored(other))

    with pytest.raises(DecryptionFailed):
        Vault.objects.get(pk=mine.pk).token  # noqa: B018


def test_ciphertext_copied_to_another_field_fails_closed():
    vault = Vault.objects.create(token="secret")
    store(vault, stored(vault), column="credentials")

    with pytest.raises(DecryptionFailed):
        Vault.objects.get(pk=vault.pk).credentials  # noqa: B018


def test_plaintext_in_the_column_is_never_returned():
    vault = Vault.objects.create(token="secret")
    store(vault, b"planted by somebody with database access")

    with pytest.raises(DecryptionFailed) as caught:
        Vault.objects.get(pk=vault.pk).token  # noqa: B018
    assert "planted" not in str(caught.value)


def test_assigning_and_saving_changes_the_secret():
    vault = Vault.objects.create(token="old")
    vault.token = "new"
    assert vault.token == "new"
    vault.save(update_fields=["token"])

    assert Vault.objects.get(pk=vault.pk).token == "new"


def test_saving_an_untouched_row_keeps_the_bytes():
    vault = Vault.objects.create(token="same", credentials={"a": [1]})
    before = stored(vault), stored(vault, "credentials")
    found = Vault.objects.get(pk=vault.pk)
    found.name = "renamed"
    assert found.token == "same"
    assert found.credentials == {"a": [1]}
    found.full_clean()
    found.save()

    assert (stored(vault), stored(vault, "credentials")) == before
    assert Vault.objects.get(pk=vault.pk).name == "renamed"


def test_a_change_inside_a_json_value_is_saved():
    vault = Vault.objects.create(credentials={"list": [1]})
    found = Vault.objects.get(pk=vault.pk)
    found.credentials["list"].append(2)
    found.save()

    assert Vault.objects.get(pk=vault.pk).credentials == {"list": [1, 2]}


def test_a_deferred_secret_is_loaded_when_read_and_survives_a_save():
    vault = Vault.objects.create(token="later", name="x")
    found = Vault.objects.defer("token").get(pk=vault.pk)
    assert found.get_deferred_fields() == {"token"}
    found.name = "y"
    found.save()

    assert found.token == "later"
    assert Vault.objects.get(pk=vault.pk).token == "later"
    with CaptureQueriesContext(connection) as queries:
        only = Vault.objects.only("name").get(pk=vault.pk)
        assert only.token == "later"
        assert only.token == "later"
    assert len(queries) == 2


def test_a_deferred_secret_of_a_deleted_row_is_an_error():
    vault = Vault.objects.create(token="later")
    found = Vault.objects.defer("token").get(pk=vault.pk)
    Vault.objects.all().delete()

    with pytest.raises(ObjectDoesNotExist):
        found.token  # noqa: B018


def test_refresh_from_db_reads_the_new_secret():
    vault = Vault.objects.create(token="old")
    Vault.objects.filter(pk=vault.pk).update(**sealed(vault, token="new"))
    assert vault.token == "old"
    vault.refresh_from_db()
    assert vault.token == "new"
    vault.refresh_from_db(fields=["name"])
    vault.save()

    assert Vault.objects.get(pk=vault.pk).token == "new"


def test_update_takes_sealed_values_only():
    vault = Vault.objects.create(token="old")
    before = stored(vault)
    for value in ("new", b"new", 5):
        with (
            pytest.raises(FieldError, match=r"kernel_sample\.Vault\.token is encrypted for its row"),
            transaction.atomic(),
        ):
            Vault.objects.update(token=value)
    assert stored(vault) == before

    Vault.objects.filter(pk=vault.pk).update(**sealed(vault, token="new", name="n"))
    assert Vault.objects.get(pk=vault.pk).token == "new"
    Vault.objects.update(token=None)
    assert Vault.objects.get(pk=vault.pk).token is None


def test_an_update_with_a_value_sealed_for_another_row_is_useless():
    mine, other = Vault.objects.create(token="mine"), Vault.objects.create()
    Vault.objects.filter(pk=other.pk).update(**sealed(mine, token="mine"))

    with pytest.raises(DecryptionFailed):
        Vault.objects.get(pk=other.pk).token  # noqa: B018


def test_bulk_create_encrypts_each_for_its_row():
    rows = [Vault(token=f"t{n}", credentials={"n": n}) for n in range(50)]
    Vault.objects.bulk_create(rows)

    assert {v.pk: (v.token, v.credentials) for v in Vault.objects.all()} == {
        row.pk: (f"t{n}", {"n": n}) for n, row in enumerate(rows)
    }


def test_bulk_update_is_refused():
    vault = Vault.objects.create(token="old")
    vault.token = "new"

    with pytest.raises(FieldError, match="encrypted for its row"), transaction.atomic():
        Vault.objects.bulk_update([vault], ["token"])
    assert Vault.objects.get(pk=vault.pk).token == "old"


@pytest.mark.parametrize(
    "condition",
    [
        {"token": "x"},
        {"token": None},
        {"token__contains": "x"},
        {"token__in": ["x"]},
        {"credentials__user": "ann"},
        {"credentials__user__icontains": "a"},
    ],
)
def test_searching_a_secret_is_refused(condition: dict[str, Any]):
    with pytest.raises(FieldError, match="is encrypted and cannot be searched"):
        list(Vault.objects.filter(**condition))
    with pytest.raises(FieldError, match="is encrypted and cannot be searched"):
        list(Vault.objects.exclude(**condition))


def test_saving_without_a_primary_key_is_refused():
    field = Vault._meta.get_field("token")
    with pytest.raises(
        ValueError, match=r"kernel_sample\.Vault\.token is encrypted for its row: the primary key"
    ):
        field.pre_save(Vault(id=None, token="x"), True)


def test_a_row_copied_under_a_new_key_is_sealed_again():
    original = Vault.objects.create(token="shared", credentials={"a": 1})
    for read_first in (False, True):
        twin = Vault.objects.get(pk=original.pk)
        if read_first:
            assert twin.token == "shared"
        twin.pk = uuid.uuid4()
        twin._state.adding = True
        twin.save()
        assert Vault.objects.get(pk=twin.pk).token == "shared"
        assert Vault.objects.get(pk=twin.pk).credentials == {"a": 1}
    assert Vault.objects.get(pk=original.pk).token == "shared"


def test_the_key_may_be_given_as_text():
    key = uuid.uuid4()
    Vault(id=str(key).upper().replace("-", ""), token="x").save()

    assert Vault.objects.get(pk=key).token == "x"


def test_a_pickle_carries_ciphertext_only():
    saved = Vault.objects.create(token="saved-secret", credentials={"p": "saved-password"})
    loaded = Vault.objects.get(pk=saved.pk)
    unread = Vault.objects.get(pk=saved.pk)
    assert loaded.token == "saved-secret"
    changed = Vault.objects.get(pk=saved.pk)
    changed.token = "changed-secret"
    new = Vault(token="new-secret")
    for row in (saved, loaded, unread, changed, new):
        data = pickle.dumps(row)
        assert b"secret" not in data
        assert b"saved-password" not in data
        again = pickle.loads(pickle.dumps(pickle.loads(data)))
        assert (again.token, again.credentials) == (row.token, row.credentials)
    assert pickle.loads(pickle.dumps(changed)).token == "changed-secret"
    assert pickle.loads(pickle.dumps(new)).token == "new-secret"
    assert pickle.loads(pickle.dumps(unread)).credentials == {"p": "saved-password"}


def test_an_unpickled_row_can_be_saved():
    new = pickle.loads(pickle.dumps(Vault(token="new-secret")))
    new.save()

    assert Vault.objects.get(pk=new.pk).token == "new-secret"


def test_copies_are_independent():
    vault = Vault.objects.get(pk=Vault.objects.create(token="one", credentials={"a": [1]}).pk)
    for unread in (True, False):
        twin = copy.deepcopy(vault)
        twin.credentials["a"].append(2)
        twin.token = "two"
        assert (twin.token, twin.credentials) == ("two", {"a": [1, 2]})
        if not unread:
            assert (vault.token, vault.credentials) == ("one", {"a": [1]})
        else:
            vault.credentials  # noqa: B018
    shallow = copy.copy(vault)
    shallow.token = "three"
    assert vault.token == "one"


def test_nothing_shows_the_secret():
    vault = Vault.objects.create(token="s3cr3t", credentials={"p": "s3cr3t"})
    loaded = Vault.objects.get(pk=vault.pk)
    assert loaded.token == "s3cr3t"
    shown = [
        repr(vault),
        repr(vars(vault)),
        repr(vars(loaded)),
        str(model_to_dict(vault)),
        str(list(Vault.objects.values())),
        str(list(Vault.objects.values_list("token", "credentials"))),
        serializers.serialize("json", [vault, loaded]),
        serializers.serialize("xml", [vault]),
        repr(Vault(token="s3cr3t").__dict__),
    ]

    assert [text for text in shown if "s3cr3t" in text] == []
    fields = json.loads(serializers.serialize("json", [loaded]))[0]["fields"]
    assert (fields["token"], fields["credentials"]) == ("***", "***")
    assert json.loads(serializers.serialize("json", [Vault(token=None)]))[0]["fields"]["token"] is None


def test_a_fixture_with_the_mask_is_not_loaded_as_a_secret():
    vault = Vault.objects.create(token="real")
    item = next(serializers.deserialize("json", serializers.serialize("json", [vault])))

    with pytest.raises(FieldError), transaction.atomic():
        item.save()
    assert Vault.objects.get(pk=vault.pk).token == "real"


def test_the_envelope_prints_as_a_mask():
    envelope = Vault.objects.values_list("credentials", flat=True).get(pk=Vault.objects.create().pk)

    assert isinstance(envelope, Envelope)
    assert (str(envelope), repr(envelope), f"{envelope}") == ("***", "***", "***")


def test_values_of_the_wrong_type_are_refused_without_being_quoted():
    with pytest.raises(TypeError) as caught:
        Vault(token=b"bytes-secret")
    assert str(caught.value) == "kernel_sample.Vault.token takes text, not bytes."
    with pytest.raises(TypeError) as caught:
        Vault.objects.create(credentials={"a": object()})
    assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="JSON compliant"):
        Vault.objects.create(credentials={"a": float("nan")})


def test_forms_leave_secrets_out():
    assert list(modelform_factory(Vault, fields="__all__").base_fields) == ["name"]


@isolate_apps("tests.kernel.sample")
def test_an_editable_secret_is_write_only_in_forms():
    class Door(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        pin = EncryptedTextField(editable=True, default="")

        class Meta:
            app_label = "kernel_sample"

    door = Door(pin="4711")
    form_class = modelform_factory(Door, fields=["pin"])
    assert "4711" not in str(form_class(instance=door))
    assert "***" not in str(form_class(instance=door))

    unchanged = form_class({"pin": ""}, instance=door)
    assert unchanged.is_valid()
    assert unchanged.save(commit=False).pin == "4711"
    changed = form_class({"pin": " 1234 "}, instance=door)
    assert changed.is_valid()
    assert changed.save(commit=False).pin == " 1234 "


@isolate_apps("tests.kernel.sample")
def test_a_key_that_only_the_database_knows_is_a_check_error():
    class Row(models.Model):
        token = EncryptedTextField()

        class Meta:
            app_label = "kernel_sample"

    assert [error.id for error in Row._meta.get_field("token").check()] == ["kernel.E001"]
    assert Vault._meta.get_field("token").check() == []


@pytest.mark.parametrize("option", [{"unique": True}, {"db_index": True}, {"primary_key": True}])
def test_options_that_compare_ciphertext_are_refused(option: dict[str, Any]):
    with pytest.raises(TypeError, match="An encrypted field cannot have"):
        EncryptedTextField(**option)


def test_migrations_are_plain():
    text, imports = MigrationWriter.serialize(EncryptedTextField(null=True, help_text="x"))
    assert text == "apps.kernel.crypto.fields.EncryptedTextField(help_text='x', null=True)"
    assert imports == {"import apps.kernel.crypto.fields"}
    text, _ = MigrationWriter.serialize(EncryptedJSONField(default=dict, editable=True, bound_as="a.B|c"))
    assert (
        text == "apps.kernel.crypto.fields.EncryptedJSONField(bound_as='a.B|c', default=dict, editable=True)"
    )


@isolate_apps("tests.kernel.sample")
def test_a_renamed_field_keeps_its_binding():
    class Before(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        token = EncryptedTextField()

        class Meta:
            app_label = "kernel_sample"

    class After(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        secret = EncryptedTextField(bound_as="kernel_sample.Before|token")

        class Meta:
            app_label = "kernel_sample"

    key = uuid.uuid4()
    envelope = Before._meta.get_field("token").seal(key, "kept")
    assert After(id=key, secret=envelope).secret == "kept"


def test_a_lost_key_says_what_to_do(ring_file):
    vault = Vault.objects.create(token="x")
    ring_file.unlink()
    KeyRing.generate_file(ring_file)
    KeyRing.load(ring_file).add_key()
    ring = KeyRing.load(ring_file)
    ring.drop_keys(["k1"])

    with pytest.raises(DecryptionFailed, match="'k1', which is not in the key ring") as caught:
        Vault.objects.get(pk=vault.pk).token  # noqa: B018
    assert caught.value.code == "decryption_key_missing"


def test_a_row_loaded_before_a_rotation_is_saved_under_the_new_key(ring_file):
    vault = Vault.objects.get(pk=Vault.objects.create(token="x").pk)
    KeyRing.load(ring_file).add_key()
    vault.save()

    assert KeyRing.key_id_of(stored(vault) or b"") == "k2"
    assert Vault.objects.get(pk=vault.pk).token == "x"
