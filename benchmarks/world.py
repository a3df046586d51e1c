"""What is measured: a scoring model with every feature, people at companies, and the events they send."""

import itertools
import json
import random
from datetime import timedelta
from typing import Any

import msgspec
from django.core.management import call_command
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL
from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from leads import intake, publishing
from leads.documents import ModelDoc
from leads.models import Delivery, Identity, Lead, Source

# Rules with limits, expiry, conditions and a reset; bounds; fit; idleness; exclusion; derived types; gates with
# counts, windows, and the company. Everybody ends in `sql`: its gates are tried again and again, and stay shut.
MODEL: dict[str, Any] = {
    "scoring": {
        "derive": [{"from": "PAGE_VIEWED", "when": [{"field": "event.path", "op": "is", "value": "/pricing"}], "as": "SAW_PRICES"}],
        "rules": [
            {"key": "viewed-pricing", "event": "VIEWED_PRICING", "points": 10, "limit": {"times": 3, "per": "day"}},
            {"key": "saw-prices", "event": "SAW_PRICES", "points": 2},
            {"key": "downloaded", "event": "DOWNLOADED_API_DOCS", "points": 20, "expires_after": "90d"},
            {"key": "abandoned", "event": "ABANDONED_CHECKOUT", "points": 15},
            {
                "key": "abandoned-large",
                "event": "ABANDONED_CHECKOUT",
                "points": 5,
                "when": [{"field": "event.seats", "op": "gte", "value": 50}],
            },
            {"key": "left", "event": "ACCOUNT_CLOSED", "reset": "engagement"},
        ],
        "fit": [
            {"key": "leads-tech", "points": 20, "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}]},
            {"key": "in-europe", "points": 5, "when": [{"field": "lead.country", "op": "in", "value": ["DE", "FR", "IT"]}]},
        ],
        "idle": [{"key": "quiet", "after": "30d", "points": -10, "every": "30d"}],
        "exclude": [{"field": "lead.email", "op": "ends_with", "value": "@rival.example"}],
        "limits": {"stop_above": 300, "fit_max": 30, "floor": 0},
    },
    "gates": [
        {"key": "in", "from": "cold", "to": "mql", "conditions": [{"event": "SIGNED_UP"}]},
        {"key": "hot", "from": "mql", "to": "sql", "conditions": [{"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"}]},
        {
            "key": "team",
            "from": "sql",
            "to": "won",
            "match": "all",
            "conditions": [
                {"event": "DOWNLOADED_API_DOCS", "of": "company", "times": {"at_least": 3}, "within": "30d"},
                {"event": "CONTRACT_SIGNED"},
            ],
        },
        {
            "key": "cooled",
            "from": "sql",
            "to": "mql",
            "match": "all",
            "conditions": [{"idle_for": "90d"}, {"event": "VIEWED_PRICING", "times": {"at_most": 0}, "within": "60d"}],
        },
    ],
}
TYPES = ["VIEWED_PRICING", "DOWNLOADED_API_DOCS", "ABANDONED_CHECKOUT", "PAGE_VIEWED", "SIGNED_UP", "REPORT_OPENED"]
HISTORY = ["SIGNED_UP", "VIEWED_PRICING", "VIEWED_PRICING", "VIEWED_PRICING"]
COLLEAGUES = 10
EVENTS = 1000
CROWD = 10_000
serial = itertools.count(1)


def prepare() -> None:
    """Make the tables and publish the model."""
    call_command("migrate", verbosity=0)
    publishing.replace_draft(msgspec.convert(MODEL, ModelDoc))
    publishing.publish()


def close() -> None:
    """Let go of the database."""
    connection.close()
    if isinstance(connection, PostgreSQL):
        connection.close_pool()


def vendor() -> str:
    """The database it runs on."""
    return connection.vendor


def source() -> Source:
    """The product whose events these are."""
    return Source.objects.filter(name="Benchmark").first() or Source.create_with_key("Benchmark", "server")[0]


def message(user: str, kind: str, **more: Any) -> dict[str, Any]:
    """What a product posts about somebody, with an id of its own; some 270 bytes."""
    chance = random.Random(next(serial))
    metadata = {
        "path": chance.choice(["/pricing", "/docs", "/"]),
        "plan": chance.choice(["free", "team"]),
        "seats": chance.randint(1, 99),
        "session": f"{chance.getrandbits(64):x}",
        "referrer": "https://search.example/?q=crm",
    }
    return {"userId": user, "eventType": kind, "messageId": f"m{next(serial)}", "metadata": metadata, **more}


def messages(users: list[str]) -> list[dict[str, Any]]:
    """One event of each, of any type."""
    chance = random.Random(next(serial))
    return [message(user, chance.choice(TYPES)) for user in users]


def deliver(batch: list[dict[str, Any]], *, size: int) -> None:
    """Fill the inbox with requests of `size` messages."""
    sender, now = source(), timezone.now()
    Delivery.objects.bulk_create(
        Delivery(
            source=sender,
            door=Delivery.Door.EVENTS,
            body=json.dumps(batch[n : n + size]).encode(),
            message_count=len(batch[n : n + size]),
            received_at=now + timedelta(microseconds=n) - timedelta(seconds=1),
            due_at=now,
        )
        for n in range(0, len(batch), size)
    )


def people(prefix: str, count: int) -> list[str]:
    """The user ids of so many people at companies, with a history that led them to `sql`; made when there are none yet."""
    users = [f"{prefix}{n}" for n in range(count)]
    if not Identity.objects.filter(value=users[0]).exists():
        deliver([message(user, HISTORY[0], traits=traits(prefix, n)) for n, user in enumerate(users)], size=100)
        for kind in HISTORY[1:]:
            deliver([message(user, kind) for user in users], size=100)
        intake.drain_all()
    return users


def traits(prefix: str, n: int) -> dict[str, Any]:
    """Who somebody is; ten of them at a time work for one company."""
    firm = f"{prefix}-firm{n // COLLEAGUES}"
    title = "CTO" if n % 7 == 0 else "Engineer"
    return {"name": f"Person {n}", "email": f"{n}@{firm}.example", "title": title, "country": "DE", "company": {"name": firm}}


def crowd(count: int) -> list[str]:
    """The user ids of so many people about whom nothing else is known, each with one event."""
    users = [f"crowd{n}" for n in range(count)]
    if not Identity.objects.filter(value=users[0]).exists():
        deliver([message(user, HISTORY[0]) for user in users], size=100)
        intake.drain_all()
    return users


def books_balance() -> bool:
    """Whether every lead's points are the sum of its ledger."""
    of_axis = {axis: Coalesce(Sum("entries__points", filter=Q(entries__axis=axis)), 0) for axis in ("engagement", "fit")}
    sums = Lead.objects.annotate(ledger_engagement=of_axis["engagement"], ledger_fit=of_axis["fit"])
    return not sums.exclude(engagement=F("ledger_engagement"), fit=F("ledger_fit")).exists()
