"""However facts arrive (permuted, repeated, split over requests, late), the ledger and the columns are the same."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads import intake, publishing, scoring
from leads.documents import ModelDoc
from leads.models import Delivery, Lead, ScoreEntry
from tests.factories import make_source
from tests.test_intake import MODEL

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
TYPES = ["VIEWED_PRICING", "DOWNLOADED_API_DOCS", "ABANDONED_CHECKOUT", "SIGNED_UP", "NEWS_READ"]
LIMITED = {
    "key": "news",
    "name": "Read news",
    "event": "NEWS_READ",
    "points": 3,
    "limit": {"times": 2, "per": "day"},
    "expires_after": "7d",
}
facts = st.lists(st.tuples(st.sampled_from(TYPES), st.integers(0, 60 * 24 * 40)), min_size=1, max_size=14, unique=True)


class Undone(Exception):
    """Ends an example and undoes what it wrote."""


def messages_for(drawn):
    return [
        {
            "userId": "ada",
            "eventType": kind,
            "messageId": f"{kind}-{minute}",
            "timestamp": (START + timedelta(minutes=minute)).isoformat(),
            "traits": {"title": "CTO" if minute % 2 else "Director"},
        }
        for kind, minute in drawn
    ]


def record(source, messages, cuts):
    """Post the messages in the given order, cut into requests; what the ledger says in the end."""
    edges = [0, *sorted({cut for cut in cuts if cut < len(messages)}), len(messages)]
    for begin, end in itertools.pairwise(edges):
        if messages[begin:end]:
            body = json.dumps(messages[begin:end]).encode()
            Delivery.objects.create(source=source, door="events", body=body, message_count=end - begin)
            intake.drain()
    lead = Lead.objects.get()
    sums: dict[tuple[str, str, str], int] = {}
    for entry in ScoreEntry.objects.select_related("event"):
        key = (entry.event.message_id, entry.rule, entry.kind)
        sums[key] = sums.get(key, 0) + entry.points
    return {key: points for key, points in sums.items() if points}, lead.engagement, lead.fit, lead.title


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(drawn=facts, data=st.data())
def test_any_order_split_or_repetition_gives_the_same_ledger(drawn, data):
    in_order = sorted(messages_for(drawn), key=lambda message: (message["timestamp"], message["messageId"]))
    shuffled = data.draw(st.permutations(in_order))
    repeated = [*shuffled, *data.draw(st.lists(st.sampled_from(in_order), max_size=4))]
    outcomes = []
    for messages, cuts in ((in_order, []), (repeated, data.draw(st.lists(st.integers(1, 18), max_size=6)))):
        try:
            with transaction.atomic():
                model = json.loads(json.dumps(MODEL))
                model["scoring"]["rules"].append(LIMITED)
                publishing.replace_draft(msgspec.convert(model, ModelDoc))
                publishing.publish()
                outcomes.append(record(make_source()[0], messages, cuts))
                lead = Lead.objects.get()
                assert scoring.refold([lead.pk], now=timezone.now()) == 0
                raise Undone
        except Undone:
            pass
    assert outcomes[0] == outcomes[1]
