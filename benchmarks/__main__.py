"""`make bench`: each row is our work divided by a limit, measured by turns in one run.

A row prints the median of the rounds' ratios with the smallest and the largest, its goal, and as JSON
lines what it measured. Absolute numbers belong to the machine and mean nothing alone. Runs on SQLite
in a scratch folder, or on the server that DATABASE_URL names (in a scratch database of it).
"""

import argparse
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.measure import measure


@contextmanager
def scratch_database() -> Iterator[None]:
    """Point DATABASE_URL at a database of our own for as long as the benchmark runs."""
    url = os.environ.get("DATABASE_URL", "")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"VAR_DIR": folder, "LOG_LEVEL": "ERROR", "CELERY_BROKER_URL": "memory://", "DEBUG": "1"}
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
    """Run every row; 1 when a row is below 0.6 of its goal (below the goal with --strict) or the control passes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    with scratch_database():
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crm.settings")
        import django

        django.setup()
        from benchmarks import rows

        rows.prepare()
        results = [measure(row, rounds=options.rounds) for row in rows.all_rows()]
        control = rows.naive_control_is_caught()
        rows.close()
    for result in results:
        sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.write(f"\n{os.cpu_count()} CPUs, {options.rounds} rounds, {rows.vendor()}\n")
    for result in results:
        sys.stdout.write("{median:>7} (goal ≥ {goal:<5} min {min}, max {max})  {row}\n".format(**result))
    sys.stdout.write(f"naive read-add-save control: {'caught' if control else 'NOT CAUGHT'}\n")
    bar = 1.0 if options.strict else 0.6
    return int(not control or any(result["median"] < result["goal"] * bar for result in results))


if __name__ == "__main__":
    sys.exit(main())
