"""Says whether PostgreSQL and Redis answer: `make test-services` must fail, not skip, when one is missing."""

import os
import sys

import psycopg
import redis


def main() -> int:
    """0 when both answer; otherwise 1 and a sentence for each that does not."""
    missing = []
    database, broker = os.environ["DATABASE_URL"], os.environ["CELERY_BROKER_URL"]
    if not database.startswith("postgres"):
        missing.append(f"DATABASE_URL must be PostgreSQL for these tests, not {database.split(':')[0]}.")
    else:
        try:
            psycopg.connect(database.rsplit("/", 1)[0] + "/postgres", connect_timeout=5).close()
        except psycopg.OperationalError as error:
            missing.append(f"PostgreSQL does not answer ({str(error).splitlines()[0]}). Start it, or set DATABASE_URL.")
    if not broker.startswith("redis"):
        missing.append(f"CELERY_BROKER_URL must be Redis for these tests, not {broker.split(':')[0]}.")
    else:
        try:
            redis.Redis.from_url(broker, socket_connect_timeout=5).ping()
        except redis.RedisError as error:
            missing.append(f"Redis does not answer ({error}). Start it, or set CELERY_BROKER_URL.")
    for sentence in missing:
        sys.stderr.write(f"{sentence}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
