"""Finding the keys of records by any field that an index answers: what the transform `lookup` asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from apps.kernel.errors import FieldError, InvalidInput
from apps.records.fields import FIELD_TYPES, ValueProblem
from apps.records.models import Dataset
from apps.records.services import bulk
from apps.records.services.outcomes import UpsertResult
from apps.tenants.models import Organization

Create = Callable[[Dataset, list[dict[str, Any]]], UpsertResult]


class Finder:
    """Answers `(dataset, field, values)` with the key of the record with each value, in one organization."""

    def __init__(self, organization: Organization, create: Create | None = None) -> None:
        """`create` writes the records that a mapping wants made where they are missing."""
        self.organization = organization
        self._create_rows = create
        self._datasets: dict[str, Dataset] = {}

    def __call__(self, slug: str, field: str, values: Collection[str]) -> Mapping[str, Any]:
        """The keys found; a value without a record is missing. Raises InvalidInput without an index."""
        dataset = self._dataset(slug)
        if field in ("", dataset.key_field):
            found = self._by_column(dataset, "key", {value: value for value in values})
        elif field in dataset.slots:
            found = self._by_column(dataset, dataset.slots[field], self._texts(dataset, field, values))
        elif field in dataset.fields_by_name and dataset.fields_by_name[field].unique:
            found = self._by_unique(dataset, field, values)
        else:
            raise InvalidInput(
                f"Records of “{slug}” cannot be looked up by “{field}”: it is neither indexed nor unique.",
                errors=[FieldError("/lookup", "not_indexed", "Choose an indexed or unique field.")],
            )
        return found

    def create(self, slug: str, field: str, values: Collection[str]) -> Mapping[str, Any]:
        """The keys of new records with these values, or why there cannot be one.

        The value also becomes the key and the title, where the new record needs them and has none.
        """
        dataset = self._dataset(slug)
        name = field or dataset.key_field
        also = [
            n
            for n in (dataset.key_field, dataset.title_field)
            if n and n != name and (n == dataset.key_field or dataset.fields_by_name[n].required)
        ]
        texts = sorted(values)
        if self._create_rows is None:  # only foretold
            return {text: text for text in texts}
        rows = [dict.fromkeys([name, *also], text) for text in texts]
        result = self._create_rows(dataset, rows)
        made: dict[str, Any] = dict(self(slug, field, values))
        for problem in result.problems:
            made.setdefault(
                texts[problem.row - 1],
                ValueProblem(
                    "reference_not_created",
                    f"There is no record “{texts[problem.row - 1]}” in “{slug}”, and none could be made: "
                    f"{problem.message}",
                ),
            )
        return made

    def _dataset(self, slug: str) -> Dataset:
        if slug not in self._datasets:
            dataset = Dataset.objects.filter(organization=self.organization, slug=slug).first()
            if dataset is None:
                raise InvalidInput(f"There is no dataset “{slug}” to look records up in.")
            self._datasets[slug] = dataset
        return self._datasets[slug]

    def _texts(self, dataset: Dataset, field: str, values: Collection[str]) -> dict[str, str]:
        spec = dataset.fields_by_name[field]
        kind = FIELD_TYPES[spec.type]
        texts = {}
        for value in values:
            try:
                texts[value] = kind.sort_text(kind.parse(value, spec), spec)
            except ValueProblem:
                continue
        return texts

    def _by_column(self, dataset: Dataset, column: str, texts: Mapping[str, str]) -> dict[str, Any]:
        rows = bulk.rows_in(
            f"SELECT {column}, key FROM records_record "  # noqa: S608 - a column of ours
            f"WHERE dataset_id = %s AND deleted_at IS NULL AND {column} {{keys}}",
            [bulk.hex_of(dataset.pk)],
            sorted(set(texts.values())),
        )
        keys = dict(rows)
        return {value: keys[text] for value, text in texts.items() if keys.get(text) is not None}

    def _by_unique(self, dataset: Dataset, field: str, values: Collection[str]) -> dict[str, Any]:
        rows = bulk.rows_in(
            "SELECT k.value, r.key FROM records_recordkey k JOIN records_record r ON r.id = k.record_id "
            "WHERE k.dataset_id = %s AND k.field = %s AND k.value {keys}",
            [bulk.hex_of(dataset.pk), field],
            sorted(values),
        )
        return {value: key for value, key in rows if key is not None}
