"""`verify` finds every broken invariant by name, `rebuild` puts right what can be computed again."""

import json
import uuid
from datetime import timedelta
from io import StringIO

import msgspec
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from campaigns.models import Campaign, CampaignVersion, Enrollment, Message
from crm.verify import INVARIANTS
from leads import intake, notifications, publishing, scoring
from leads.documents import ModelDoc
from leads.models import (
    Company,
    ContactPoint,
    CsvImport,
    Delivery,
    Event,
    FoldState,
    Identity,
    Lead,
    Merge,
    MergeReview,
    Notification,
    Rescore,
    ScoreEntry,
    ScoringVersion,
    Task,
    Transition,
    WhatIf,
)
from tests.factories import make_entry, make_event, make_lead, make_rep, make_source

pytestmark = pytest.mark.django_db
MODEL = {
    "scoring": {
        "rules": [
            {"key": "viewed", "event": "VIEWED_PRICING", "points": 10, "limit": {"times": 3, "per": "day"}},
            {"key": "docs", "event": "DOWNLOADED_API_DOCS", "points": 20, "expires_after": "30d"},
        ],
        "fit": [{"key": "cto", "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}], "points": 15}],
    },
    "gates": [
        {"key": "interested", "from": "cold", "to": "mql", "conditions": [{"event": "SIGNED_UP"}]},
        {"key": "hot", "from": "mql", "to": "sql", "conditions": [{"score": {"at_least": 60}}]},
    ],
}


@pytest.fixture
def healthy():
    """A small busy workspace: two known leads, one of them with sales, and a visitor; history of 40 days."""
    make_rep()
    publishing.replace_draft(msgspec.convert(MODEL, ModelDoc))
    publishing.publish()
    source, _ = make_source()
    start = timezone.now() - timedelta(days=40)
    post(source, start, {"anonymousId": "v1", "eventType": "VIEWED_PRICING"}, {"anonymousId": "v2", "eventType": "VIEWED_PRICING"})
    ada = {"userId": "ada", "email": "ada@example.com"}
    post(source, start + timedelta(days=1), ada | {"anonymousId": "v1", "eventType": "SIGNED_UP", "traits": {"title": "CTO"}})
    post(source, start + timedelta(days=2), *[ada | {"eventType": "DOWNLOADED_API_DOCS"}, {"userId": "bob", "eventType": "SIGNED_UP"}])
    post(source, start + timedelta(days=3), *[ada | {"eventType": "VIEWED_PRICING"}] * 4)
    post(source, start + timedelta(days=4), ada | {"anonymousId": "v2", "eventType": "SIGNED_IN"})
    notifications.send_all_due()
    scoring.apply_all_due()
    return source


def post(source, at, *messages):
    """Have a request recorded at a time."""
    with time_machine.travel(at, tick=False):
        Delivery.objects.create(source=source, door="events", body=json.dumps(list(messages)).encode(), message_count=len(messages))
        intake.drain_all()


def verify(*args):
    """Run the command; the broken invariants by name, with their rows."""
    out = StringIO()
    try:
        call_command("verify", "--json", stdout=out)
        failed = False
    except CommandError as error:
        assert error.returncode == 1
        failed = True
    answer = json.loads(out.getvalue())
    broken = {each["name"]: each["rows"] for each in answer["invariants"] if each["broken"]}
    assert failed == bool(broken) != answer["ok"]
    return broken


def ada():
    return Lead.objects.get(email="ada@example.com")


def make_message(**fields):
    lead = ada()
    campaign = Campaign.objects.create(key=f"CAMPAIGN_{Campaign.objects.count()}", name="C", trigger={"manual": True}, status="active")
    version = CampaignVersion.objects.create(campaign=campaign, number=1, document={})
    run = Enrollment.objects.create(
        campaign=campaign,
        version=version,
        lead=lead,
        first_lead=lead,
        cause=f"manual:{uuid.uuid4()}",
        cause_at=timezone.now(),
        state=fields.pop("run", "active"),
    )
    return Message.objects.create(
        **{"enrollment": run, "step": "hi", "lead": lead, "first_lead": lead, "to": lead.email, "due_at": timezone.now()} | fields
    )


def sent(**fields):
    now = timezone.now()
    return make_message(
        **{"run": "completed", "state": "sent", "sending_at": now, "sent_at": now, "due_at": now - timedelta(hours=1)} | fields
    )


def drop_constraint(model, name):
    """Let rows in that the database would refuse."""
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SELECT count(*) FROM pg_constraint WHERE conname = %s", [name])
            is_constraint = cursor.fetchone()[0]
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"' if is_constraint else f'DROP INDEX "{name}"')
        elif name == "message_claimed_has_token":
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        else:
            cursor.execute(f'DROP INDEX "{name}"')


def checks_on_again():
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA ignore_check_constraints = OFF")


def test_a_healthy_workspace_is_clean(healthy):
    out = StringIO()
    make_message()
    sent(contact_point=ContactPoint.objects.create(address_hash="a" * 64))

    call_command("verify", stdout=out)

    assert f"All {len(INVARIANTS)} invariants hold." in out.getvalue()
    assert ada().stage_id == "sql"
    assert ada().engagement == 50  # 2 × 10 as a visitor, 3 × 10 within the limit; 20 expired
    assert verify() == {}


def test_an_empty_database_is_clean():
    assert verify() == {}


def test_a_broken_one_is_named_with_its_rows(healthy):
    Lead.objects.filter(pk=ada().pk).update(engagement=99)
    out = StringIO()

    with pytest.raises(CommandError, match=r"2 of \d+ invariants are broken: ledger_sums_to_the_score, a_fresh_fold_agrees"):
        call_command("verify", stdout=out)

    assert "BROKEN  ledger_sums_to_the_score: The points of a lead are the sums of its ledger" in out.getvalue()
    assert f"uid={ada().uid}  engagement=99  ledger_engagement=50" in out.getvalue()


def test_every_invariant_has_a_sentence():
    assert all(each.sentence.endswith(".") for each in INVARIANTS)
    assert len({each.name for each in INVARIANTS}) == len(INVARIANTS)


# --- each one broken ----------------------------------------------------------------------------


def change_points():
    Lead.objects.filter(pk=ada().pk).update(fit=F("fit") + 1)


def lose_a_line():
    ScoreEntry.objects.filter(rule="viewed", lead=ada(), points=10).last().delete()


def double_a_line():
    entry = ScoreEntry.objects.filter(rule="viewed").first()
    entry.pk, entry.n = None, 2
    entry.save()


def change_a_fact():
    Event.objects.filter(type="DOWNLOADED_API_DOCS").update(type="SOMETHING_ELSE")


def change_a_state():
    row = FoldState.objects.get(lead=ada())
    row.state["grants"] = {}
    row.save()


def lose_a_state():
    FoldState.objects.filter(lead=ada()).delete()


def oversleep():
    FoldState.objects.filter(lead=ada()).update(due_at=timezone.now() - timedelta(hours=1))


def orphan_a_line():
    ScoreEntry.objects.filter(lead=ada()).update(event_id=999_999)


def skip_a_number():
    Transition.objects.filter(lead=ada(), seq=2).update(seq=3)
    Lead.objects.filter(pk=ada().pk).update(stage_seq=3)


def break_the_chain():
    Transition.objects.filter(lead=ada(), seq=2).update(from_stage="cold")


def turn_time_back():
    Transition.objects.filter(lead=ada(), seq=2).update(at=timezone.now() - timedelta(days=90))


def change_the_stage():
    Lead.objects.filter(pk=ada().pk).update(stage="won")


def change_the_count():
    Lead.objects.filter(pk=ada().pk).update(stage_seq=7)


def unknow_somebody():
    Lead.objects.filter(pk=ada().pk).update(is_known=False)


def lose_the_task():
    Task.objects.all().delete()


def leave_a_key_behind():
    absorbed = Lead.objects.filter(merged_into__isnull=False).get()
    Identity.objects.create(kind="anonymous_id", value="left", lead=absorbed, first_lead=absorbed)


def leave_an_event_behind():
    make_event(lead=Lead.objects.filter(merged_into__isnull=False).get())


def leave_a_run_behind():
    make_message()
    Enrollment.objects.update(lead=Lead.objects.filter(merged_into__isnull=False).get())


def merge_into_a_merged_one():
    make_lead(merged_into=Lead.objects.filter(merged_into__isnull=False).get())


def absorbed():
    return Lead.objects.filter(merged_into__isnull=False).get()


def leave_a_line_behind():
    ScoreEntry.objects.filter(lead=ada(), event__isnull=False).update(lead=absorbed())


def leave_a_task_behind():
    Task.objects.create(lead=absorbed(), title="Call")


def leave_a_state_behind():
    FoldState.objects.create(lead=absorbed())


def lose_the_trace():
    Merge.objects.all().delete()


def lead_the_trace_astray():
    Merge.objects.update(survivor=Lead.objects.get(identities__value="bob"))


def trace_a_merge_that_is_none():
    Merge.objects.create(absorbed=make_lead(), survivor=ada())


def take_apart_before_it_was_one():
    Merge.objects.create(absorbed=make_lead(), survivor=ada(), undone_at=timezone.now() - timedelta(days=1))


def mistake_a_key():
    Identity.objects.filter(value="bob").update(first_lead=ada())


def mistake_an_event():
    Event.objects.filter(lead=ada()).update(first_lead=Lead.objects.get(identities__value="bob"))


def mistake_a_run():
    make_message()
    Enrollment.objects.update(first_lead=Lead.objects.get(identities__value="bob"))


def ask_about_one_person():
    low, high = sorted((ada(), absorbed()), key=lambda lead: lead.pk)
    MergeReview.objects.create(low=low, high=high, why="x")


def say_that_two_are_merged():
    MergeReview.objects.create(low=ada(), high=make_lead(), why="x", state="merged", decided_at=timezone.now())


def answer_without_a_time():
    MergeReview.objects.create(low=ada(), high=make_lead(), why="x", state="kept")


def give_a_handoff_away():
    Task.objects.filter(kind="handoff").update(lead=make_lead())


def hand_over_another_entry():
    Task.objects.filter(kind="handoff").update(transition=Transition.objects.get(lead=ada(), seq=1))


def remember_somebody_else():
    Task.objects.create(lead=ada(), title="Call").colleagues.add(make_lead())


def hold_what_is_rescored():
    Rescore.objects.update_or_create(version=ScoringVersion.live(), defaults={"state": "done", "claim_token": uuid.uuid4()})


def hold_what_was_compared():
    WhatIf.objects.create(document={}, state="failed", claim_token=uuid.uuid4())


def hold_what_was_imported():
    CsvImport.objects.create(state="done", claim_token=uuid.uuid4())


def kill_five_rescorers():
    Rescore.objects.update_or_create(version=ScoringVersion.live(), defaults={"state": "running", "claim_token": None, "claim_count": 5})


def kill_five_comparers():
    WhatIf.objects.create(document={}, claim_count=5)


def kill_five_importers():
    CsvImport.objects.create(state="running", claim_count=5)


def let_news_lie():
    hour_ago = timezone.now() - timedelta(hours=1)
    Notification.objects.create(channel="chat", dedupe_key="x", title="x", due_at=hour_ago, created_at=hour_ago)


def let_a_run_lie():
    make_message(state="sent", sent_at=timezone.now(), sending_at=timezone.now())
    Enrollment.objects.update(due_at=timezone.now() - timedelta(hours=1), started_at=timezone.now() - timedelta(hours=1))


def let_a_mail_lie():
    make_message(due_at=timezone.now() - timedelta(hours=1), created_at=timezone.now() - timedelta(hours=1))


def kill_five_workers():
    Delivery.objects.create(source=make_source()[0], door="events", body=b"{}", claim_count=5)


def let_a_delivery_lie():
    Delivery.objects.create(source=make_source()[0], door="events", body=b"{}", due_at=timezone.now() - timedelta(hours=1))


def miscount():
    Delivery.objects.filter(stored__gt=0).update(stored=0)


def forget_the_next_step():
    make_message(state="sent", sent_at=timezone.now(), sending_at=timezone.now())


def lose_a_token():
    make_message()
    drop_constraint(Message, "message_claimed_has_token")
    Message.objects.update(state="sending")


def keep_a_token():
    make_message()
    drop_constraint(Message, "message_claimed_has_token")
    Message.objects.update(claim_token=uuid.uuid4())


def outlive_a_lease():
    make_message(state="sending", claim_token=uuid.uuid4(), lease_until="2020-01-01T00:00:00Z")


def hold_what_is_done():
    Delivery.objects.update(claim_token=uuid.uuid4())


def hold_what_is_told():
    Notification.objects.filter(channel="in_app").update(claim_token=uuid.uuid4())


def kill_five_senders():
    make_message(claim_count=5)


def kill_five_tellers():
    Notification.objects.create(channel="chat", dedupe_key="x", title="x", claim_count=5)


def send_too_early():
    sent(due_at=timezone.now() + timedelta(hours=1))


def send_too_late():
    sent(not_after=timezone.now() - timedelta(hours=1))


def forget_when_it_was_sent():
    sent(sent_at=None)


def mail_a_suppressed_one():
    hour_ago = timezone.now() - timedelta(hours=1)
    sent(contact_point=ContactPoint.objects.create(address_hash="a" * 64, suppressed="complaint", suppressed_at=hour_ago))


def name_a_company_twice():
    drop_constraint(Company, "company_name_alone")
    Company.objects.create(name="Acme")
    Company.objects.create(name="ACME")


def run_twice():
    make_message()
    drop_constraint(Enrollment, "enrollment_one_active")
    run = Enrollment.objects.get()
    run.pk, run.cause, run.due_at = None, "manual:2", timezone.now()
    run.save()


DAMAGES = [
    (change_points, "ledger_sums_to_the_score"),
    (lose_a_line, "ledger_sums_to_the_score"),
    (double_a_line, "ledger_sums_to_the_score"),
    (lose_a_line, "a_fresh_fold_agrees"),
    (change_a_fact, "a_fresh_fold_agrees"),
    (change_a_state, "a_fresh_fold_agrees"),
    (lose_a_state, "a_fresh_fold_agrees"),
    (oversleep, "a_fresh_fold_agrees"),
    (orphan_a_line, "ledger_lines_have_their_event"),
    (skip_a_number, "transitions_are_gap_free"),
    (break_the_chain, "transitions_are_chained"),
    (turn_time_back, "transitions_are_chained"),
    (change_the_stage, "stage_is_the_last_transition"),
    (change_the_count, "stage_is_the_last_transition"),
    (unknow_somebody, "visitors_pass_no_gate"),
    (lose_the_task, "sales_leads_are_handed_over"),
    (leave_a_key_behind, "nothing_stays_with_merged_leads"),
    (leave_an_event_behind, "nothing_stays_with_merged_leads"),
    (leave_a_run_behind, "nothing_stays_with_merged_leads"),
    (merge_into_a_merged_one, "nothing_stays_with_merged_leads"),
    (leave_a_line_behind, "nothing_stays_with_merged_leads"),
    (leave_a_task_behind, "nothing_stays_with_merged_leads"),
    (leave_a_state_behind, "nothing_stays_with_merged_leads"),
    (lose_the_trace, "merges_leave_a_trace"),
    (lead_the_trace_astray, "merges_leave_a_trace"),
    (trace_a_merge_that_is_none, "merges_leave_a_trace"),
    (take_apart_before_it_was_one, "merges_leave_a_trace"),
    (mistake_a_key, "rows_remember_whose_they_are"),
    (mistake_an_event, "rows_remember_whose_they_are"),
    (mistake_a_run, "rows_remember_whose_they_are"),
    (ask_about_one_person, "questions_are_about_two_people"),
    (say_that_two_are_merged, "questions_are_about_two_people"),
    (answer_without_a_time, "questions_are_about_two_people"),
    (give_a_handoff_away, "tasks_belong_to_their_people"),
    (hand_over_another_entry, "tasks_belong_to_their_people"),
    (remember_somebody_else, "tasks_belong_to_their_people"),
    (hold_what_is_rescored, "finished_work_is_released"),
    (hold_what_was_compared, "finished_work_is_released"),
    (hold_what_was_imported, "finished_work_is_released"),
    (kill_five_rescorers, "nothing_kills_its_workers"),
    (kill_five_comparers, "nothing_kills_its_workers"),
    (kill_five_importers, "nothing_kills_its_workers"),
    (let_news_lie, "due_work_is_taken"),
    (let_a_run_lie, "due_work_is_taken"),
    (let_a_mail_lie, "due_work_is_taken"),
    (kill_five_workers, "deliveries_are_not_stuck"),
    (let_a_delivery_lie, "deliveries_are_not_stuck"),
    (miscount, "receipts_count_their_events"),
    (forget_the_next_step, "runs_go_on"),
    (lose_a_token, "messages_are_held_or_free"),
    (keep_a_token, "messages_are_held_or_free"),
    (outlive_a_lease, "messages_are_held_or_free"),
    (hold_what_is_done, "finished_work_is_released"),
    (hold_what_is_told, "finished_work_is_released"),
    (kill_five_senders, "nothing_kills_its_workers"),
    (kill_five_tellers, "nothing_kills_its_workers"),
    (send_too_early, "messages_are_sent_in_time"),
    (send_too_late, "messages_are_sent_in_time"),
    (forget_when_it_was_sent, "messages_are_sent_in_time"),
    (mail_a_suppressed_one, "suppressed_addresses_get_no_mail"),
    (name_a_company_twice, "keys_are_unique"),
    (run_twice, "keys_are_unique"),
]


def test_each_damage_is_named(healthy, subtests):
    by_name = {each.name: each for each in INVARIANTS}
    for damage, name in DAMAGES:
        with subtests.test(damage.__name__), transaction.atomic():
            damage()
            assert list(by_name[name].find())
            transaction.set_rollback(True)
        checks_on_again()

    assert verify() == {}


def test_each_invariant_was_broken_above():
    assert {name for _, name in DAMAGES} == {each.name for each in INVARIANTS}


def test_a_lead_whose_automation_waits_for_its_retry_is_not_called_wrong(healthy):
    delivery = Delivery.objects.create(source=healthy, door="events", state="failed", due_at=timezone.now() + timedelta(hours=1))
    make_event(lead=ada(), type="DOWNLOADED_API_DOCS", delivery=delivery)

    assert verify() == {}


# --- rebuild ------------------------------------------------------------------------------------


def rebuild(*args):
    out = StringIO()
    call_command("rebuild", *args, stdout=out)
    return out.getvalue().splitlines()


def test_rebuilding_a_healthy_workspace_appends_nothing(healthy):
    before = list(ScoreEntry.objects.order_by("pk").values())

    assert rebuild("--all")[-1] == "Rebuilt 2 leads: 0 ledger lines appended."
    assert list(ScoreEntry.objects.order_by("pk").values()) == before
    assert verify() == {}


def test_rebuilding_puts_points_states_and_lines_right(healthy):
    lose_a_line()
    lose_a_state()
    change_points()
    Notification.objects.all().delete()  # so that a new one would show

    assert rebuild("--lead", str(ada().uid)) == ["Rebuilt 1 lead: 1 ledger line appended."]
    assert verify() == {}
    assert (ada().engagement, ada().fit) == (50, 15)
    assert not Notification.objects.exists()


def test_rebuilding_takes_back_what_no_fact_explains(healthy):
    make_entry(lead=ada(), points=5, version=ScoringVersion.live(), cause=Event.objects.filter(lead=ada()).first().cause, rule="invented")

    rebuild("--all")

    assert ada().engagement == 50
    assert verify() == {}


def test_an_absorbed_lead_stands_for_its_survivor(healthy):
    absorbed = Lead.objects.filter(merged_into__isnull=False).get()

    assert rebuild("--lead", str(absorbed.uid)) == [
        f"{absorbed.uid} was merged into {ada().uid}, which is rebuilt in its place.",
        "Rebuilt 1 lead: 0 ledger lines appended.",
    ]


def test_rebuilding_many_tells_how_far_it_is(healthy, monkeypatch):
    monkeypatch.setattr("crm.refolding.CHUNK", 1)

    assert rebuild("--all") == [
        "1 of 2 leads, 0 lines appended",
        "2 of 2 leads, 0 lines appended",
        "Rebuilt 2 leads: 0 ledger lines appended.",
    ]


@pytest.mark.parametrize(("uid", "sentence"), [("x", "is not the uid of a lead"), (str(uuid.UUID(int=1)), "There is no lead 0000")])
def test_a_wrong_uid_is_told(uid, sentence):
    with pytest.raises(CommandError, match=sentence):
        rebuild("--lead", uid)


def test_one_has_to_say_which():
    with pytest.raises(CommandError, match="--lead --all is required"):
        rebuild()
