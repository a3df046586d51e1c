"""Marketing mail without consent is never sent, whatever path one tries; each try leaves its receipt."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from campaigns.enrollment import start_by_hand
from campaigns.models import Enrollment, Message
from campaigns.schedule import advance_due, fire_schedules
from campaigns.sending import send_due
from leads.intake import drain_all
from leads.models import Consent, Lead, Topic
from tests.factories import make_campaign, make_consent, make_lead, make_rep, make_source, make_step, make_transition
from tests.mailserver import mail_server, smtp_mailers

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)  # a Tuesday


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def server(settings):
    with mail_server() as recorder:
        settings.MAILERS = smtp_mailers(recorder.port)
        yield recorder


def work(clock, *, hours=0):
    """Time passes, and everything due is done."""
    clock.shift(timedelta(hours=hours))
    drain_all()
    fire_schedules()
    for _ in range(5):
        advance_due()
        send_due()


def post(client, path, body):
    """The product sends something."""
    _, key = make_source()
    answer = client.post(path, json.dumps(body), content_type="application/json", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.content


def receipts():
    """What is left of the tries: messages with their reason, and those who did not enter with theirs."""
    refused = Enrollment.objects.filter(state="refused")
    return [*Message.objects.values_list("state", "reason"), *(("refused", reason) for reason in refused.values_list("reason", flat=True))]


def by_hand(client, clock):
    """A colleague starts it."""
    start_by_hand(make_campaign(trigger={"manual": True}), make_lead(), make_rep())


def by_event(client, clock):
    """The product tells that somebody did something."""
    make_campaign(trigger={"event": "DOWNLOADED_API_DOCS"})
    post(client, "/api/events", {"email": "ada@example.com", "eventType": "DOWNLOADED_API_DOCS"})


def by_stage(client, clock):
    """A colleague moves the lead into the stage that starts it."""
    make_campaign(trigger={"stage": "sql"})
    lead, rep = make_lead(stage_id="mql"), make_rep()
    client.force_login(rep)
    assert client.post(f"/leads/{lead.uid}/move/", {"stage": "sql"}).status_code in {200, 204, 302}


def by_schedule(client, clock):
    """The clock starts it for everybody."""
    campaign = make_campaign(trigger={"schedule": "0 10 * * tue"})
    make_lead()
    campaign.versions.update(published_at=NOW)
    clock.shift(timedelta(minutes=31))


def by_live_batch(client, clock):
    """A batch of the Segment kind, which is as good as live events."""
    make_campaign(trigger={"event": "DOWNLOADED_API_DOCS"})
    batch = [{"type": "track", "userId": "u-1", "event": "Downloaded API docs", "context": {"traits": {"email": "ada@example.com"}}}]
    identify = [{"type": "identify", "userId": "u-1", "traits": {"email": "ada@example.com"}}]
    post(client, "/v1/batch", {"batch": identify + batch})


def by_consent_of_a_browser(client, clock):
    """A browser key claims consent for somebody; browsers can't."""
    make_campaign(trigger={"event": "DOWNLOADED_API_DOCS"})
    lead = make_lead(email="ada@example.com")
    _, key = make_source(scope="browser")
    body = {
        "anonymousId": "a-1",
        "email": lead.email,
        "eventType": "DOWNLOADED_API_DOCS",
        "consent": {"newsletter": "granted"},
        "proof": "x",
    }
    client.post("/api/events", json.dumps(body), content_type="application/json", headers={"Authorization": f"Bearer {key}"})
    start_by_hand(make_campaign(trigger={"manual": True}), lead, make_rep())


def by_consent_to_something_else(client, clock):
    """Somebody agreed, but to another topic."""
    campaign, lead = make_campaign(trigger={"manual": True}), make_lead()
    make_consent(email=lead.email, topic="product-news")
    start_by_hand(campaign, lead, make_rep())


def by_consent_of_another_address(client, clock):
    """Somebody agreed with an address that is not theirs any more."""
    campaign, lead = make_campaign(trigger={"manual": True}), make_lead(email="old@example.com")
    make_consent(email="old@example.com")
    Lead.objects.filter(pk=lead.pk).update(email="new@example.com")
    start_by_hand(campaign, lead, make_rep())


def by_old_no(client, clock):
    """Somebody said yes once and no later."""
    campaign, lead = make_campaign(trigger={"manual": True}), make_lead()
    make_consent(email=lead.email, at=NOW - timedelta(days=9))
    make_consent(email=lead.email, at=NOW - timedelta(days=2), status="denied")
    start_by_hand(campaign, lead, make_rep())


def by_no_to_everything(client, clock):
    """Somebody said yes to the topic, and later no to all marketing."""
    campaign, lead = make_campaign(trigger={"manual": True}), make_lead()
    make_consent(email=lead.email, at=NOW - timedelta(days=9))
    make_consent(email=lead.email, topic=None, at=NOW - timedelta(days=2), status="denied")
    start_by_hand(campaign, lead, make_rep())


SKIPPED = [
    (by_hand, "no_consent"),
    (by_event, "no_consent"),
    (by_stage, "no_consent"),
    (by_schedule, "no_consent"),
    (by_live_batch, "no_consent"),
    (by_consent_to_something_else, "no_consent"),
    (by_consent_of_another_address, "no_consent"),
    (by_old_no, "opted_out"),
    (by_no_to_everything, "opted_out"),
]


@pytest.mark.parametrize(("attempt", "reason"), SKIPPED, ids=[attempt.__name__ for attempt, _ in SKIPPED])
def test_a_try_without_consent_sends_nothing_and_leaves_its_receipt(client, clock, server, attempt, reason):
    Topic.objects.get_or_create(key="newsletter", defaults={"name": "Best practices"})

    attempt(client, clock)
    work(clock, hours=1)

    assert server.mails == []
    assert receipts() == [("skipped", reason)]


def test_an_import_starts_nothing_and_says_so(client, clock, server):
    make_campaign(trigger={"event": "DOWNLOADED_API_DOCS"})
    batch = [{"type": "track", "userId": "u-1", "event": "Downloaded API docs", "timestamp": NOW.isoformat()}]
    identify = [{"type": "identify", "userId": "u-1", "traits": {"email": "ada@example.com"}}]

    post(client, "/v1/import", {"batch": identify + batch})
    work(clock, hours=1)

    assert server.mails == []
    assert receipts() == [("refused", "historical")]


def test_an_old_event_starts_nothing_and_says_so(client, clock, server):
    make_campaign(trigger={"event": "DOWNLOADED_API_DOCS"})
    long_ago = (NOW - timedelta(days=30)).isoformat()

    post(client, "/api/events", {"email": "ada@example.com", "eventType": "DOWNLOADED_API_DOCS", "timestamp": long_ago})
    work(clock, hours=1)

    assert server.mails == []
    assert receipts() == [("refused", "too_old")]


def test_a_browser_cannot_agree_for_anybody(client, clock, server):
    Topic.objects.get_or_create(key="newsletter", defaults={"name": "Best practices"})

    by_consent_of_a_browser(client, clock)
    work(clock, hours=1)

    about = [message for message in server.messages if message["List-Id"]]
    assert about == []
    assert not Consent.objects.exists()
    assert ("skipped", "no_consent") in receipts()


def test_consent_taken_back_while_the_mail_waits_stops_it(client, clock, server):
    campaign, lead = make_campaign(trigger={"manual": True}), make_lead()
    make_consent(email=lead.email, at=NOW - timedelta(days=9))
    start_by_hand(campaign, lead, make_rep())
    advance_due()

    make_consent(email=lead.email, status="denied", at=NOW)
    work(clock, hours=1)

    assert server.mails == []
    assert receipts() == [("canceled", "unsubscribed")]


def test_pausing_and_resuming_opens_no_way_around(client, clock, server):
    campaign = make_campaign(trigger={"event": "DOWNLOADED_API_DOCS"}, steps=[make_step("welcome", after="10m")])
    post(client, "/api/events", {"email": "ada@example.com", "eventType": "DOWNLOADED_API_DOCS"})
    work(clock)
    campaign.pause()
    work(clock, hours=1)

    assert Message.objects.count() == 0
    campaign.resume()
    work(clock, hours=1)

    assert server.mails == []
    assert receipts() == [("skipped", "no_consent")]


def test_a_dry_run_and_a_preview_send_nothing(client, clock, server):
    from django.contrib.auth.models import Group

    from leads.models import User

    campaign, lead = make_campaign(key="DEEP", trigger={"manual": True}), make_lead()
    campaign.steps.create(key="welcome", subject="S", body="B")
    mia = User.objects.create_user("mia", "mia@leadstate.example", is_staff=True)
    mia.groups.add(Group.objects.get(name="Marketing"))
    client.force_login(mia)

    client.post("/campaigns/DEEP/dry-run/", {"lead": lead.email, "start": "hand"})
    client.post("/campaigns/DEEP/steps/welcome/preview/", {"lead": lead.email, "subject": "S", "body": "B"})
    work(clock, hours=1)
    looked = list(server.mails)
    client.post("/campaigns/DEEP/steps/welcome/test/", {"lead": lead.email, "subject": "S", "body": "B"})

    assert looked == []
    assert [message["To"] for message in server.messages] == ["mia@leadstate.example"]
    assert receipts() == []


def test_with_consent_the_same_ways_do_send(client, clock, server):
    make_campaign(trigger={"event": "DOWNLOADED_API_DOCS"})
    Topic.objects.get_or_create(key="newsletter", defaults={"name": "Best practices"})
    consent = {"consent": {"newsletter": "granted"}, "proof": "sign-up form"}
    post(client, "/api/events", {"email": "ada@example.com", "eventType": "DOWNLOADED_API_DOCS"} | consent)
    by_hand_lead = make_lead()
    make_consent(email=by_hand_lead.email)
    start_by_hand(make_campaign(trigger={"manual": True}), by_hand_lead, make_rep())
    moved = make_lead(stage_id="mql")
    make_consent(email=moved.email)
    make_transition(lead=moved)

    work(clock, hours=1)

    assert {message["To"] for message in server.messages} == {"ada@example.com", by_hand_lead.email}
    assert {state for state, _ in receipts()} == {"sent"}
