"""Deliveries become events, points and moves; repeated, late, broken and racing ones change nothing they should not."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.verify import verify
from leads import gates, intake, publishing, scoring
from leads.documents import ModelDoc
from leads.models import Delivery, Event, FoldState, Identity, Lead, MergeReview, ScoreEntry, Source, Stage, Task, Transition
from leads.signals import events_recorded
from tests.factories import make_rep, make_source

pytestmark = pytest.mark.django_db

MODEL = {
    "scoring": {
        "derive": [{"from": "PAGE_VIEWED", "when": [{"field": "event.path", "op": "is", "value": "/pricing"}], "as": "VIEWED_PRICING"}],
        "rules": [
            {"key": "viewed-pricing", "name": "Viewed pricing", "event": "VIEWED_PRICING", "points": 10},
            {"key": "downloaded", "name": "Downloaded API docs", "event": "DOWNLOADED_API_DOCS", "points": 20},
            {"key": "abandoned", "name": "Abandoned checkout", "event": "ABANDONED_CHECKOUT", "points": 15, "expires_after": "90d"},
        ],
        "fit": [{"key": "cto", "name": "CTO", "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}], "points": 15}],
    },
    "gates": [
        {"key": "interested", "from": "cold", "to": "mql", "conditions": [{"event": "SIGNED_UP"}, {"event": "DEMO_REQUESTED"}]},
        {"key": "hot", "from": "mql", "to": "sql", "conditions": [{"score": {"at_least": 80}}, {"event": "DEMO_REQUESTED"}]},
    ],
}


@pytest.fixture
def model():
    import msgspec

    publishing.replace_draft(msgspec.convert(MODEL, ModelDoc))
    return publishing.publish()


@pytest.fixture
def product():
    return make_source()[0]


def deliver(source, *messages, door="events", **fields):
    """Store a request as the door does, without draining it."""
    body = json.dumps(list(messages)).encode()
    return Delivery.objects.create(source=source, door=door, body=body, message_count=len(messages), **fields)


def post(source, *messages, **fields):
    """Store a request and drain everything."""
    delivery = deliver(source, *messages, **fields)
    intake.drain_all()
    delivery.refresh_from_db()
    return delivery


def said(kind="VIEWED_PRICING", user="ada", **fields):
    return {"userId": user, "eventType": kind} | fields


def broken():
    """The invariants that do not hold."""
    return {finding.invariant.name: finding.rows for finding in verify() if finding.broken}


def points_of(lead):
    return {(e.cause, e.rule): e.points for e in ScoreEntry.objects.filter(lead=lead)}


# --- scoring ------------------------------------------------------------------------------------
def test_the_founding_scenario_promotes_once_at_eighty_points(model, product):
    make_rep()
    post(product, said("SIGNED_UP", email="ada@acme.example"))
    post(product, *[said() for _ in range(4)], said("DOWNLOADED_API_DOCS"), said("ABANDONED_CHECKOUT"))
    lead = Lead.objects.get()
    assert (lead.score, lead.stage_id) == (75, "mql")

    post(product, said("SOMETHING_ELSE"), said())

    lead.refresh_from_db()
    assert (lead.score, lead.stage_id) == (85, "sql")
    assert list(lead.transitions.values_list("seq", "from_stage", "to_stage").order_by("seq")) == [(1, "cold", "mql"), (2, "mql", "sql")]
    assert sum(points_of(lead).values()) == 85


def test_a_page_view_counts_as_the_type_derived_from_it(model, product):
    body = json.dumps({"batch": [{"type": "page", "userId": "ada", "properties": {"path": "/pricing"}}]}).encode()
    Delivery.objects.create(source=product, door="batch", body=body)
    intake.drain_all()

    assert Lead.objects.get().score == 10
    assert Event.objects.get().type == "PAGE_VIEWED"


def test_fit_follows_what_is_known_about_the_person(model, product):
    post(product, said("SIGNED_UP", traits={"title": "CTO & founder"}))
    assert Lead.objects.get().fit == 15

    post(product, said("SIGNED_UP", traits={"title": "Director"}))

    lead = Lead.objects.get()
    assert (lead.fit, lead.title) == (0, "Director")
    assert sum(points_of(lead).values()) == lead.score


def test_points_expire_once_by_the_passing_of_time(model, product):
    start = timezone.now()
    post(product, said("ABANDONED_CHECKOUT"))

    with time_machine.travel(start + timedelta(days=90, seconds=5), tick=False):
        assert scoring.apply_due(timezone.now()) == 1
        assert scoring.apply_due(timezone.now()) == 0

    lead = Lead.objects.get()
    assert lead.score == 0
    assert sorted(ScoreEntry.objects.values_list("points", flat=True)) == [-15, 15]


def test_late_facts_end_in_the_same_ledger_as_facts_in_order(model, product):
    start = timezone.now() - timedelta(hours=5)
    messages = [
        said(kind, timestamp=(start + timedelta(minutes=n)).isoformat(), messageId=f"m{n}")
        for n, kind in enumerate(["SIGNED_UP", "VIEWED_PRICING", "DOWNLOADED_API_DOCS", "VIEWED_PRICING", "ABANDONED_CHECKOUT"])
    ]
    for message in (messages[4], messages[1], messages[0], messages[3], messages[1], messages[2]):
        post(product, message)

    lead = Lead.objects.get()
    assert lead.score == sum(points_of(lead).values()) == 55
    assert lead.stage_id == "mql"
    assert scoring.refold([lead.pk], now=timezone.now()) == 0


def test_rebuild_equals_live_and_running_it_twice_writes_nothing(model, product):
    post(product, said("SIGNED_UP"), *[said() for _ in range(9)])
    lead = Lead.objects.get()

    assert scoring.refold([lead.pk], now=timezone.now()) == 0
    assert Transition.objects.filter(lead=lead).count() == 2


def test_a_cold_lead_that_asks_for_a_demo_is_at_sales_at_once_with_one_handoff(model, product):
    make_rep()
    post(product, said("DEMO_REQUESTED"))

    lead = Lead.objects.get()
    assert [t.to_stage_id for t in lead.transitions.order_by("seq")] == ["mql", "sql"]
    assert lead.tasks.count() == 1
    assert lead.owner is not None


# --- once, for ever -----------------------------------------------------------------------------
@pytest.mark.parametrize("key", ['say "hi"', "back\\slash", "a,b", "{curly}", "it's", "ключ"])
def test_ids_of_any_letters_are_found_again(model, product, key):
    message = {"userId": key, "eventType": "DOWNLOADED_API_DOCS", "messageId": key}
    post(product, message)
    again = post(product, message, {**message, "messageId": "other"})
    assert (again.stored, again.duplicates) == (1, 1)
    assert Lead.objects.get().engagement == 40


def test_the_same_message_again_is_a_duplicate_and_scores_nothing(model, product):
    post(product, said(messageId="one"))
    delivery = post(product, said(messageId="one"), said(messageId="two"))

    assert (delivery.stored, delivery.duplicates) == (1, 1)
    assert Lead.objects.get().score == 20


def test_the_same_id_with_other_content_is_a_conflict_and_the_first_is_kept(model, product):
    post(product, said(messageId="one"))
    delivery = post(product, said("DOWNLOADED_API_DOCS", messageId="one"))

    assert [line["code"] for line in delivery.rejected] == ["idempotency_conflict"]
    assert Event.objects.get().type == "VIEWED_PRICING"


def test_the_same_id_from_another_source_is_another_event(model, product):
    post(product, said(messageId="one"))
    post(make_source()[0], said(messageId="one"))

    assert Event.objects.count() == 2


# --- failure stays small ------------------------------------------------------------------------
def test_when_automation_fails_the_events_are_kept_and_the_neighbors_go_on(model, product):
    def explode(*, events, **kwargs):
        if any(event.type == "POISON" for event in events):
            raise RuntimeError("a bad rule")

    events_recorded.connect(explode)
    try:
        bad, good = deliver(product, said("POISON")), deliver(product, said(user="bob"))
        intake.drain_all()
    finally:
        events_recorded.disconnect(explode)

    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == ("failed", "processed")
    assert "a bad rule" in bad.error
    assert Event.objects.filter(type="POISON").exists()

    with time_machine.travel(timezone.now() + timedelta(minutes=1), tick=False):
        intake.drain_all()
    bad.refresh_from_db()
    assert (bad.state, bad.stored, bad.duplicates) == ("processed", 1, 0)


def test_a_delivery_that_killed_a_worker_is_claimed_alone_and_left_to_staff_after_five(model, product):
    killer, other = deliver(product, said(user="eve"), claim_count=1), deliver(product, said(user="bob"))

    assert intake.choose_group([killer, other]) == [killer]
    Delivery.objects.filter(pk=killer.pk).update(claim_count=5)
    intake.drain_all()

    killer.refresh_from_db()
    assert killer.state == "pending"
    assert Delivery.objects.stuck().get() == killer
    assert Event.objects.count() == 1


# --- who is it ----------------------------------------------------------------------------------
def test_an_anonymous_visitor_passes_no_gate_until_known_and_then_brings_the_history(model, product):
    post(product, {"anonymousId": "a1", "eventType": "SIGNED_UP"}, {"anonymousId": "a1", "eventType": "VIEWED_PRICING"})
    visitor = Lead.objects.get()
    assert (visitor.is_known, visitor.stage_id, visitor.score) == (False, "cold", 10)

    post(product, said("VIEWED_PRICING", anonymousId="a1"))

    visitor.refresh_from_db()
    assert (visitor.is_known, visitor.stage_id, visitor.score) == (True, "mql", 20)


def test_an_anonymous_lead_merges_into_the_known_one_with_its_points(model, product):
    post(product, said("SIGNED_UP"))
    post(product, {"anonymousId": "a1", "eventType": "DOWNLOADED_API_DOCS"})
    visitor = Lead.objects.get(is_known=False)

    post(product, said("VIEWED_PRICING", anonymousId="a1"))

    lead = Lead.objects.get(is_known=True)
    visitor.refresh_from_db()
    assert visitor.merged_into == lead
    assert lead.score == sum(points_of(lead).values()) == 30
    assert set(Event.objects.values_list("lead", flat=True)) == {lead.pk}
    assert Event.objects.get(type="DOWNLOADED_API_DOCS").first_lead == visitor


def test_two_known_people_are_never_merged_but_queued_once_for_review(model, product):
    post(product, said(user="ada", email="ada@acme.example"))
    post(product, said(user="bob", email="bob@acme.example"))
    for _ in range(2):
        post(product, said(user="ada", email="bob@acme.example"))

    assert Lead.objects.current().count() == 2
    assert MergeReview.objects.count() == 1


def test_a_shared_device_does_not_make_two_people_one(model, product):
    post(product, said(user="ada", anonymousId="kiosk"))
    post(product, said(user="bob", anonymousId="kiosk"))

    assert Lead.objects.current().count() == 2
    assert Identity.objects.get(value="kiosk").lead == Identity.objects.get(value="ada").lead


def test_a_user_id_and_an_address_named_together_by_a_server_are_one_person(model, product):
    post(product, {"userId": "ada", "eventType": "SIGNED_UP"})
    post(product, {"email": "ada@acme.example", "eventType": "VIEWED_PRICING"})
    assert Lead.objects.current().count() == 2

    post(product, said(email="ada@acme.example"))

    lead = Lead.objects.current().get()
    assert lead.score == sum(points_of(lead).values()) == 20
    assert lead.email == "ada@acme.example"
    assert lead.stage_id == "mql"


def test_an_address_from_a_browser_is_stored_but_joins_nobody(model, product):
    browser = make_source(scope="browser")[0]
    post(product, said(email="ada@acme.example"))
    post(browser, {"anonymousId": "a1", "email": "ada@acme.example", "eventType": "VIEWED_PRICING"})

    visitor = Lead.objects.get(is_known=False)
    assert (visitor.email, visitor.unconfirmed_email) == ("", "ada@acme.example")
    assert Lead.objects.current().count() == 2


def test_several_messages_of_one_group_about_one_new_person_make_one_lead(model, product):
    post(
        product,
        {"anonymousId": "a1", "eventType": "X"},
        {"userId": "ada", "anonymousId": "a1", "eventType": "X"},
        said("X", email="a@b.example"),
    )

    assert Lead.objects.current().count() == 1


def test_the_company_comes_from_the_mail_domain_or_the_traits(model, product):
    post(product, said(user="ada", email="ada@eu.acme.example"), said(user="bob", email="bob@gmail.com"))
    post(product, said(user="eve", email="eve@gmail.com", traits={"company": {"id": 7, "name": "Initech"}}))

    companies = dict(Lead.objects.filter(identities__kind="user_id").values_list("identities__value", "company__name"))
    assert companies == {"ada": "acme.example", "bob": None, "eve": "Initech"}


def test_a_key_that_goes_to_somebody_else_before_its_lead_is_locked_starts_the_group_over(model, product):
    post(product, said(user="ada"), said(user="bob"))
    bob, locks = Lead.objects.get(identities__value="bob"), []

    def meddle(execute, sql, params, many, context):
        """Give Ada's key to Bob, whom the group has not asked for, as another worker might; starting over takes it back."""
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and 'ORDER BY "leads_lead"."id" ASC' in sql:
            locks.append(sql)
            if len(locks) == 1:
                Identity.objects.filter(value="ada").update(lead=bob, first_lead=bob)
        return result

    with connection.execute_wrapper(meddle):
        delivery = post(product, said(user="ada"))

    assert len(locks) == 2
    assert delivery.state == Delivery.State.PROCESSED
    assert Event.objects.latest("pk").lead.identities.get().value == "ada"
    assert not broken()


# --- the same number of statements whatever the size ----------------------------------------------
def statements_for(product, count, *, prefix):
    """How many statements draining `count` events of `count` new people takes, in one group."""
    for number in range(0, count, 100):
        deliver(
            product, *[said(user=f"{prefix}{n}", email=f"{prefix}{n}@{prefix}{n}.example") for n in range(number, min(number + 100, count))]
        )
    with CaptureQueriesContext(connection) as captured:
        intake.drain()
    assert not Delivery.objects.waiting().exists()
    return len(captured)


def test_the_number_of_statements_of_a_group_is_the_same_at_1_100_and_1000_events(model, product, monkeypatch):
    monkeypatch.setattr(intake, "group_size", lambda: 1000)
    scoring.live_model()
    counts = {}
    for size in (1, 100, 1000):
        counts[size] = statements_for(product, size, prefix=f"s{size}x")

    assert len(set(counts.values())) == 1, counts


def test_history_that_is_imported_scores_but_moves_quietly(model, product):
    rep = make_rep()
    old = (timezone.now() - timedelta(days=90)).isoformat()
    post(product, said("DEMO_REQUESTED", timestamp=old), historical=True)

    lead = Lead.objects.get()
    assert lead.stage_id == "sql"
    assert lead.owner == rep
    assert not lead.notifications.filter(channel__in=["mail", "chat"]).exists()


def test_the_built_in_source_records_facts_about_a_lead_by_its_uid(model, product):
    post(product, said("SIGNED_UP"))
    lead = Lead.objects.get()
    intake.record_internal([{"type": "EMAIL_CLICKED", "leadUid": str(lead.uid), "properties": {"url": "https://x.example"}}])
    intake.drain_all()

    event = Event.objects.get(type="EMAIL_CLICKED")
    assert (event.lead, event.source) == (lead, Source.built_in())


def test_a_confirmed_address_makes_the_visitor_known_or_joins_its_owner(model, product):
    browser = make_source(scope="browser")[0]
    post(browser, {"anonymousId": "a1", "email": "ada@acme.example", "eventType": "VIEWED_PRICING"})
    visitor = Lead.objects.get()

    intake.confirm_email(visitor, "ada@acme.example")
    intake.drain_all()

    visitor.refresh_from_db()
    assert (visitor.is_known, visitor.email, visitor.unconfirmed_email) == (True, "ada@acme.example", "")

    post(browser, {"anonymousId": "a2", "email": "ada@acme.example", "eventType": "VIEWED_PRICING"})
    second = Lead.objects.get(is_known=False)
    intake.confirm_email(second, "ada@acme.example")
    intake.drain_all()

    second.refresh_from_db()
    assert second.merged_into == visitor
    assert Lead.objects.get(is_known=True).score == 20


# --- by hand ------------------------------------------------------------------------------------
def test_a_hand_move_backwards_holds_the_lead_until_new_evidence_and_undo_takes_that_back(model, product):
    rep = make_rep()
    post(product, said("DEMO_REQUESTED"))
    lead = Lead.objects.get()
    back = gates.move_by_hand(lead, Stage.objects.get(key="cold"), by_user=rep)
    lead.refresh_from_db()
    assert lead.stage_id == "cold"

    gates.undo_move(back, by_user=rep)

    lead.refresh_from_db()
    assert lead.stage_id == "sql"
    assert FoldState.objects.get(lead=lead).state.get("restart") is None
    assert broken() == {}


def test_a_hand_move_forwards_tries_the_gates_of_the_new_stage(model, product):
    rep = make_rep()
    post(product, *[said() for _ in range(9)])
    lead = Lead.objects.get()
    assert (lead.stage_id, lead.score) == ("cold", 90)

    gates.move_by_hand(lead, Stage.objects.get(key="mql"), by_user=rep)

    lead.refresh_from_db()
    assert (lead.stage_id, lead.owner) == ("sql", rep)
    assert broken() == {}


def test_undoing_a_move_into_sales_takes_its_untouched_task_along(model, product):
    rep = make_rep()
    post(product, said("SIGNED_UP"))
    move = gates.move_by_hand(Lead.objects.get(), Stage.objects.get(key="sql"), by_user=rep)
    assert Task.objects.count() == 1

    gates.undo_move(move, by_user=rep)

    assert Lead.objects.get().stage_id == "mql"
    assert not Task.objects.exists()


def test_an_edit_by_staff_is_an_event_and_seen_at_once(model, product):
    post(product, said("SIGNED_UP"))
    lead = Lead.objects.get()

    intake.record_now([{"type": "LEAD_EDITED", "leadUid": str(lead.uid), "traits": {"title": "CTO", "phone": "+49 30 1234"}}])

    lead.refresh_from_db()
    assert (lead.title, lead.phone, lead.fit) == ("CTO", "+49 30 1234", 15)


def test_a_lead_made_by_hand_is_known_at_once(model):
    (event,) = intake.record_now([{"type": "LEAD_CREATED", "email": "ada@acme.example", "traits": {"name": "Ada"}}])

    assert (event.lead.is_known, event.lead.name, event.lead.email) == (True, "Ada", "ada@acme.example")
