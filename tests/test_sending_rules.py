from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from campaigns.documents import read_document
from campaigns.enrollment import enroll_on_events
from campaigns.models import Enrollment, Message
from campaigns.rules import Hold, hold_reason, opening_for
from campaigns.schedule import advance_due
from campaigns.sending import send_due
from leads.models import Identity, Workspace
from leads.recording import Recorded
from tests.factories import make_campaign, make_consent, make_contact_point, make_event, make_lead, make_message, make_step, make_transition

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)  # a Wednesday


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def make_run(lead=None, **document):
    campaign = make_campaign(**document)
    lead = lead or make_lead()
    return Enrollment.objects.create(
        campaign=campaign,
        version=campaign.live,
        lead=lead,
        first_lead=lead,
        cause=f"event:{lead.pk}",
        cause_at=NOW,
        started_at=NOW,
        next_step="welcome",
    )


def agreed(**fields):
    """A lead who agreed to the newsletter before."""
    lead = make_lead(**fields)
    make_consent(email=lead.email, at=NOW - timedelta(days=30))
    return lead


def hold(run, *, now=NOW, **fields):
    """What holds a message of the run."""
    message = make_message(run=run, **fields)
    run.lead.refresh_from_db()
    return hold_reason(message, lead=run.lead, contact_point=message.contact_point, now=now)


def workspace(**fields):
    Workspace.objects.update_or_create(pk=1, defaults=fields)


# --- class, consent, suppression


def test_marketing_needs_consent_to_its_topic():
    assert hold(make_run()) == Hold("skip", "no_consent")
    assert hold(make_run(agreed())) is None


def test_consent_to_another_topic_is_none():
    lead = make_lead()
    make_consent(email=lead.email, topic="product-news")

    assert hold(make_run(lead)) == Hold("skip", "no_consent")


def test_with_opt_out_marketing_goes_to_who_said_nothing(settings):
    settings.MARKETING_CONSENT = "opt_out"
    refused = make_lead()
    make_consent(email=refused.email, status="denied", at=NOW - timedelta(days=1))

    assert hold(make_run()) is None
    assert hold(make_run(refused)) == Hold("skip", "opted_out")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([("newsletter", "granted"), ("newsletter", "denied")], "opted_out"),
        ([("newsletter", "denied"), ("newsletter", "granted")], None),
        ([("newsletter", "granted"), (None, "denied")], "opted_out"),
        ([(None, "denied"), ("newsletter", "granted")], None),
        ([("newsletter", "granted"), (None, "denied"), (None, "granted")], None),
        ([("newsletter", "denied"), (None, "granted")], "opted_out"),
        ([(None, "granted")], "no_consent"),
        ([("newsletter", "granted"), ("other", "denied")], None),
    ],
)
def test_the_newest_word_counts(words, expected):
    lead = make_lead()
    for days, (topic, status) in enumerate(words, start=-10):
        make_consent(email=lead.email, topic=topic, status=status, at=NOW + timedelta(days=days))

    assert hold(make_run(lead)) == (Hold("skip", expected) if expected else None)


def test_consent_belongs_to_the_address_however_it_is_written():
    make_consent(email="ada@b.example", at=NOW - timedelta(days=1))

    assert hold(make_run(make_lead(email="Ada@B.example"))) is None


def test_product_mail_needs_a_user_id_and_no_opt_out():
    lead, user = make_lead(), make_lead()
    Identity.objects.create(kind="user_id", value="u1", lead=user, first_lead=user)

    assert hold(make_run(lead, class_="product")) == Hold("skip", "no_user_id")
    assert hold(make_run(user, class_="product", topic=None)) is None
    make_consent(email=user.email, topic=None, status="denied", at=NOW - timedelta(days=1))
    assert hold(make_run(user, class_="product", topic=None)) == Hold("skip", "opted_out")


def test_transactional_mail_ignores_opt_outs_but_never_suppression():
    lead = make_lead()
    make_consent(email=lead.email, topic=None, status="denied")
    assert hold(make_run(lead, class_="transactional")) is None

    make_contact_point(lead.email, suppressed="manual", suppressed_at=NOW - timedelta(days=1))
    assert hold(make_run(lead, class_="transactional")) == Hold("skip", "suppressed: manual")


def test_nobody_without_an_address_is_written_to():
    run = make_run()
    run.lead.email = ""
    run.lead.save()

    assert hold(run) == Hold("skip", "no_address")


# --- what ends the run


def test_an_ended_run_sends_nothing():
    run = make_run(agreed())
    run.state, run.reason = "exited", "stage"
    run.save()

    assert hold(run) == Hold("exit", "stage")


def test_a_goal_reached_after_queueing_ends_the_run():
    run = make_run(agreed(), goal=[{"event": "CHECKOUT_COMPLETED"}])
    make_event(lead=run.lead, type="CHECKOUT_COMPLETED", at=NOW + timedelta(seconds=1))

    assert hold(run) == Hold("exit", "goal")


def test_being_won_after_queueing_ends_the_run():
    run = make_run(agreed())
    make_transition(lead=run.lead, to="won", at=NOW + timedelta(seconds=1))

    assert hold(run) == Hold("exit", "stage")


def test_unsubscribing_after_queueing_ends_the_run():
    run = make_run(agreed())
    make_consent(email=run.lead.email, status="denied", at=NOW + timedelta(seconds=1))

    assert hold(run) == Hold("exit", "unsubscribed")


# --- what only delays


def test_not_after_skips():
    assert hold(make_run(agreed()), not_after=NOW - timedelta(seconds=1)) == Hold("skip", "not_after")


def test_a_conversation_holds_marketing_only():
    until = NOW + timedelta(days=3)
    user = agreed(conversation_until=until)
    Identity.objects.create(kind="user_id", value="u1", lead=user, first_lead=user)

    assert hold(make_run(user)) == Hold("later", "in_conversation", until)
    assert hold(make_run(user, class_="product")) is None


def test_a_paused_campaign_holds():
    run = make_run(agreed())
    run.campaign.status = "paused"
    run.campaign.save()

    assert hold(run).reason == "paused"


@pytest.mark.parametrize("state", ["sent", "sending", "unknown"])
def test_one_mail_a_day(state):
    lead = agreed()
    workspace(sending={"cap": {"day": 1}})
    times = {"sending_at": NOW - timedelta(hours=4), "sent_at": None if state == "sending" else NOW - timedelta(hours=4)}
    token = {"claim_token": "1" * 32} if state == "sending" else {}
    make_message(run=make_run(lead), state=state, **times, **token)

    assert hold(make_run(lead)) == Hold("later", "cap", NOW + timedelta(hours=20))
    assert hold(make_run(lead, class_="transactional")) is None


@pytest.mark.parametrize("state", ["skipped", "failed", "canceled", "scheduled"])
def test_what_did_not_go_out_does_not_count(state):
    lead = agreed()
    workspace(sending={"cap": {"day": 1}})
    make_message(run=make_run(lead), state=state)

    assert hold(make_run(lead)) is None


def test_transactional_mail_does_not_count():
    lead = agreed()
    workspace(sending={"cap": {"day": 1}})
    make_message(run=make_run(lead, class_="transactional"), state="sent", sent_at=NOW)

    assert hold(make_run(lead)) is None


def test_the_week_counts_from_the_third_last_mail():
    lead = agreed()
    workspace(sending={"cap": {"day": 1, "week": 3}})
    for days in (6, 4, 2):
        make_message(run=make_run(lead), state="sent", sent_at=NOW - timedelta(days=days))

    assert hold(make_run(lead)) == Hold("later", "cap", NOW + timedelta(days=1))


def test_a_campaign_narrows_the_cap_and_never_widens_it():
    lead = agreed()
    workspace(sending={"cap": {"day": 2}})
    make_message(run=make_run(lead), state="sent", sent_at=NOW - timedelta(hours=1))

    assert hold(make_run(lead, cap={"day": 1})).reason == "cap"
    assert hold(make_run(lead, cap={"day": 5})) is None
    make_message(run=make_run(lead), state="sent", sent_at=NOW - timedelta(hours=1))
    assert hold(make_run(lead, cap={"day": 5})).reason == "cap"


def test_the_cap_is_per_person_not_per_lead():
    workspace(sending={"cap": {"day": 1}})
    first = agreed(email="ada@b.example")
    make_message(run=make_run(first), state="sent", sent_at=NOW)
    twin = make_lead(email="")
    twin.email, twin.is_known = "Ada@b.example", True
    twin.save()

    assert hold(make_run(twin)).reason == "cap"


OFFICE = {"days": "mon-fri", "hours": "08:00-18:00"}


@pytest.mark.parametrize(
    ("lead_zone", "campaign_zone", "opens"),
    [
        ("Asia/Tokyo", "America/New_York", datetime(2026, 1, 7, 23, tzinfo=UTC)),  # 21:00 there; opens at 8
        ("", "America/Los_Angeles", datetime(2026, 1, 7, 16, tzinfo=UTC)),  # 04:00 there
        ("Mars/Olympus", None, datetime(2026, 1, 7, 20, tzinfo=UTC)),  # the workspace's, 01:00 there
    ],
)
def test_the_window_is_in_the_persons_zone_else_the_campaigns_else_the_workspaces(lead_zone, campaign_zone, opens):
    workspace(sending={"window": OFFICE}, timezone="Pacific/Auckland" if not campaign_zone else "UTC")
    zone = {"timezone": campaign_zone} if campaign_zone else {}
    if not campaign_zone:
        opens = datetime(2026, 1, 8, 8, tzinfo=ZoneInfo("Pacific/Auckland")).astimezone(UTC)

    assert hold(make_run(agreed(timezone=lead_zone), **zone)) == Hold("later", "window", opens)


def test_a_campaign_narrows_the_window():
    workspace(sending={"window": OFFICE})
    campaign = make_campaign(window={"days": "wed-sun", "hours": "15:00-22:00"})
    document = read_document(campaign.live.document)

    assert opening_for(document, make_lead(), NOW) == NOW.replace(hour=15)
    assert opening_for(document, make_lead(), NOW.replace(hour=18)) == datetime(2026, 1, 8, 15, tzinfo=UTC)
    assert opening_for(document, make_lead(), datetime(2026, 1, 9, 18, tzinfo=UTC)) == datetime(2026, 1, 14, 15, tzinfo=UTC)


def test_windows_that_never_meet_skip_the_message():
    workspace(sending={"window": OFFICE})

    assert hold(make_run(agreed(), window={"days": "sat,sun", "hours": "00:00-24:00"})) == Hold("skip", "window: never open")


def test_transactional_mail_goes_out_at_night():
    workspace(sending={"window": {"hours": "01:00-02:00"}})

    assert hold(make_run(class_="transactional")) is None


def test_the_next_chance_is_when_nothing_holds_any_more():
    workspace(sending={"window": OFFICE, "cap": {"day": 1}})
    lead = agreed(conversation_until=NOW + timedelta(hours=2))
    make_message(run=make_run(lead), state="sent", sent_at=datetime(2026, 1, 7, 9, tzinfo=UTC))

    held = hold(make_run(lead), now=datetime(2026, 1, 7, 12, tzinfo=UTC))

    assert held == Hold("later", "in_conversation", datetime(2026, 1, 8, 9, tzinfo=UTC))


def test_a_chance_that_comes_too_late_is_none():
    workspace(sending={"window": OFFICE})
    run = make_run(agreed())

    assert hold(run, now=NOW.replace(hour=19), not_after=NOW.replace(hour=23)) == Hold("skip", "window, not_after")


def test_without_rules_nothing_holds():
    assert hold(make_run(agreed(conversation_until=NOW)), now=datetime(2026, 1, 11, 3, tzinfo=UTC)) is None


# --- the whole way, with the sender


def pass_time(clock, to):
    clock.move_to(to)
    advance_due()
    send_due()


def test_a_window_pushes_the_later_steps_too(clock):
    """Monday 18:00 enter, two days = Wednesday 18:00, window 9 to 17 → Thursday 09:00; two days → Saturday 09:00."""
    zone = ZoneInfo("Europe/Berlin")
    monday = datetime(2026, 1, 5, 18, tzinfo=zone)
    campaign = make_campaign(
        window={"hours": "09:00-17:00"},
        timezone="Europe/Berlin",
        steps=[make_step("mail", after="2d"), make_step("push", after="2d", notify={"text": "Now"})],
    )
    lead = make_lead()
    make_consent(email=lead.email, at=monday - timedelta(days=1))
    clock.move_to(monday)
    event = make_event(lead=lead, type="DOWNLOADED_API_DOCS", at=monday)
    enroll_on_events(events=[event], recorded=Recorded(now=monday, types={event.pk: (event.type,)}))
    run = campaign.enrollments.get()

    pass_time(clock, datetime(2026, 1, 7, 18, tzinfo=zone))
    message = run.messages.get()
    assert (message.state, message.reason) == ("scheduled", "window")
    assert message.due_at.astimezone(zone) == datetime(2026, 1, 8, 9, tzinfo=zone)
    pass_time(clock, datetime(2026, 1, 8, 8, 59, tzinfo=zone))
    message.refresh_from_db()
    assert message.state == "scheduled"

    pass_time(clock, datetime(2026, 1, 8, 9, tzinfo=zone))
    message.refresh_from_db()
    run.refresh_from_db()
    assert message.state == "sent"
    assert (run.next_step, run.due_at.astimezone(zone)) == ("push", datetime(2026, 1, 10, 9, tzinfo=zone))

    pass_time(clock, datetime(2026, 1, 10, 9, tzinfo=zone))
    run.refresh_from_db()
    assert run.state == "completed"


def test_the_higher_priority_gets_the_only_mail_of_the_day(clock):
    workspace(sending={"cap": {"day": 1}})
    lead = agreed()
    low, high = make_run(lead, priority=10), make_run(lead, priority=90)
    Enrollment.objects.update(due_at=NOW)

    pass_time(clock, NOW)

    assert [run.messages.get().state for run in (low, high)] == ["scheduled", "sent"]
    held = low.messages.get()
    assert (held.reason, held.due_at) == ("cap", NOW + timedelta(days=1))


def test_a_message_without_consent_keeps_its_receipt_and_the_run_goes_on(clock):
    run = make_run(steps=[make_step("welcome"), make_step("tell", notify={"text": "x"})])
    Enrollment.objects.update(due_at=NOW)

    pass_time(clock, NOW)

    message = Message.objects.get()
    run.refresh_from_db()
    assert (message.state, message.reason) == ("skipped", "no_consent")
    assert (run.state, run.next_step) == ("active", "tell")
