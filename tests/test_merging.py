"""Two leads become one and two again: nothing is lost, nothing is mixed up, both scores come back."""

import itertools
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import time_machine
from django.apps import apps
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from campaigns.documents import read_document
from campaigns.models import Enrollment, Message
from campaigns.sending import queue_message
from campaigns.tracking import event_of
from crm.refolding import rebuild, rebuildable
from crm.verify import verify
from leads import gates, intake, notifications, privacy, publishing, scoring
from leads.activities import add_task, log_activity
from leads.documents import ModelDoc
from leads.merging import AlreadyApart, CannotMerge, merge_by_hand, unmerge
from leads.models import (
    Delivery,
    Event,
    Identity,
    Lead,
    Merge,
    MergeReview,
    Notification,
    ScoreEntry,
    Stage,
    Task,
    Transition,
)
from tests.factories import make_campaign, make_company, make_consent, make_lead, make_rep, make_source, make_step
from tests.test_random_histories import model

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def product():
    """A published model (A 10, B 20, C -15; see test_random_histories) and a source."""
    publishing.replace_draft(msgspec.convert(model(0), ModelDoc))
    publishing.publish()
    return make_source()[0]


@pytest.fixture
def rep():
    return make_rep()


def post(source, *messages):
    Delivery.objects.create(source=source, door="events", body=json.dumps(list(messages)).encode(), message_count=len(messages))
    intake.drain_all()


seconds = itertools.count(1)


def did(user, *types, **more):
    """Messages of somebody, one second after the other."""
    since = timezone.now() - timedelta(hours=2)
    return [
        {"userId": user, "eventType": kind, "timestamp": (since + timedelta(seconds=next(seconds))).isoformat(), **more} for kind in types
    ]


def lead_of(value):
    return Identity.objects.get(value=value).lead


def two(product):
    """Ada and Bob, known by their user ids: A, B and A, C."""
    post(product, *did("ada", "A", "B", traits={"name": "Ada", "title": "CTO"}), *did("bob", "A", "C", traits={"name": "Bob"}))
    return lead_of("ada"), lead_of("bob")


def broken():
    notifications.send_all_due()
    return {finding.invariant.name: finding.rows[:4] for finding in verify() if finding.broken}


def all_is_well():
    scoring.apply_all_due()
    assert broken() == {}
    assert sum(lines for _, lines in rebuild(rebuildable())) == 0


def ledger(lead):
    sums = Counter()
    for entry in ScoreEntry.objects.filter(lead=lead).select_related("event"):
        sums[entry.event.message_id if entry.event else entry.cause, entry.rule, entry.kind] += entry.points
    return {key: points for key, points in sums.items() if points}


def standing(lead):
    lead = Lead.objects.get(pk=lead.pk)
    return lead.engagement, lead.fit, ledger(lead), sorted(lead.identities.values_list("value", flat=True)), lead.name, lead.title


# --- merging by hand ------------------------------------------------------------------------------


def test_the_survivor_has_everything_and_keeps_its_stage(product, rep):
    ada, bob = two(product)
    gates.move_by_hand(bob, Stage.objects.get(key="sql"), by_user=rep)

    merge = merge_by_hand(ada, bob, by_user=rep)

    ada.refresh_from_db()
    bob.refresh_from_db()
    assert bob.merged_into == ada
    assert ada.stage_id == "mql"
    assert set(ada.events.values_list("type", flat=True)) >= {"A", "B", "C"}
    assert ada.score == sum(points for points in ledger(ada).values()) == 10 + 20 + 10 - 15 + 15
    assert sorted(ada.identities.values_list("value", flat=True)) == ["ada", "bob"]
    assert (merge.absorbed, merge.survivor, merge.by_user, merge.undone_at) == (bob, ada, rep, None)
    all_is_well()


def test_what_comes_later_by_a_key_of_the_absorbed_lead_reaches_the_survivor(product, rep):
    ada, bob = two(product)
    merge_by_hand(ada, bob, by_user=rep)

    post(product, *did("bob", "B"))

    event = Event.objects.latest("pk")
    assert (event.lead, event.first_lead) == (ada, bob)
    all_is_well()


def test_the_survivor_takes_what_it_lacks_and_no_more(product, rep):
    acme, other = make_company(name="Acme"), make_rep()
    ada, bob = two(product)
    Lead.objects.filter(pk=bob.pk).update(company=acme, owner=other, first_seen_at=START)

    merge_by_hand(ada, bob, by_user=rep)

    ada.refresh_from_db()
    assert (ada.company, ada.owner, ada.first_seen_at) == (acme, other, START)

    cid = make_lead(owner=rep, company=make_company())
    merge_by_hand(cid, ada, by_user=rep)
    cid.refresh_from_db()
    assert (cid.owner, cid.former_owner) == (rep, other)
    assert cid.company != acme
    told = Notification.objects.get(dedupe_key__startswith="merge:")
    assert (told.user, told.lead) == (other, ada)  # which leads on to Cid
    assert str(rep) in told.body
    assert cid.email not in told.title + told.body


def test_a_value_is_taken_only_where_there_is_none(product, rep):
    ada, bob = two(product)
    Lead.objects.filter(pk=bob.pk).update(value=500, currency="EUR")

    merge = merge_by_hand(ada, bob, by_user=rep)
    ada.refresh_from_db()
    assert (ada.value, ada.currency) == (500, "EUR")

    unmerge(merge, by_user=rep)
    ada.refresh_from_db()
    bob.refresh_from_db()
    assert (ada.value, bob.value) == (None, 500)


@pytest.mark.parametrize("case", ["itself", "visitor", "merged", "forgotten"])
def test_who_can_not_be_merged_is_told_why(case, product, rep):
    ada, bob = two(product)
    if case == "itself":
        bob = ada
    elif case == "visitor":
        post(product, {"anonymousId": "v", "eventType": "A"})
        bob = lead_of("v")
    elif case == "merged":
        merge_by_hand(ada, bob, by_user=rep)
    else:
        Lead.objects.filter(pk=bob.pk).delete()
    merges = Merge.objects.count()

    with pytest.raises(CannotMerge, match=r"\w.*\."):
        merge_by_hand(ada, bob, by_user=rep)

    assert Merge.objects.count() == merges


def test_merging_takes_the_same_statements_whatever_there_is_to_move(product, rep):
    def cost(times):
        names = [f"{name}{times}" for name in ("x", "y")]
        for name in names:
            post(product, *did(name, *["A"] * times))
        x, y = (lead_of(name) for name in names)
        for n in range(times):
            add_task(y, title=f"Task {n}", owner=rep, due_at=None, by_user=rep)
        with CaptureQueriesContext(connection) as merging_queries:
            merge = merge_by_hand(x, y, by_user=rep)
        with CaptureQueriesContext(connection) as parting_queries:
            unmerge(merge, by_user=rep)
        return len(merging_queries), len(parting_queries)

    assert cost(2) == cost(40)


# --- taking apart -----------------------------------------------------------------------------------


def test_taking_apart_restores_both_histories_and_both_scores(product, rep):
    ada, bob = two(product)
    before = standing(ada), standing(bob)
    merge = merge_by_hand(ada, bob, by_user=rep)
    assert standing(ada) != before[0]

    back = unmerge(merge, by_user=rep)

    assert back == bob
    assert (standing(ada), standing(bob)) == before
    merge.refresh_from_db()
    assert merge.undone_by == rep
    assert merge.undone_at is not None
    all_is_well()


def test_what_came_meanwhile_goes_where_its_key_belongs(product, rep):
    ada, bob = two(product)
    merge = merge_by_hand(ada, bob, by_user=rep)
    post(product, *did("bob", "B", anonymousId="phone"), *did("ada", "C"), {"anonymousId": "phone", "eventType": "D"})

    unmerge(merge, by_user=rep)

    assert Counter(bob.events.values_list("type", flat=True)) == Counter("ACBD")
    assert Counter(ada.events.values_list("type", flat=True)) == Counter("ABC")
    assert lead_of("phone") == bob
    bob.refresh_from_db()
    assert bob.engagement == 10 - 10 + 20  # C takes it to 0, not below
    all_is_well()


def test_facts_that_only_the_other_said_are_taken_back(product, rep):
    post(product, *did("ada", "A"), *did("bob", "A", traits={"name": "Bob", "phone": "+49 30 1", "seats": 9}))
    ada, bob = lead_of("ada"), lead_of("bob")
    merge = merge_by_hand(ada, bob, by_user=rep)
    ada.refresh_from_db()
    assert (ada.name, ada.phone, ada.traits, ada.search.text) == ("Bob", "+49 30 1", {"seats": 9}, "bob +49 30 1")

    unmerge(merge, by_user=rep)

    ada = Lead.objects.get(pk=ada.pk)
    bob.refresh_from_db()
    assert (ada.name, ada.phone, ada.traits, ada.search.text) == ("", "", {}, "")
    assert (bob.name, bob.phone, bob.traits) == ("Bob", "+49 30 1", {"seats": 9})


def test_a_company_is_given_back_unless_the_survivor_has_it_by_itself(product, rep):
    post(product, *did("ada", "A"), *did("bob", "A", email="bob@acme.example"), *did("cid", "A", email="cid@acme.example"))
    ada, bob, cid = (lead_of(name) for name in ("ada", "bob", "cid"))
    merges = [merge_by_hand(ada, bob, by_user=rep), merge_by_hand(cid, ada, by_user=rep)]

    for merge in merges:
        unmerge(merge, by_user=rep)

    companies = dict(Lead.objects.values_list("pk", "company__domain"))
    assert companies == {ada.pk: None, bob.pk: "acme.example", cid.pk: "acme.example"}
    all_is_well()


def test_a_stage_that_was_reached_together_stays_reached(product, rep):
    post(product, *did("ada", "A", "B"), *did("bob", "A", "B", "B", traits={"title": "CTO"}))
    ada, bob = lead_of("ada"), lead_of("bob")
    ada.refresh_from_db()
    assert (ada.stage_id, ada.score) == ("mql", 30)

    merge = merge_by_hand(ada, bob, by_user=rep)
    ada.refresh_from_db()
    assert ada.stage_id == "sql"
    moves = Transition.objects.count()

    unmerge(merge, by_user=rep)
    ada.refresh_from_db()
    assert (ada.stage_id, ada.score) == ("sql", 30)
    assert Transition.objects.count() == moves
    all_is_well()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_chain_is_taken_apart_in_any_order(order, product, rep):
    post(product, *did("a", "A"), *did("b", "B"), *did("c", "A", "B"), *did("d", "C", "B"))
    people = [lead_of(name) for name in "abcd"]
    before = [standing(lead) for lead in people]
    merges = [merge_by_hand(into, lead, by_user=rep) for lead, into in itertools.pairwise(people)]
    assert set(Lead.objects.filter(merged_into=people[3])) == set(people[:3])
    post(product, *did("a", "D"), *did("c", "D"))
    all_is_well()

    for number in order:
        unmerge(merges[number], by_user=rep)
    all_is_well()

    assert [standing(lead) for lead in people] == before
    assert [lead.events.count() for lead in people] == [2, 1, 3, 2]


def test_the_middle_of_a_chain_takes_along_what_it_had_absorbed(product, rep):
    post(product, *did("a", "A"), *did("b", "B"), *did("c", "A"))
    a, b, c = (lead_of(name) for name in "abc")
    merge_by_hand(b, a, by_user=rep)
    together = standing(b)
    merge = merge_by_hand(c, b, by_user=rep)

    unmerge(merge, by_user=rep)

    a.refresh_from_db()
    assert a.merged_into == b
    assert standing(b) == together
    assert standing(c)[:2] == (10, 0)
    all_is_well()


def test_two_can_be_merged_again_also_the_other_way_round(product, rep):
    ada, bob = two(product)
    before = standing(ada), standing(bob)
    for kept, gone in ((ada, bob), (bob, ada), (ada, bob)):
        merge = merge_by_hand(Lead.objects.get(pk=kept.pk), Lead.objects.get(pk=gone.pk), by_user=rep)
        all_is_well()
        unmerge(merge, by_user=rep)
        all_is_well()

    assert (standing(ada), standing(bob)) == before


def test_taking_apart_twice_changes_nothing_and_says_who_did_it(product, rep):
    ada, bob = two(product)
    merge = merge_by_hand(ada, bob, by_user=rep)
    unmerge(merge, by_user=rep)
    before = standing(ada), standing(bob)

    with pytest.raises(AlreadyApart, match=f"taken apart by {rep} already"):
        unmerge(merge, by_user=rep)

    assert (standing(ada), standing(bob)) == before


def test_forgotten_people_are_not_taken_apart(product, rep):
    ada, bob = two(product)
    merge = merge_by_hand(ada, bob, by_user=rep)
    Lead.objects.filter(merged_into=ada).update(merged_into=None)
    Lead.objects.filter(pk__in=[ada.pk, bob.pk]).delete()

    with pytest.raises(AlreadyApart, match="forgotten"):
        unmerge(merge, by_user=rep)


# --- merges that messages make ------------------------------------------------------------------------


def test_a_message_that_merges_leaves_a_trace_that_names_why_but_no_person(product):
    post(product, *did("ada", "A", email="ada@example.com"), {"anonymousId": "v", "eventType": "B"})
    visitor = lead_of("v")

    post(product, *did("ada", "A", anonymousId="v"))

    merge = Merge.objects.get()
    assert (merge.absorbed, merge.survivor, merge.by_user, merge.why) == (visitor, lead_of("ada"), None, "A named both by anonymous_id")


def test_a_visitor_that_was_taken_out_is_not_merged_again_by_the_next_message(product, rep):
    post(product, *did("ada", "A"), {"anonymousId": "v", "eventType": "B"})
    ada, visitor = lead_of("ada"), lead_of("v")
    post(product, *did("ada", "A", anonymousId="v"))

    unmerge(Merge.objects.get(), by_user=rep)
    post(product, *did("ada", "A", anonymousId="v"), {"anonymousId": "v", "eventType": "D"})

    visitor.refresh_from_db()
    assert (visitor.merged_into, visitor.is_known, visitor.engagement) == (None, False, 20)
    assert Counter(visitor.events.values_list("type", flat=True)) == Counter("BD")
    assert ada.events.count() == 3
    all_is_well()


def test_a_visitor_that_joined_the_absorbed_lead_goes_back_with_it(product, rep):
    ada, bob = two(product)
    post(product, {"anonymousId": "v", "eventType": "B"})
    merge = merge_by_hand(ada, bob, by_user=rep)
    post(product, *did("bob", "D", anonymousId="v"))
    assert lead_of("v") == ada

    unmerge(merge, by_user=rep)

    assert lead_of("v") == bob
    assert Lead.objects.get(merged_into__isnull=False).merged_into == bob
    all_is_well()


def test_a_group_that_merges_many_takes_as_many_statements_as_one_that_merges_one(product, monkeypatch):
    monkeypatch.setattr(intake, "group_size", lambda: 1000)

    def cost(count, prefix):
        names = [f"{prefix}{n}" for n in range(count)]
        post(product, *[message for name in names for message in did(name, "A")])
        post(product, *[{"anonymousId": f"v-{name}", "eventType": "A"} for name in names])
        messages = [message for name in names for message in did(name, "A", anonymousId=f"v-{name}")]
        Delivery.objects.create(source=product, door="events", body=json.dumps(messages).encode(), message_count=count)
        with CaptureQueriesContext(connection) as queries:
            intake.drain()
        assert Merge.objects.filter(absorbed__identities=None, survivor__identities__value__startswith=prefix).distinct().count() == count
        return len(queries)

    assert cost(1, "x") == cost(30, "y")


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_merging_taking_apart_and_events_side_by_side_lose_and_mix_nothing():
    publishing.replace_draft(msgspec.convert(model(0), ModelDoc))
    publishing.publish()
    source, rep = make_source()[0], make_rep()
    ada, bob = two(source)

    def posting(_):
        for _ in range(12):
            messages = [*did("ada", "D"), *did("bob", "D")]
            Delivery.objects.create(source=source, door="events", body=json.dumps(messages).encode(), message_count=2)
            intake.drain_all()

    def merging(kept_first):
        for _ in range(8):
            kept, gone = (ada, bob) if kept_first else (bob, ada)
            try:
                unmerge(merge_by_hand(kept, gone, by_user=rep), by_user=rep)
            except (CannotMerge, AlreadyApart):
                continue

    def one(number):
        try:
            (posting if number < 2 else merging)(number == 2)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))
    Delivery.objects.retry(timezone.now())  # who met the others too often would wait some seconds
    intake.drain_all()

    assert Counter(ada.events.values_list("type", flat=True)) == {"A": 1, "B": 1, "D": 24}
    assert Counter(bob.events.values_list("type", flat=True)) == {"A": 1, "C": 1, "D": 24}
    assert not Delivery.objects.waiting().exists()
    all_is_well()


# --- what hangs on a lead -------------------------------------------------------------------------------


def test_open_tasks_go_over_and_find_back(product, rep):
    ada, bob = two(product)
    gates.move_by_hand(bob, Stage.objects.get(key="sql"), by_user=rep)
    bob.refresh_from_db()
    call = add_task(bob, title="Call Bob", owner=rep, due_at=None, by_user=rep)
    mail = add_task(ada, title="Mail Ada", owner=rep, due_at=None, by_user=rep)
    handoff = Task.objects.get(kind="handoff")

    merge = merge_by_hand(ada, bob, by_user=rep)

    assert {task.pk: task.lead_id for task in Task.objects.all()} == {call.pk: ada.pk, mail.pk: ada.pk, handoff.pk: bob.pk}
    assert call.joined_by == []
    all_is_well()

    unmerge(merge, by_user=rep)
    assert {task.pk: task.lead_id for task in Task.objects.all()} == {call.pk: bob.pk, mail.pk: ada.pk, handoff.pk: bob.pk}
    assert not call.colleagues.exists()
    all_is_well()


def test_of_two_who_are_with_sales_one_is_called(product, rep):
    ada, bob = two(product)
    for lead in (ada, bob):
        gates.move_by_hand(lead, Stage.objects.get(key="sql"), by_user=rep)
    own, other = Task.objects.get(lead=ada), Task.objects.get(lead=bob)

    merge = merge_by_hand(ada, bob, by_user=rep)
    assert Task.objects.get(pk=other.pk).lead == bob

    unmerge(merge, by_user=rep)
    assert {task.pk: task.lead_id for task in Task.objects.all()} == {own.pk: ada.pk, other.pk: bob.pk}

    Task.objects.filter(pk=own.pk).update(done_at=timezone.now())
    merge = merge_by_hand(ada, bob, by_user=rep)
    assert Task.objects.get(pk=other.pk).lead == ada
    all_is_well()

    unmerge(merge, by_user=rep)
    assert Task.objects.get(pk=other.pk).lead == bob
    all_is_well()


def test_a_task_comes_back_from_the_end_of_a_chain(product, rep):
    a, b, c = make_lead(), make_lead(), make_lead()
    task = add_task(a, title="Call", owner=rep, due_at=None, by_user=rep)
    first, second = merge_by_hand(b, a, by_user=rep), merge_by_hand(c, b, by_user=rep)
    task.refresh_from_db()
    assert task.lead == c

    unmerge(second, by_user=rep)
    task.refresh_from_db()
    assert task.lead == b
    all_is_well()

    unmerge(first, by_user=rep)
    task.refresh_from_db()
    assert (task.lead, task.colleagues.count()) == (a, 0)


def test_runs_and_mails_go_back_and_what_ended_stays_ended(product, rep):
    campaign = make_campaign(trigger={"event": "A"}, class_="product", steps=[make_step("one", after="1d"), make_step("two", after="1d")])
    other = make_campaign(trigger={"event": "B"}, class_="product", steps=[make_step("one")])
    ada, bob = two(product)
    post(product, *did("bob", "B"))
    Enrollment.objects.filter(lead=bob, campaign=campaign).update(next_step="two")
    mail = queue_message(Enrollment.objects.get(lead=bob, campaign=other), first_step(other), now=timezone.now())
    Enrollment.objects.filter(lead=ada, campaign=other).delete()

    merge = merge_by_hand(ada, bob, by_user=rep)
    runs = {
        (run.first_lead_id, run.campaign_id): (run.lead_id, run.state, run.reason) for run in Enrollment.objects.exclude(state="refused")
    }
    assert runs[ada.pk, campaign.pk] == (ada.pk, "exited", "merged")
    assert runs[bob.pk, campaign.pk] == (ada.pk, "active", "")
    assert Message.objects.get(pk=mail.pk).lead == ada

    unmerge(merge, by_user=rep)
    runs = {(run.lead_id, run.campaign_id): run.state for run in Enrollment.objects.exclude(state="refused")}
    assert runs == {(ada.pk, campaign.pk): "exited", (bob.pk, campaign.pk): "active", (bob.pk, other.pk): "active"}
    assert Message.objects.get(pk=mail.pk).lead == bob
    all_is_well()


def first_step(campaign):
    return read_document(campaign.live.document).steps[0]


def test_a_run_that_began_meanwhile_goes_with_the_event_that_began_it(product, rep):
    campaign = make_campaign(trigger={"event": "D"}, class_="product", steps=[make_step("one", after="1d")])
    ada, bob = two(product)
    merge = merge_by_hand(ada, bob, by_user=rep)
    post(product, *did("bob", "D"))
    run = campaign.enrollments.get()
    assert (run.lead, run.first_lead) == (ada, bob)

    unmerge(merge, by_user=rep)

    run.refresh_from_db()
    assert (run.lead, run.state) == (bob, "active")


def test_runs_of_one_slot_have_their_cause_back(product, rep):
    campaign = make_campaign(reentry="always")
    ada, bob = two(product)
    for lead in (ada, bob):
        Enrollment.objects.create(
            campaign=campaign,
            version=campaign.live,
            lead=lead,
            first_lead=lead,
            cause="slot:x",
            cause_at=timezone.now(),
            state="completed",
        )

    unmerge(merge_by_hand(ada, bob, by_user=rep), by_user=rep)

    assert list(campaign.enrollments.order_by("lead").values_list("lead", "cause")) == [(ada.pk, "slot:x"), (bob.pk, "slot:x")]


def test_a_click_in_a_mail_to_the_absorbed_lead_is_its_own(product, rep):
    campaign = make_campaign(trigger={"event": "A"}, class_="product")
    ada, bob = two(product)
    mail = queue_message(Enrollment.objects.get(lead=bob), first_step(campaign), now=timezone.now())
    merge = merge_by_hand(ada, bob, by_user=rep)
    mail.refresh_from_db()
    intake.record_now([event_of(mail, "EMAIL_CLICKED", str(mail.uid), at=timezone.now())])
    click = Event.objects.get(type="EMAIL_CLICKED")
    assert (click.lead, click.first_lead) == (ada, bob)

    unmerge(merge, by_user=rep)

    click.refresh_from_db()
    assert click.lead == bob


def test_consent_and_suppression_belong_to_addresses_and_stay(product, rep):
    post(product, *did("ada", "A", email="ada@example.com"), *did("bob", "A", email="bob@example.com"))
    denied = make_consent(email="bob@example.com", status="denied")

    merge = merge_by_hand(lead_of("ada"), lead_of("bob"), by_user=rep)
    unmerge(merge, by_user=rep)

    denied.refresh_from_db()
    assert denied.status == "denied"


# --- no column is forgotten ---------------------------------------------------------------------------------

# What a merge does with each column that names a lead. A new one fails the test below until it stands here.
COLUMNS = {
    "leads.Identity.lead": "moves",
    "leads.Event.lead": "moves",
    "leads.ScoreEntry.lead": "moves",
    "campaigns.Enrollment.lead": "moves",
    "campaigns.Message.lead": "moves",
    "leads.Task.lead": "moves",  # open ones
    "leads.Identity.first_lead": "stays",
    "leads.Event.first_lead": "stays",
    "leads.ScoreEntry.first_lead": "stays",
    "campaigns.Enrollment.first_lead": "stays",
    "campaigns.Message.first_lead": "stays",
    "leads.Transition.lead": "stays",
    "leads.Activity.lead": "stays",
    "leads.Notification.lead": "stays",
    "leads.LeadSearch.lead": "stays",
    "leads.Task_colleagues.lead": "stays",
    "leads.Merge.absorbed": "stays",
    "leads.Merge.survivor": "stays",
    "leads.MergeReview.low": "stays",
    "leads.MergeReview.high": "stays",
    "leads.FoldState.lead": "made anew",
    "leads.Checkpoint.lead": "made anew",
    "leads.Lead.merged_into": "the merge itself",
}


def columns_that_name_a_lead():
    for app in ("leads", "campaigns", "crm"):
        for found in apps.get_app_config(app).get_models(include_auto_created=True) if apps.is_installed(app) else ():
            for column in found._meta.local_fields:
                if column.is_relation and column.related_model is Lead:
                    yield f"{found._meta.app_label}.{found.__name__}.{column.name}"


def test_every_column_that_names_a_lead_is_thought_of():
    assert set(columns_that_name_a_lead()) == set(COLUMNS)


def rows_of(lead):
    """How many rows name the lead, by column."""
    counts = {}
    for name in COLUMNS:
        label, column = name.rsplit(".", 1)
        counts[name] = apps.get_model(label)._base_manager.filter(**{column: lead.pk}).count()
    return counts


def test_each_of_them_moves_or_stays_as_said_and_is_back_afterwards_and_forgotten_with_the_person(product, rep):
    campaign = make_campaign(trigger={"event": "A"}, class_="product")
    post(product, *did("ada", "A", email="ada@example.com"), *did("bob", "A", "A", email="bob@example.com", anonymousId="b"))
    ada, bob = lead_of("ada"), lead_of("bob")
    campaign.enrollments.filter(lead=ada).delete()
    queue_message(campaign.enrollments.get(lead=bob, state="active"), first_step(campaign), now=timezone.now())
    add_task(bob, title="Call", owner=rep, due_at=None, by_user=rep)
    log_activity(bob, kind="note", text="Nice", by_user=rep)
    cid = make_lead()
    unmerge(merge_by_hand(bob, cid, by_user=rep), by_user=rep)
    unmerge(merge_by_hand(cid, bob, by_user=rep), by_user=rep)
    MergeReview.objects.create(low=bob, high=make_lead(), why="a test")
    MergeReview.objects.create(low=ada, high=bob, why="a test")
    Notification.objects.create(channel="in_app", dedupe_key="x", title="x", lead=bob)
    bob.checkpoints.create(at=START, facts=1, state={})
    Task.objects.create(lead=cid, kind="handoff", title="With Bob").colleagues.add(bob)
    before = rows_of(bob)
    assert [name for name, count in before.items() if not count and name != "leads.Lead.merged_into"] == []

    merge = merge_by_hand(ada, bob, by_user=rep)

    after = rows_of(bob)
    added = {"leads.Merge.absorbed": 1, "leads.Task_colleagues.lead": 1}
    for name, fate in COLUMNS.items():
        expected = before[name] + added.get(name, 0) if fate == "stays" else 0
        assert after[name] == expected, name

    unmerge(merge, by_user=rep)
    back = rows_of(bob)
    for name, fate in COLUMNS.items():
        extra = {"leads.Merge.absorbed": 1}.get(name, 0)
        assert back[name] == (0 if name == "leads.Checkpoint.lead" else before[name] + extra), (name, fate)

    merge_by_hand(ada, bob, by_user=rep)
    pks = {ada.pk, bob.pk}
    privacy.forget("bob@example.com")
    for name in COLUMNS:
        label, column = name.rsplit(".", 1)
        assert not apps.get_model(label)._base_manager.filter(**{f"{column}__in": pks}).exists(), name
    all_is_well()


def test_forgetting_one_of_two_who_were_taken_apart_leaves_the_other(product, rep):
    post(product, *did("ada", "A", email="ada@example.com"), *did("bob", "B", email="bob@example.com"))
    ada, bob = lead_of("ada"), lead_of("bob")
    unmerge(merge_by_hand(ada, bob, by_user=rep), by_user=rep)

    privacy.forget("bob@example.com")

    assert list(Lead.objects.all()) == [ada]
    assert standing(ada)[:2] == (10, 0)
    assert not Merge.objects.exists()
    all_is_well()


# --- anything, in any order -----------------------------------------------------------------------------------

people = st.integers(0, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), people, st.sampled_from("ABCD"), st.integers(0, 100)),
        st.tuples(st.just("visit"), people, st.sampled_from("AB"), st.integers(0, 100)),
        st.tuples(st.just("login"), people, st.sampled_from("AB"), st.integers(0, 100)),
        st.tuples(st.just("merge"), people, people),
        st.tuples(st.just("unmerge"), st.integers(0, 9)),
    ),
    min_size=4,
    max_size=16,
)


class Undone(Exception):
    """Ends an example and undoes what it wrote."""


def some_message(step, number, now):
    what, who, kind, hours = step
    names = {"post": {"userId": f"u{who}"}, "visit": {"anonymousId": f"v{who}"}, "login": {"userId": f"u{who}", "anonymousId": f"v{who}"}}
    at = (now - timedelta(hours=hours)).isoformat()
    return names[what] | {"eventType": kind, "messageId": f"m{number}", "timestamp": at, "traits": {"title": "CTO" if hours % 2 else "CEO"}}


def live_through(drawn, *, merging_too):
    """Let it all happen, take apart what colleagues merged, and return each person's events, ledger and points."""
    rep, (source, _) = make_rep(), make_source()
    publishing.replace_draft(msgspec.convert(model(0), ModelDoc))
    publishing.publish()
    with time_machine.travel(START - timedelta(days=9), tick=False):
        post(source, *[message for who in range(4) for message in did(f"u{who}", "D")])
    for number, step in enumerate(drawn):
        with time_machine.travel(START + timedelta(hours=7 * number), tick=False):
            if step[0] in ("post", "visit", "login"):
                post(source, some_message(step, number, timezone.now()))
            elif merging_too:
                merge_or_part(step, rep)
    with time_machine.travel(START + timedelta(days=30), tick=False):
        for merge in Merge.objects.standing().exclude(by_user=None).order_by("?" if len(drawn) % 2 else "-pk"):
            unmerge(merge, by_user=rep)
        scoring.apply_all_due()
        all_is_well()
        everybody = {f"u{who}": lead_of(f"u{who}") for who in range(4)}
        return {name: (told(lead), standing(lead)[:3]) for name, lead in everybody.items()}


def merge_or_part(step, rep):
    if step[0] == "merge":
        kept, gone = lead_of(f"u{step[1]}"), lead_of(f"u{step[2]}")
        if kept != gone:
            merge_by_hand(kept, gone, by_user=rep)
    else:
        by_hand = list(Merge.objects.standing().exclude(by_user=None).order_by("pk"))
        if by_hand:
            unmerge(by_hand[step[1] % len(by_hand)], by_user=rep)
    all_is_well()


def told(lead):
    return sorted(lead.events.filter(message_id__startswith="m").values_list("message_id", flat=True))


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=steps)
def test_what_was_taken_apart_is_as_if_it_had_never_been_one(drawn):
    outcomes = []
    for merging_too in (True, False):
        try:
            with transaction.atomic():
                outcomes.append(live_through(drawn, merging_too=merging_too))
                raise Undone
        except Undone:
            pass
    assert outcomes[0] == outcomes[1]
