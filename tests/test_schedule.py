from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import IntegrityError, transaction

from campaigns import schedule
from campaigns.enrollment import enroll_on_events, start_by_hand
from campaigns.models import Campaign, Enrollment, Message, Slot
from campaigns.runs import message_ended
from campaigns.schedule import advance_due, fire_schedules
from leads.models import Lead, Notification
from leads.recording import Recorded
from tests.factories import make_campaign, make_consent, make_contact_point, make_event, make_lead, make_rep, make_step, make_transition
from tests.together import together

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)  # a Wednesday


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def start(campaign, lead=None, **fields):
    """Start a run by the event that triggers the campaign."""
    event = make_event(lead=lead or make_lead(), type="DOWNLOADED_API_DOCS", **fields)
    enroll_on_events(events=[event], recorded=Recorded(now=datetime.now(UTC), types={event.pk: (event.type,)}))
    return campaign.enrollments.get(event=event)


def after(clock, **delay):
    """Let time pass, then let runs act."""
    clock.move_to(datetime.now(UTC) + timedelta(**delay))
    return advance_due()


def deliver(run, state="sent", reason=""):
    """What the sender does when the mail of the run's step comes to its end."""
    message = run.messages.get(step=Enrollment.objects.get(pk=run.pk).next_step)
    message.state, message.reason, message.sent_at = state, reason, datetime.now(UTC)
    message.save()
    message_ended(message, happened=state in ("sent", "unknown"), now=datetime.now(UTC))
    run.refresh_from_db()
    return message


def what(run):
    run.refresh_from_db()
    return [(line["step"], line["what"], line["why"]) for line in run.log]


# --- steps


def test_a_message_goes_to_the_outbox_when_its_delay_has_passed_and_the_run_waits_for_it(clock):
    run = start(make_campaign(priority=70, steps=[make_step(after="10m", not_after="2d")]))

    assert after(clock, minutes=9) == 0
    assert after(clock, minutes=1) == 1

    run.refresh_from_db()
    message = run.messages.get()
    assert (message.step, message.state, message.priority, message.lead) == ("welcome", "scheduled", 70, run.lead)
    assert message.not_after == NOW + timedelta(minutes=10, days=2)
    assert (run.state, run.next_step, run.due_at, run.claim_token) == ("active", "welcome", None, None)
    assert after(clock, days=3) == 0


def test_the_next_delay_counts_from_when_the_message_went_out(clock):
    run = start(make_campaign(steps=[make_step("one"), make_step("two", after="3d")]))
    after(clock, minutes=0)

    clock.move_to(NOW + timedelta(hours=20))
    deliver(run)

    assert (run.next_step, run.due_at) == ("two", NOW + timedelta(hours=20, days=3))


def test_a_run_is_complete_after_its_last_step(clock):
    run = start(make_campaign())
    after(clock, minutes=0)

    deliver(run)

    assert (run.state, run.ended_at) == ("completed", NOW)
    assert what(run) == [("welcome", "sent", "")]


@pytest.mark.parametrize("state", ["unknown", "failed", "skipped"])
def test_the_run_goes_on_whatever_became_of_the_message(clock, state):
    run = start(make_campaign(steps=[make_step("one"), make_step("two", after="1d")]))
    after(clock, minutes=0)

    deliver(run, state, "why")

    assert (run.next_step, run.due_at) == ("two", NOW + timedelta(days=1))
    assert what(run) == [("one", state, "why")]


def test_a_guard_that_fails_skips_its_step_and_says_why(clock):
    never_clicked = [{"event": "VIEWED_PRICING", "times": {"at_most": 0}}]
    run = start(make_campaign(steps=[make_step("one", after="1d", when=never_clicked), make_step("two", after="1d")]))
    make_event(lead=run.lead, type="VIEWED_PRICING", at=NOW + timedelta(hours=1))

    after(clock, days=1)

    assert what(run) == [("one", "skipped", "when: never VIEWED_PRICING (1/0)")]
    assert (run.next_step, run.due_at) == ("two", NOW + timedelta(days=2))
    assert not run.messages.exists()


def test_guards_count_what_happened_since_the_cause_unless_told_otherwise(clock):
    lead = make_lead()
    make_event(lead=lead, type="VIEWED_PRICING", at=NOW - timedelta(days=1))
    seen = {"event": "VIEWED_PRICING"}
    run = start(make_campaign(steps=[make_step("one", when=[seen]), make_step("two", when=[seen | {"since": "ever"}])]), lead)

    after(clock, minutes=0)

    assert run.messages.get().step == "two"


def test_mail_events_count_for_the_messages_of_this_run_only(clock):
    clicked = [{"event": "EMAIL_CLICKED"}]
    steps = [make_step("one"), make_step("two", after="1d", when=clicked)]
    lead = make_lead()
    this, other = start(make_campaign(steps=steps), lead), start(make_campaign(steps=steps), make_lead())
    after(clock, minutes=0)
    message = deliver(this)
    deliver(other)
    make_event(lead=lead, type="EMAIL_CLICKED", at=NOW + timedelta(hours=1), properties={"message": "another"})
    make_event(lead=other.lead, type="EMAIL_CLICKED", at=NOW + timedelta(hours=1), properties={"message": str(message.uid)})

    after(clock, days=1)
    assert (what(this)[-1][:2], what(other)[-1][:2]) == (("two", "skipped"), ("two", "skipped"))

    third = start(make_campaign(steps=steps), lead)
    after(clock, minutes=0)
    make_event(lead=lead, type="EMAIL_CLICKED", at=NOW + timedelta(days=1, hours=1), properties={"message": str(deliver(third).uid)})
    after(clock, days=1)
    assert third.messages.filter(step="two").exists()


def test_a_step_that_is_long_overdue_is_skipped_when_it_says_so(clock):
    run = start(make_campaign(steps=[make_step("one", after="1h", not_after="1d"), make_step("two")]))

    after(clock, days=2)

    assert what(run) == [("one", "skipped", "not_after")]
    assert run.messages.get().step == "two"


def test_notify_tells_the_owner_once(clock):
    owner = make_rep()
    make_rep()
    run = start(make_campaign(steps=[make_step("tell", notify={"text": "Read both API mails"})]), make_lead(owner=owner))

    after(clock, minutes=0)

    note = Notification.objects.get()
    assert (note.user, note.lead, note.title, note.channel) == (owner, run.lead, "Read both API mails", "in_app")
    assert f"run:{run.pk}:tell" in note.dedupe_key
    run.refresh_from_db()
    assert run.state == "completed"


def test_without_an_owner_every_rep_is_told(clock):
    reps = {make_rep(), make_rep()}
    gone = make_rep()
    gone.is_active = False
    gone.save()
    start(make_campaign(steps=[make_step("tell", notify={"text": "Hot"})]), make_lead(owner=gone))

    after(clock, minutes=0)

    assert {note.user for note in Notification.objects.all()} == reps


def test_an_exit_step_ends_the_run(clock):
    run = start(make_campaign(steps=[make_step("stop", exit={"why": "no more to say"}), make_step("never")]))

    after(clock, minutes=0)

    run.refresh_from_db()
    assert (run.state, run.reason) == ("exited", "no more to say")
    assert not run.messages.exists()


def test_a_campaign_without_steps_is_complete_at_once(clock):
    run = start(make_campaign(steps=[]))

    after(clock, minutes=0)

    run.refresh_from_db()
    assert run.state == "completed"


def test_the_run_keeps_to_the_version_it_started_on(clock):
    campaign = make_campaign(steps=[make_step("one", after="1d")])
    run = start(campaign)
    campaign.live.pk, campaign.live.number = None, 2
    campaign.live.document = campaign.live.document | {"steps": []}
    campaign.live.save()
    campaign.save()

    after(clock, days=1)

    assert run.messages.get().step == "one"


# --- exits


@pytest.mark.parametrize(
    ("field", "reason"),
    [("goal", "goal"), ("exits", "exit")],
)
def test_goal_and_exits_end_the_run_before_the_next_step(clock, field, reason):
    run = start(make_campaign(**{field: [{"event": "CHECKOUT_COMPLETED"}]}, steps=[make_step(after="1d")]))
    make_event(lead=run.lead, type="CHECKOUT_COMPLETED", at=NOW + timedelta(hours=1))

    after(clock, days=1)

    run.refresh_from_db()
    assert (run.state, run.reason) == ("exited", reason)
    assert not run.messages.exists()


def test_a_goal_reached_before_the_run_does_not_count(clock):
    lead = make_lead()
    make_event(lead=lead, type="CHECKOUT_COMPLETED", at=NOW - timedelta(hours=1))
    run = start(make_campaign(goal=[{"event": "CHECKOUT_COMPLETED"}]), lead)

    after(clock, minutes=0)

    assert run.messages.exists()


def test_entering_won_during_the_run_ends_it(clock):
    run = start(make_campaign(steps=[make_step(after="1d")]))
    make_transition(lead=run.lead, to="won", at=NOW + timedelta(hours=1))

    after(clock, days=1)

    run.refresh_from_db()
    assert (run.state, run.reason) == ("exited", "stage")


def test_a_lead_won_before_or_by_the_cause_goes_on(clock):
    lead = make_lead()
    make_transition(lead=lead, to="won", at=NOW, recorded_at=NOW)
    run = start(make_campaign(), lead)

    after(clock, minutes=0)

    assert run.messages.exists()


def test_exit_on_stage_can_be_switched_off(clock):
    run = start(make_campaign(exit_on_stage=False, steps=[make_step(after="1d")]))
    make_transition(lead=run.lead, to="lost", at=NOW + timedelta(hours=1))

    after(clock, days=1)

    assert run.messages.exists()


@pytest.mark.parametrize("topic", ["newsletter", None])
def test_unsubscribing_ends_the_run(clock, topic):
    run = start(make_campaign(steps=[make_step(after="1d")]))
    make_consent(email=run.lead.email, topic=topic, status="denied", at=NOW + timedelta(hours=1))

    after(clock, days=1)

    run.refresh_from_db()
    assert (run.state, run.reason) == ("exited", "unsubscribed")


def test_a_hard_bounce_ends_the_run(clock):
    run = start(make_campaign(class_="transactional", steps=[make_step(after="1d")]))
    make_contact_point(run.lead.email, suppressed="hard_bounce", suppressed_at=NOW + timedelta(hours=1))

    after(clock, days=1)

    run.refresh_from_db()
    assert (run.state, run.reason) == ("exited", "hard_bounce")


def test_a_message_canceled_because_the_run_is_over_ends_the_run(clock):
    run = start(make_campaign(goal=[{"event": "CHECKOUT_COMPLETED"}], steps=[make_step("one"), make_step("two")]))
    after(clock, minutes=0)
    make_event(lead=run.lead, type="CHECKOUT_COMPLETED", at=NOW + timedelta(seconds=1))

    deliver(run, "canceled", "goal")

    assert (run.state, run.reason) == ("exited", "goal")
    assert what(run) == [("one", "canceled", "goal")]


# --- claims, failures


def test_advancing_twice_makes_one_message(clock):
    run = start(make_campaign())

    advance_due()
    advance_due()

    assert run.messages.count() == 1


def test_the_database_refuses_a_second_message_of_a_step(clock):
    run = start(make_campaign())
    advance_due()
    message = run.messages.get()
    message.pk, message.uid = None, "0" * 32

    with pytest.raises(IntegrityError), transaction.atomic():
        message.save(force_insert=True)


def test_a_worker_that_lost_its_claim_does_nothing(clock):
    run = start(make_campaign())
    token, [pk] = Enrollment.objects.due(NOW).claim(1)
    Enrollment.objects.filter(pk=pk).update(claim_token="1" * 32)  # the lease passed, another worker took it

    with transaction.atomic():
        schedule.advance(pk, token, now=NOW)

    assert not run.messages.exists()


def test_a_claimed_run_is_left_alone_until_the_lease_has_passed(clock):
    run = start(make_campaign())
    Enrollment.objects.due(NOW).claim(1)
    assert advance_due() == 0

    Enrollment.objects.update(lease_until=NOW - timedelta(days=365 * 30))
    assert advance_due() == 1
    assert run.messages.count() == 1


def test_a_failing_run_does_not_stop_the_others_and_is_tried_again_later_and_later(clock):
    broken, fine = start(make_campaign(steps=[make_step(when=[{"no": "condition"}])])), start(make_campaign())

    assert advance_due() == 3  # the second lead entered both campaigns

    broken.refresh_from_db()
    assert fine.messages.exists()
    assert (broken.state, broken.due_at, broken.claim_token) == ("active", NOW + timedelta(minutes=1), None)
    assert "'no' is no condition" in broken.reason
    after(clock, minutes=1)
    broken.refresh_from_db()
    assert broken.due_at == NOW + timedelta(minutes=6)
    for _ in range(8):
        after(clock, hours=6)
    broken.refresh_from_db()
    assert broken.due_at == datetime.now(UTC) + timedelta(hours=6)


def test_a_run_that_failed_recovers(clock):
    campaign = make_campaign(steps=[make_step(when=[{"no": "condition"}])])
    run = start(campaign)
    advance_due()
    campaign.live.document = campaign.live.document | {"steps": [make_step()]}
    campaign.live.save()

    after(clock, minutes=1)

    run.refresh_from_db()
    assert (run.reason, run.claim_count) == ("", 0)
    assert run.messages.exists()


def test_a_paused_campaign_waits_and_goes_on(clock):
    campaign = make_campaign()
    run = start(campaign)
    Campaign.objects.update(status="paused")
    assert after(clock, days=1) == 0

    Campaign.objects.update(status="active")
    assert after(clock, minutes=0) == 1
    assert run.messages.exists()


# --- schedules


def weekly(**fields):
    defaults = {
        "trigger": {"schedule": "0 10 * * tue", "timezone": "Europe/Berlin"},
        "reentry": "always",
        "audience": [
            {"not": {"field": "lead.stage", "op": "is", "value": "won"}},
            {"not": {"campaign": {"trigger": "event"}}},
        ],
    }
    return make_campaign(**defaults | fields)


def berlin(*wall):
    return datetime(*wall, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)


TUESDAY = berlin(2026, 1, 13, 10)


def test_a_slot_lets_the_audience_in_at_its_time(clock):
    campaign = weekly()
    in_sequence = make_lead()
    start(make_campaign(), in_sequence)
    reader, _won, _anonymous = make_lead(), make_lead(stage_id="won"), make_lead(email="")

    clock.move_to(TUESDAY - timedelta(seconds=1))
    assert fire_schedules() == 0
    clock.move_to(TUESDAY)
    assert fire_schedules() == 1
    assert fire_schedules() == 0

    run = campaign.enrollments.get()
    assert (run.lead, run.cause, run.cause_at) == (reader, "slot:2026-01-13T09:00:00Z", TUESDAY)
    slot = campaign.slots.get()
    assert (slot.state, slot.enrolled, slot.refused, slot.claim_token) == (Slot.State.DONE, 1, {}, None)


def test_refusals_of_a_slot_are_counted_and_leave_no_rows(clock):
    campaign = weekly(audience=[])
    make_lead()
    make_lead(excluded=True)
    clock.move_to(TUESDAY)
    fire_schedules()
    clock.move_to(TUESDAY + timedelta(days=7))

    fire_schedules()

    first, second = campaign.slots.order_by("at")
    assert (first.enrolled, first.refused) == (1, {"excluded": 1})
    assert (second.enrolled, second.refused) == (0, {"active": 1, "excluded": 1})
    assert campaign.enrollments.count() == 1


def test_of_missed_slots_only_the_latest_fires(clock):
    campaign = weekly()
    make_lead()
    clock.move_to(TUESDAY + timedelta(days=14, hours=5, minutes=59))

    assert fire_schedules() == 1

    assert list(campaign.slots.order_by("at").values_list("at", "state")) == [
        (TUESDAY, "missed"),
        (TUESDAY + timedelta(days=7), "missed"),
        (TUESDAY + timedelta(days=14), "done"),
    ]


def test_a_slot_missed_by_more_than_six_hours_does_not_fire(clock):
    campaign = weekly()
    make_lead()
    clock.move_to(TUESDAY + timedelta(hours=6, seconds=1))

    assert fire_schedules() == 0

    assert campaign.slots.get().state == "missed"


def test_slots_before_the_publication_never_were(clock):
    clock.move_to(TUESDAY + timedelta(minutes=5))
    campaign = weekly()

    fire_schedules()

    assert not campaign.slots.exists()


def test_resuming_a_paused_schedule_sends_nothing_by_itself(clock):
    campaign = weekly(status="paused")
    make_lead()
    clock.move_to(TUESDAY + timedelta(minutes=1))
    fire_schedules()
    Campaign.objects.update(status="active")

    assert fire_schedules() == 0

    assert campaign.slots.get().state == "missed"


def test_a_slot_is_walked_on_where_a_dead_worker_stopped(clock, monkeypatch):
    monkeypatch.setattr(schedule, "CHUNK", 2)
    monkeypatch.setattr(schedule, "CHUNKS", 1)
    campaign = weekly(audience=[])
    leads = [make_lead() for _ in range(5)]
    clock.move_to(TUESDAY)
    fire_schedules()
    slot = campaign.slots.get()
    assert (slot.state, slot.cursor, slot.enrolled) == ("walking", leads[1].pk, 2)
    Slot.objects.update(claim_token="1" * 32, lease_until=NOW - timedelta(days=365 * 30), claim_count=1)  # a worker dies

    monkeypatch.setattr(schedule, "CHUNKS", 9)
    fire_schedules()

    slot.refresh_from_db()
    assert (slot.state, slot.enrolled) == ("done", 5)
    assert campaign.enrollments.count() == 5


def test_who_lost_the_slot_writes_nothing(clock, monkeypatch):
    campaign = weekly(audience=[])
    make_lead()
    slot = Slot.objects.create(campaign=campaign, at=TUESDAY, claim_token="1" * 32)

    with pytest.raises(schedule.ClaimLost), transaction.atomic():
        schedule.enroll_chunk(slot, "2" * 32, now=TUESDAY)

    assert not campaign.enrollments.exists()


def test_an_audience_that_sql_cannot_say_is_asked_lead_by_lead(clock):
    campaign = weekly(audience=[{"event": "SIGNED_UP", "within": "30d"}, {"field": "lead.title", "op": "has_word", "value": "CTO"}])
    cto, _other = make_lead(title="CTO & founder"), make_lead(title="Director")
    for lead in Lead.objects.all():
        make_event(lead=lead, type="SIGNED_UP", at=NOW)
    clock.move_to(TUESDAY)

    fire_schedules()

    assert campaign.enrollments.get().lead == cto
    assert campaign.slots.get().refused == {}


def test_one_unreadable_schedule_does_not_stop_the_others(clock):
    make_campaign(trigger={"schedule": "0 10 * * someday"})
    make_campaign(trigger={"schedule": "0 10 * * tue"}, audience=[{"no": "condition"}])
    campaign = weekly(audience=[])
    make_lead()
    clock.move_to(TUESDAY)

    fire_schedules()

    assert campaign.slots.get().enrolled == 1


@pytest.mark.parametrize(
    ("zone", "begin"),
    [
        ("Europe/Berlin", datetime(2026, 3, 27, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 23, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 3, 6, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 2, tzinfo=UTC)),
        ("Africa/Casablanca", datetime(2026, 2, 13, tzinfo=UTC)),
        ("America/Santiago", datetime(2026, 9, 4, tzinfo=UTC)),
    ],
)
def test_each_local_day_fires_once_when_the_clocks_change(clock, zone, begin):
    clock.move_to(begin)
    campaigns = [make_campaign(trigger={"schedule": line, "timezone": zone}) for line in ("30 2 * * *", "0 0 * * *")]

    for half_hours in range(4 * 48):
        clock.move_to(begin + timedelta(minutes=30 * half_hours))
        fire_schedules()

    for campaign in campaigns:
        days = [slot.at.astimezone(ZoneInfo(zone)).date() for slot in campaign.slots.order_by("at")]
        assert len(days) == len(set(days)) == (days[-1] - days[0]).days + 1
        assert len(days) in (3, 4)
        assert not campaign.slots.exclude(state="done").exists()


# --- in parallel


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_make_each_message_once(clock):
    campaign = make_campaign(steps=[make_step("tell", notify={"text": "x"}), make_step("mail")])
    make_rep()
    for _ in range(40):
        start(campaign)

    claimed = together(advance_due)

    assert sum(claimed) == 40
    assert Message.objects.count() == 40
    assert Notification.objects.count() == 40


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_walk_a_slot_once(clock):
    campaign = weekly(audience=[])
    for _ in range(30):
        make_lead()
    clock.move_to(TUESDAY)

    entered = together(fire_schedules)

    assert sum(entered) == 30
    assert campaign.slots.get().enrolled == campaign.enrollments.count() == 30


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_starting_by_hand_twice_at_once_starts_one_run(clock):
    campaign, lead, rep = make_campaign(reentry="always"), make_lead(), make_rep()

    runs = together(lambda: start_by_hand(campaign, lead, rep))

    assert sorted(run.state for run in runs) == ["active", "refused", "refused", "refused"]
