"""The bulk writer against a bare COPY and against django-import-export at its best.

The rows have 12 typed fields and come as the text of a CSV file. Ours maps, validates, writes the records
with their indexes, and the changes; the bare COPY only parses the file and fills a table without an index.
"""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import Figure, Took, at_least, at_most, median, taken, timed

COLUMNS = (
    "external_id", "name", "kind", "status", "email", "phone", "website", "city", "country", "credit_limit",
    "since", "notes",
)  # fmt: skip
CITIES = ("Berlin", "Lyon", "Porto", "Kraków", "Gent", "Århus", "Cork", "Graz")
COUNTRIES = ("DE", "FR", "PT", "PL", "BE", "DK", "IE", "AT")


def rows(count: int, seed: int = 1) -> Iterator[list[str]]:
    """Clients, as a spreadsheet has them."""
    rng = random.Random(seed)
    for n in range(count):
        place = rng.randrange(8)
        yield [
            f"C-{n:07d}", f"Company {n} & Sons", ("company", "person")[n % 2],
            ("lead", "active", "inactive", "archived")[rng.randrange(4)], f"office{n}@example.com",
            f"+4930{rng.randrange(10**7):07d}", f"https://example.com/{n}", CITIES[place], COUNTRIES[place],
            f"{rng.randrange(10**6)}.{n % 100:02d}", f"20{10 + n % 16}-{1 + n % 12:02d}-{1 + n % 28:02d}",
            "A quiet client, “pays” on time; call before noon.",
        ]  # fmt: skip


def csv_text(count: int) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows(rows(count))
    return out.getvalue()


def organization(name: str) -> Any:
    from apps.tenants.models import Organization
    from apps.tenants.services import organizations

    return Organization.objects.filter(name=name).first() or organizations.create(name=name)


def load(text: str, name: str) -> Took:
    """What our door takes: parse, map, validate, write records and changes."""
    from apps.records.selectors import dataset_of
    from apps.records.services.upsert import upsert
    from apps.tenants.principals import Actor

    dataset = dataset_of(organization(name), "clients")

    def work() -> None:
        source = csv.reader(io.StringIO(text))
        columns = next(source)
        result = upsert(
            dataset=dataset,
            rows=source,
            columns=columns,
            actor=Actor("job", f"JOB-{name}", "Benchmark"),
        )
        if result.failed:
            raise SystemExit(f"{result.failed} rows failed: {result.problems[:3]}")

    return taken(work)


def bare_copy(text: str) -> Took:
    """What it takes to parse the same file and COPY it into a table without index or constraint."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_bare")
        types = {"credit_limit": "numeric(16,2)", "since": "date"}
        columns = ", ".join(f"{name} {types.get(name, 'text')}" for name in COLUMNS)
        cursor.execute(f"CREATE TABLE bench_bare ({columns})")

        def work() -> None:
            source = csv.reader(io.StringIO(text))
            next(source)
            with cursor.copy("COPY bench_bare FROM STDIN") as copy:
                copy.write("\n".join(map("\t".join, source)) + "\n")

        took = taken(work)
        cursor.execute("DROP TABLE bench_bare")
    return took


def import_export(text: str, count: int, *, bulk: bool = True) -> float:
    """Rows a second of a django-import-export Resource, into a model of the same 12 columns."""
    import tablib
    from django.db import connection, models
    from import_export import resources

    class BenchClient(models.Model):
        external_id = models.CharField(max_length=120, unique=True)
        name = models.CharField(max_length=200)
        kind = models.CharField(max_length=20)
        status = models.CharField(max_length=20)
        email = models.EmailField()
        phone = models.CharField(max_length=30)
        website = models.URLField()
        city = models.CharField(max_length=120)
        country = models.CharField(max_length=60)
        credit_limit = models.DecimalField(max_digits=16, decimal_places=2)
        since = models.DateField()
        notes = models.TextField()

        class Meta:
            app_label = "records"
            db_table = "bench_client"

    class Defaults(resources.ModelResource):
        class Meta:
            model = BenchClient
            import_id_fields = ("external_id",)
            fields = COLUMNS

    class Bulk(resources.ModelResource):
        class Meta(Defaults.Meta):
            use_bulk = True
            batch_size = 1000
            skip_diff = True
            skip_html_diff = True
            report_skipped = False
            use_transactions = True

    resource = Bulk if bulk else Defaults
    with connection.schema_editor() as editor:
        editor.create_model(BenchClient)
    try:
        head = "\n".join(text.split("\n", count + 1)[: count + 1])
        data = tablib.Dataset().load(head, format="csv")
        seconds = timed(lambda: resource().import_data(data, raise_errors=True))
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(BenchClient)
    return count / seconds


def lists(name: str) -> dict[str, float]:
    """Milliseconds of the first, the last and a filtered page of the admin's list."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    from apps.tenants.services import organizations

    org = organization(name)
    users = get_user_model().objects
    user = users.filter(email=f"{org.slug}@example.com").first()
    if user is None:
        user = users.create_user(f"{org.slug}@example.com", "a-long-password-1", is_staff=True)
        organizations.admit(organization=org, user=user, role="owner")
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    from benchmarks.pages import record_list

    pages = record_list(org)
    out = {}
    for name, url in pages.items():
        response = client.get(url)
        if response.status_code != 200:
            raise SystemExit(f"{url} answered {response.status_code}")
        out[name] = median(timed(lambda url=url: client.get(url)) for _ in range(7)) * 1000
    return out


def memory(count: int) -> float:
    """Peak MB of a process that loads `count` rows, as a stream."""
    code = (
        "import django, json; django.setup()\n"
        "from benchmarks import records, measure\n"
        "from apps.records.selectors import dataset_of\n"
        "from apps.records.services.upsert import upsert\n"
        "from apps.tenants.principals import Actor\n"
        f"dataset = dataset_of(records.organization('Memory {count}'), 'clients')\n"
        "actor = Actor('job', 'JOB-M')\n"
        f"upsert(dataset=dataset, rows=records.rows({count}), columns=records.COLUMNS, actor=actor)\n"
        "print(json.dumps(measure.peak_memory()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def run(backend: str, *, quick: bool = False) -> list[Figure]:
    """All figures on the database that the settings name."""
    count = 20_000 if quick else 100_000
    text = csv_text(count)
    figures = []
    firsts, agains, bares = [], [], []
    for n in range(1 if quick else 3):
        firsts.append(load(text, f"Bench {n}"))
        if backend == "PostgreSQL":
            bares.append(bare_copy(text))
        agains.append(load(text, f"Bench {n}"))
    first, again = median(took.wall for took in firsts), median(took.wall for took in agains)
    peer = import_export(text, 20_000 if backend == "PostgreSQL" else 5_000)
    if bares:
        figures.append(
            at_most(
                f"upsert {count:,} rows vs bare COPY + csv ({backend})",
                first,
                median(took.wall for took in bares),
                4,
                note=f"first: {firsts[-1].cpu()}; bare: {bares[-1].cpu()}",
            )
        )
    figures.append(
        at_least(
            f"upsert {count:,} rows vs import-export bulk ({backend})",
            count / first,
            peer,
            8 if backend == "PostgreSQL" else 5,
        )
    )
    figures.append(
        at_most(f"second, unchanged load vs first ({backend})", again, first, 0.5, note=agains[-1].cpu())
    )
    if not quick:
        figures.append(
            at_most(
                f"peak memory, 1,000,000 rows vs 100,000 ({backend})",
                memory(1_000_000),
                memory(100_000),
                1.3,
                unit="MB",
            )
        )
        load(csv_text(1000), "Small")
        large, small = lists("Memory 1000000"), lists("Small")
        figures += [
            at_most(
                f"admin list, {name} page, 1,000,000 records vs 1,000 ({backend})",
                large[name],
                small[name],
                3,
                unit="ms",
            )
            for name in large
        ]
    return figures
