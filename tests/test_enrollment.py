from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.enrollment import NotStartedError, enroll, enroll_on_events, enroll_on_transitions, start_by_hand, stop
from campaigns.models import Campaign, Enrollment, Message
from leads.merging import merge_leads
from leads.models import Event, Lead, Merge, Stage
from leads.recording import Recorded
from tests.factories import (
    make_campaign,
    make_company,
    make_event,
    make_lead,
    make_message,
    make_rep,
    make_step,
    make_transition,
    make_version,
    publish_document,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _frozen():
    with time_machine.travel(NOW, tick=False):
        yield


def record(*events, now=NOW, types=None):
    """Hand stored events to the campaigns, as the intake does."""
    types = {event.pk: (event.type, *(types or {}).get(event.type, ())) for event in events}
    enroll_on_events(events=list(events), recorded=Recorded(now=now, types=types))


def post(lead, type="DOWNLOADED_API_DOCS", **fields):
    """Store one event of a lead and hand it on."""
    event = make_event(lead=lead, type=type, **fields)
    record(event, now=max(NOW, event.at))
    return event


def states(campaign):
    return list(campaign.enrollments.order_by("pk").values_list("state", "reason"))


# --- triggers


def test_the_event_of_the_trigger_starts_a_run_pinned_to_the_live_version():
    campaign = make_campaign(steps=[make_step("welcome", after="10m")])
    lead = make_lead()

    event = post(lead)

    run = campaign.enrollments.get()
    publish_document(campaign, campaign.live.document | {"steps": []})
    run.refresh_from_db()
    assert (run.lead, run.first_lead, run.event, run.cause, run.cause_at) == (lead, lead, event, f"event:{event.pk}", NOW)
    assert (run.state, run.next_step, run.due_at, run.version.number) == ("active", "welcome", NOW + timedelta(minutes=10), 1)


def test_the_first_delay_counts_from_when_the_event_happened():
    campaign = make_campaign(steps=[make_step(after="10m")])

    post(make_lead(), at=NOW - timedelta(minutes=7))

    assert campaign.enrollments.get().due_at == NOW + timedelta(minutes=3)


def test_other_events_start_nothing():
    campaign = make_campaign()

    post(make_lead(), "VIEWED_PRICING")

    assert not campaign.enrollments.exists()


def test_a_derived_type_starts_a_run():
    campaign = make_campaign(trigger={"event": "VIEWED_PRICING"})
    event = make_event(lead=make_lead(), type="PAGE_VIEWED")

    record(event, types={"PAGE_VIEWED": ["VIEWED_PRICING"]})

    assert states(campaign) == [("active", "")]


def test_the_trigger_looks_at_the_event_the_lead_and_the_company():
    campaign = make_campaign(
        trigger={
            "event": "DOWNLOADED_API_DOCS",
            "when": [
                {"field": "event.plan", "op": "is", "value": "team"},
                {"field": "lead.title", "op": "has_word", "value": "CTO"},
                {"field": "company.domain", "op": "is", "value": "acme.example"},
            ],
        }
    )
    lead = make_lead(title="CTO", company=make_company(domain="acme.example"))

    post(lead, properties={"plan": "free"})
    post(lead, properties={"plan": "Team"})

    assert campaign.enrollments.count() == 1


def test_a_suspect_event_never_triggers():
    campaign = make_campaign(trigger={"event": "EMAIL_CLICKED"})

    post(make_lead(), "EMAIL_CLICKED", verdict=Event.Verdict.SUSPECT)

    assert not campaign.enrollments.exists()


@pytest.mark.parametrize(
    ("max_age", "age", "state"),
    [
        (None, timedelta(days=2), ("active", "")),
        (None, timedelta(days=2, seconds=1), ("refused", "too_old")),
        ("1h", timedelta(hours=2), ("refused", "too_old")),
        ("7d", timedelta(days=6), ("active", "")),
    ],
)
def test_an_event_older_than_max_age_is_refused(max_age, age, state):
    campaign = make_campaign(trigger={"event": "DOWNLOADED_API_DOCS"} | ({"max_age": max_age} if max_age else {}))

    post(make_lead(), at=NOW - age)

    assert states(campaign) == [state]


def test_a_historical_event_is_refused():
    campaign = make_campaign()

    post(make_lead(), historical=True)

    assert states(campaign) == [("refused", "historical")]
    assert campaign.enrollments.get().due_at is None


def test_anonymous_leads_enter_nothing_and_leave_no_row():
    campaign = make_campaign()
    lead = make_lead(email="")
    event = post(lead)
    assert not campaign.enrollments.exists()

    Lead.objects.filter(pk=lead.pk).update(is_known=True)  # the history joins: the event is handed on again
    record(event)

    assert states(campaign) == [("active", "")]


def test_excluded_leads_are_refused():
    campaign = make_campaign()

    post(make_lead(excluded=True))

    assert states(campaign) == [("refused", "excluded")]


@pytest.mark.parametrize("status", [Campaign.Status.PAUSED, Campaign.Status.DRAFT, Campaign.Status.ARCHIVED])
def test_only_active_campaigns_let_anybody_in(status):
    campaign = make_campaign(status=status)

    post(make_lead())

    assert not campaign.enrollments.exists()


def test_the_audience_decides_who_enters():
    campaign = make_campaign(audience=[{"field": "lead.country", "op": "is", "value": "DE"}])

    post(make_lead(country="FR"))
    post(make_lead(country="de"))

    assert states(campaign) == [("refused", "audience"), ("active", "")]


def test_an_audience_counts_events_with_derived_types_and_without_suspects():
    make_version(
        scoring={
            "derive": [{"from": "PAGE_VIEWED", "when": [{"field": "event.path", "op": "is", "value": "/pricing"}], "as": "VIEWED_PRICING"}]
        }
    )
    campaign = make_campaign(audience=[{"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d", "every": "30m"}])
    lead = make_lead()
    for minutes, path in [(90, "/pricing"), (60, "/pricing"), (50, "/pricing"), (20, "/blog")]:
        make_event(lead=lead, type="PAGE_VIEWED", at=NOW - timedelta(minutes=minutes), properties={"path": path})
    make_event(lead=lead, type="VIEWED_PRICING", at=NOW - timedelta(days=8))
    make_event(lead=lead, type="VIEWED_PRICING", at=NOW - timedelta(days=1), verdict=Event.Verdict.SUSPECT)

    post(lead)
    make_event(lead=lead, type="VIEWED_PRICING", at=NOW - timedelta(minutes=10))
    post(lead)

    assert states(campaign) == [("refused", "audience"), ("active", "")]


def test_the_same_event_again_changes_nothing():
    campaign = make_campaign(reentry="always")
    event = post(make_lead())

    record(event)

    assert states(campaign) == [("active", "")]


# --- stages


def test_entering_a_stage_starts_a_run_and_only_the_last_move_counts():
    mql, sql = make_campaign(trigger={"stage": "mql"}), make_campaign(trigger={"stage": "sql"})
    lead = make_lead()
    first, last = make_transition(lead=lead, to="mql"), make_transition(lead=lead, to="sql")

    enroll_on_transitions(transitions=[first, last], now=NOW)

    assert states(mql) == []
    assert sql.enrollments.get().cause == f"transition:{last.pk}"


def test_a_late_or_historical_move_starts_nothing():
    campaign = make_campaign(trigger={"stage": "mql"})
    old = make_transition(lead=make_lead(), to="mql", at=NOW - timedelta(days=3))
    imported = make_transition(lead=make_lead(), to="mql", historical=True)

    enroll_on_transitions(transitions=[old, imported], now=NOW)

    assert states(campaign) == [("refused", "too_old"), ("refused", "historical")]


def test_being_won_ends_the_runs_and_cancels_their_mails():
    campaign, stays = make_campaign(), make_campaign(exit_on_stage=False)
    lead = make_lead()
    post(lead)
    message = make_message(run=campaign.enrollments.get())

    enroll_on_transitions(transitions=[make_transition(lead=lead, to="won", at=NOW + timedelta(minutes=1))], now=NOW + timedelta(minutes=1))

    message.refresh_from_db()
    assert states(campaign) == [("exited", "stage")]
    assert states(stays) == [("active", "")]
    assert (message.state, message.reason) == (Message.State.CANCELED, "stage")


# --- re-entry


def finish(campaign):
    campaign.enrollments.filter(state="active").update(state="completed", ended_at=NOW)


def test_once_means_once():
    campaign = make_campaign(reentry="once")
    lead = make_lead()
    post(lead)
    finish(campaign)

    post(lead)

    assert states(campaign) == [("completed", ""), ("refused", "once")]


def test_a_refused_entry_does_not_use_up_the_one_pass():
    campaign = make_campaign(reentry="once")
    lead = make_lead()
    post(lead, at=NOW - timedelta(days=5))

    post(lead)

    assert states(campaign) == [("refused", "too_old"), ("active", "")]


def test_always_means_again_but_not_twice_at_a_time():
    campaign = make_campaign(reentry="always")
    lead = make_lead()
    post(lead)
    post(lead)
    finish(campaign)

    post(lead)

    assert states(campaign) == [("completed", ""), ("refused", "active"), ("active", "")]


def test_after_counts_from_the_start_of_the_last_run():
    campaign = make_campaign(reentry={"after": "14d"})
    lead = make_lead()
    post(lead)
    finish(campaign)

    post(lead, at=NOW + timedelta(days=13, hours=23))
    post(lead, at=NOW + timedelta(days=14))

    assert states(campaign) == [("completed", ""), ("refused", "after"), ("active", "")]


def test_each_key_has_a_run_of_its_own_once():
    campaign = make_campaign(reentry={"key": "event.order.id"})
    lead = make_lead()
    for order in ("A", "B", "A"):
        post(lead, properties={"order": {"id": order}})
    finish(campaign)

    post(lead, properties={"order": {"id": "A"}})
    post(lead, properties={"order": {"id": 7}})

    assert states(campaign) == [("completed", ""), ("completed", ""), ("refused", "active"), ("refused", "key"), ("active", "")]
    assert list(campaign.enrollments.order_by("pk").values_list("run_key", flat=True)) == ["A", "B", "A", "A", "7"]


def test_without_the_key_one_run_at_a_time():
    campaign = make_campaign(reentry={"key": "event.order_id"})
    lead = make_lead()
    post(lead)
    post(lead)
    finish(campaign)

    post(lead)

    assert states(campaign) == [("completed", ""), ("refused", "active"), ("active", "")]


def test_a_very_long_key_still_tells_orders_apart():
    campaign = make_campaign(reentry={"key": "event.order_id"})
    lead = make_lead()

    post(lead, properties={"order_id": "x" * 500 + "1"})
    post(lead, properties={"order_id": "x" * 500 + "2"})

    assert states(campaign) == [("active", ""), ("active", "")]


def test_of_several_events_in_one_group_the_earliest_enters():
    campaign = make_campaign()
    lead = make_lead()
    late, early = (make_event(lead=lead, type="DOWNLOADED_API_DOCS", at=NOW - timedelta(hours=hours)) for hours in (0, 1))

    record(late, early)

    assert campaign.enrollments.get(state="active").event == early
    assert campaign.enrollments.get(state="refused").reason == "once"


def test_the_number_of_statements_does_not_depend_on_how_much_happened():
    campaign = make_campaign(
        reentry={"key": "event.order_id"},
        audience=[
            {"event": "SIGNED_UP", "times": {"at_least": 1}, "when": [{"field": "event.plan", "op": "exists"}]},
            {"campaign": {"trigger": "stage"}, "status": "ever"},
        ],
    )
    make_campaign(reentry={"after": "1d"})
    counts = []
    for number in (1, 10, 100):
        leads = [make_lead(company=make_company()) for _ in range(number)]
        events = [make_event(lead=lead, type="DOWNLOADED_API_DOCS", properties={"order_id": n}) for lead in leads for n in range(2)]
        with CaptureQueriesContext(
            connection,
        ) as queries:
            record(*events)
        counts.append(len(queries))

    assert len(set(counts)) == 1, counts
    assert campaign.enrollments.count() == 222


# --- by hand


def test_starting_by_hand_names_who_did_it():
    campaign = make_campaign(trigger={"manual": True})
    rep = make_rep(username="ada")

    run = start_by_hand(campaign, make_lead(), rep)

    assert (run.state, run.cause_at, run.due_at) == ("active", NOW, NOW)
    assert run.cause.startswith("manual:")
    assert run.log == [{"step": "", "at": NOW.isoformat(), "what": "started", "why": "by ada"}]


def test_starting_by_hand_keeps_to_re_entry():
    campaign, lead, rep = make_campaign(), make_lead(), make_rep()
    start_by_hand(campaign, lead, rep)

    again = start_by_hand(campaign, lead, rep)

    assert (again.state, again.reason) == ("refused", "once")


@pytest.mark.parametrize(
    ("status", "email", "sentence"),
    [("paused", "a@b.example", "is paused; resume it first"), ("active", "", "is anonymous; only people with a user id or an address")],
)
def test_what_cannot_be_started_by_hand_says_why(status, email, sentence):
    campaign = make_campaign(status=status)

    with pytest.raises(NotStartedError, match=sentence):
        start_by_hand(campaign, make_lead(email=email), make_rep())


def test_stopping_by_hand_cancels_what_is_not_on_its_way():
    campaign = make_campaign()
    run = start_by_hand(campaign, make_lead(), make_rep())
    waiting, sending = make_message(run=run), make_message(run=run, occurrence=2, state="sending", claim_token="0" * 32)

    assert stop(run, make_rep(username="grace"))

    waiting.refresh_from_db()
    sending.refresh_from_db()
    assert (run.state, run.reason, run.due_at) == ("exited", "stopped by grace", None)
    assert (waiting.state, sending.state) == ("canceled", "sending")
    assert not stop(run, make_rep())


def test_the_one_door_takes_leads_and_gives_runs():
    campaign, leads = make_campaign(), [make_lead(), make_lead(excluded=True)]

    runs = enroll(campaign, leads, cause="slot:x", cause_at=NOW, now=NOW)

    assert [(run.lead, run.state) for run in runs] == [(leads[0], "active"), (leads[1], "refused")]


# --- merges


def merge(absorbed, survivor):
    merge_leads({absorbed.pk: survivor.pk}, [Merge(absorbed=absorbed, survivor=survivor)], now=NOW)


def test_of_two_runs_of_one_campaign_the_furthest_goes_on():
    campaign = make_campaign(steps=[make_step("one"), make_step("two", after="1d")])
    survivor, absorbed = make_lead(), make_lead()
    post(survivor)
    post(absorbed)
    ahead, behind = campaign.enrollments.get(lead=absorbed), campaign.enrollments.get(lead=survivor)
    Enrollment.objects.filter(pk=ahead.pk).update(next_step="two")
    canceled, kept = make_message(run=behind), make_message(run=ahead, step="two")

    merge(absorbed, survivor)

    for row in (ahead, behind, canceled, kept):
        row.refresh_from_db()
    assert (ahead.state, ahead.lead, ahead.first_lead) == ("active", survivor, absorbed)
    assert (behind.state, behind.reason) == ("exited", "merged")
    assert (canceled.state, canceled.reason) == ("canceled", "merged")
    assert (kept.state, kept.lead, kept.first_lead) == ("scheduled", survivor, absorbed)


def test_runs_of_other_keys_go_on_beside_each_other():
    campaign = make_campaign(reentry={"key": "event.order_id"})
    survivor, absorbed = make_lead(), make_lead()
    post(survivor, properties={"order_id": "A"})
    post(absorbed, properties={"order_id": "B"})

    merge(absorbed, survivor)

    assert campaign.enrollments.filter(lead=survivor, state="active").count() == 2


def test_two_who_were_in_the_same_slot_can_be_merged():
    campaign = make_campaign(reentry="always")
    survivor, absorbed = make_lead(), make_lead()
    enroll(campaign, [survivor, absorbed], cause="slot:2026-01-06T10:00:00Z", cause_at=NOW, now=NOW)

    merge(absorbed, survivor)

    assert campaign.enrollments.filter(lead=survivor).count() == 2


def test_an_address_asked_for_confirmation_twice_is_asked_once_after_a_merge():
    survivor, absorbed = make_lead(), make_lead()
    asked = [
        Message.objects.create(kind=Message.Kind.CONFIRMATION, lead=lead, first_lead=lead, to="new@b.example", due_at=NOW)
        for lead in (absorbed, survivor)
    ]

    merge(absorbed, survivor)

    assert [Message.objects.get(pk=message.pk).state for message in asked] == ["canceled", "scheduled"]


def test_stage_kinds_decide_which_stage_ends_a_run():
    Stage.objects.create(key="churned", name="Churned", kind=Stage.Kind.LOST, position=9)
    campaign, lead = make_campaign(), make_lead()
    post(lead)

    enroll_on_transitions(transitions=[make_transition(lead=lead, to="churned")], now=NOW)

    assert states(campaign) == [("exited", "stage")]


def test_a_campaign_nobody_can_read_does_not_hold_up_the_others():
    broken, fine = make_campaign(audience=[{"no": "condition"}]), make_campaign()

    post(make_lead())

    assert states(broken) == []
    assert states(fine) == [("active", "")]
