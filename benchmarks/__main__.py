"""`make bench`: each row is our work divided by a limit, measured by turns in one run.

A row prints the median of the rounds' ratios with the smallest and the largest, and its goal; before the
table stand the same results as JSON lines. Absolute numbers belong to the machine and mean nothing alone.
Runs on SQLite in a scratch folder, or on the server that DATABASE_URL names (in a scratch database of it).
"""

import argparse
import json
import os
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from benchmarks.measure import measure, sync_cost

# As in production: no query log, no debug pages; connections are kept between requests.
SETTINGS = {
    "DEBUG": "0",
    "SECRET_KEY": "only-for-the-benchmark-whose-database-is-dropped-after-it",
    "ALLOWED_HOSTS": "localhost",
    "SITE_URL": "http://localhost",
    "DATABASE_POOL": "1",
    "LOG_LEVEL": "ERROR",
    "CELERY_BROKER_URL": "memory://",
    "DJANGO_SETTINGS_MODULE": "crm.settings",
}


@contextmanager
def scratch_database() -> Iterator[None]:
    """Point DATABASE_URL at a database of our own for as long as the benchmark runs."""
    url = os.environ.get("DATABASE_URL", "")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {**SETTINGS, "VAR_DIR": folder}
        if not url.startswith("postgres"):
            os.environ["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
            yield
            return
        import psycopg

        server, name = url.rsplit("/", 1)[0], f"bench_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}"')
            os.environ["DATABASE_URL"] = f"{server}/{name}"
            try:
                yield
            finally:
                admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def main() -> int:
    """Run every row. 1 when a row is below 0.6 of its goal (below the goal with --strict), a sum is wrong, or the control passes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--only", default="", help="measure only rows with this text in their name")
    options = parser.parse_args()
    with scratch_database():
        import django

        warnings.filterwarnings("ignore", message="No directory at")  # no static files are collected here
        django.setup()
        from benchmarks import rows, world

        sys.stdout.write(f"{os.cpu_count()} CPUs, {world.vendor()}, forced write {sync_cost():.0f} µs, {options.rounds} rounds\n")
        world.prepare()
        results = []
        for row in rows.all_rows():
            if options.only in row.name:
                results.append(measure(row, rounds=options.rounds))
                sys.stdout.write(json.dumps(asdict(results[-1]), ensure_ascii=False) + "\n")
                sys.stdout.flush()
        balanced, caught = world.books_balance(), rows.naive_control_is_caught()
        world.close()
    for result in results:
        sys.stdout.write(f"{result.line}\n")
    sys.stdout.write(f"ledgers add up to the columns: {'yes' if balanced else 'NO'}\n")
    sys.stdout.write(f"naive read-add-save control: {'caught' if caught else 'NOT CAUGHT'}\n")
    bar = 1.0 if options.strict else 0.6
    return int(not balanced or not caught or not all(result.reaches(bar) for result in results))


if __name__ == "__main__":
    sys.exit(main())
