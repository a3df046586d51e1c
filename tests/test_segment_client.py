"""The unmodified Segment client for Python against a live server."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from segment.analytics import request as wire
from segment.analytics.client import Client

from leads.intake import drain_all
from leads.models import Delivery, Event, Identity, Lead
from tests.factories import make_source

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _hang_up():
    """Let go of the connection the client keeps open, before its server stops."""
    yield
    wire._session.close()


TYPES = ["IDENTIFIED", "TRIAL_STARTED", "PAGE_VIEWED", "SCREEN_VIEWED", "GROUPED", "ALIASED", "VIEWED"]


def use(client, *, day, ids):
    """What a product does with it. A product that repeats itself says the same again: ids, times and all."""
    same = [{"message_id": one, "timestamp": day} for one in ids]
    client.identify("user-1", {"email": "jane@acme.io", "plan": "pro"}, context={"ip": "203.0.113.5"}, **same[0])
    client.track("user-1", "Trial Started", {"seats": 3}, **same[1])
    client.page("user-1", "Docs", "Pricing", {"url": "https://x.io/pricing"}, **same[2])
    client.screen("user-1", "App", "Home", **same[3])
    client.group("user-1", "acme", {"name": "Acme"}, **same[4])
    client.alias("anon-9", "user-1", **same[5])
    client.track(anonymous_id="anon-9", event="Viewed", **same[6])


@pytest.mark.parametrize(("sync_mode", "gzip"), [(True, False), (True, True), (False, True)])
def test_the_segment_client_says_everything_twice_and_it_is_stored_once(live_server, gzip, sync_mode):
    _, key = make_source()
    failures = []
    options = {"host": live_server.url, "gzip": gzip, "sync_mode": sync_mode, "max_retries": 0}
    day, ids = timezone.now() - timedelta(days=1), [str(uuid.uuid4()) for _ in TYPES]

    for _ in range(2):
        client = Client(key, on_error=lambda error, items: failures.append(error), **options)
        use(client, day=day, ids=ids)
        if not sync_mode:
            client.shutdown()
        drain_all()

    assert failures == []
    assert sum(delivery.message_count for delivery in Delivery.objects.all()) == 14
    assert sum(delivery.stored for delivery in Delivery.objects.all()) == 7
    assert sum(delivery.duplicates for delivery in Delivery.objects.all()) == 7
    assert all(delivery.state == "processed" and delivery.rejected == [] for delivery in Delivery.objects.all())
    assert dict(Event.objects.values_list("message_id", "type")) == dict(zip(ids, TYPES, strict=True))
    at = Event.objects.get(type="PAGE_VIEWED").at
    assert abs(at - day) < timedelta(seconds=5)
    lead = Lead.objects.get(merged_into=None)
    assert (lead.email, lead.traits["plan"]) == ("jane@acme.io", "pro")
    keys = set(Identity.objects.filter(lead=lead).values_list("kind", "value"))
    assert keys == {("user_id", "user-1"), ("email", "jane@acme.io"), ("anonymous_id", "anon-9")}


def test_a_wrong_key_is_an_error_the_client_understands(live_server):
    client = Client("nope", host=live_server.url, sync_mode=True)

    with pytest.raises(Exception, match="invalid_credentials") as caught:
        client.track("user-1", "Trial Started")

    assert caught.value.status == 401
