"""Scores and stages over time in the database: idleness, exclusion, whole companies, long histories, errors, verdicts."""

from datetime import timedelta

import msgspec
import pytest
import time_machine
from django.utils import timezone

from crm.refolding import differences, rebuild, rebuildable
from leads import editing, fold_jobs, privacy, publishing, scoring
from leads.documents import ModelDoc
from leads.fold_points import Scorekeeper
from leads.models import Checkpoint, Delivery, Event, FoldState, Lead, ScoreEntry
from leads.verdicts import judge
from tests.factories import make_company, make_event, make_rep, make_source
from tests.test_intake import broken, post, said

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def publish(*, gates=(), **scoring_section):
    publishing.replace_draft(msgspec.convert({"scoring": scoring_section, "gates": list(gates)}, ModelDoc))
    return publishing.publish()


def settle():
    """Everything adds up, and folding all again appends nothing."""
    assert broken() == {}
    assert sum(lines for _, lines in rebuild(rebuildable())) == 0
    assert broken() == {}


RULES = [{"key": "a", "name": "A", "event": "A", "points": 30}]
IDLE = [{"key": "idle", "after": "30d", "every": "30d", "points": -10}]
IN = {"key": "in", "from": "cold", "to": "mql", "conditions": [{"event": "A"}]}


@pytest.fixture
def product():
    return make_source()[0]


# --- idleness


def test_idle_points_come_by_the_passing_of_time_alone(product):
    publish(rules=RULES, idle=IDLE, gates=[IN, {"key": "quiet", "from": "mql", "to": "cold", "conditions": [{"idle_for": "40d"}]}])
    start = timezone.now()
    post(product, said("A"))

    with time_machine.travel(start + 65 * DAY, tick=False):
        scoring.apply_all_due()

        lead = Lead.objects.get()
        assert (lead.score, lead.stage_id) == (10, "cold")
        assert list(ScoreEntry.objects.filter(kind="idle").values_list("points", flat=True)) == [-10, -10]
        assert FoldState.objects.get().due_at == Event.objects.get().at + 90 * DAY
        settle()


# --- exclusion


def test_who_turns_out_to_be_staff_loses_all_points_and_gets_them_back(product):
    publish(rules=RULES, exclude=[{"field": "lead.email", "op": "ends_with", "value": "@leadstate.example"}], gates=[IN])
    post(product, said("A"), said("A"))
    assert Lead.objects.get().score == 60

    post(product, said("B", email="ada@leadstate.example"), said("A"))

    lead = Lead.objects.get()
    assert (lead.score, lead.excluded) == (0, True)
    settle()

    editing.edit_trait(lead, "email", "ada@elsewhere.example", by_user=make_rep())

    lead.refresh_from_db()
    assert (lead.score, lead.excluded) == (90, False)
    settle()


# --- the whole company

WON = {
    "key": "won",
    "from": ["cold", "mql"],
    "to": "won",
    "match": "all",
    "conditions": [{"event": "CONTRACT_SIGNED", "of": "company"}, {"event": "PAYMENT_SUCCEEDED", "of": "company"}],
}


@pytest.fixture
def acme(product):
    publish(rules=RULES, gates=[IN, WON])
    post(product, said("A", user="ada", email="ada@acme.example"), said("A", user="bob", email="bob@acme.example"))
    post(product, said("A", user="eve", email="eve@other.example"))


def stages():
    return dict(Lead.objects.current().values_list("email", "stage_id"))


def test_a_contract_of_one_and_a_payment_of_another_win_the_company(product, acme):
    post(product, said("CONTRACT_SIGNED", user="ada"))
    assert set(stages().values()) == {"mql"}

    post(product, said("PAYMENT_SUCCEEDED", user="bob"))

    assert stages() == {"ada@acme.example": "won", "bob@acme.example": "won", "eve@other.example": "mql"}
    settle()


def test_both_in_one_group_win_the_company_too(product, acme):
    post(product, said("CONTRACT_SIGNED", user="ada"), said("PAYMENT_SUCCEEDED", user="bob"))

    assert stages()["ada@acme.example"] == stages()["bob@acme.example"] == "won"
    settle()


def test_who_joins_a_company_brings_and_finds_what_was_done_there(product, acme):
    post(product, said("CONTRACT_SIGNED", user="ada"), said("PAYMENT_SUCCEEDED", user="eve"))
    assert set(stages().values()) == {"mql"}

    eve = Lead.objects.get(email="eve@other.example")
    editing.edit_company(eve, Lead.objects.get(email="ada@acme.example").company, by_user=make_rep())

    assert set(stages().values()) == {"won"}
    settle()


def test_an_anonymous_buyer_counts_once_they_are_known(product, acme):
    post(product, said("CONTRACT_SIGNED", user="ada"))
    post(product, {"anonymousId": "x", "eventType": "PAYMENT_SUCCEEDED"})
    assert stages()["ada@acme.example"] == "mql"

    post(product, {"anonymousId": "x", "userId": "bob", "eventType": "B"})

    assert stages()["ada@acme.example"] == stages()["bob@acme.example"] == "won"
    settle()


def test_forgetting_somebody_leaves_the_others_in_order(product, acme):
    post(product, said("CONTRACT_SIGNED", user="ada"))

    privacy.forget("ada@acme.example")

    settle()


# --- publications


def test_a_new_gate_opens_when_the_leads_are_looked_at_again(product):
    publish(rules=RULES)
    post(product, said("A"))

    publish(rules=RULES, gates=[IN])
    scoring.refold(Lead.objects.values_list("pk", flat=True), now=timezone.now(), historical=True)

    move = Lead.objects.get().transitions.get()
    assert (move.to_stage_id, move.at, move.historical) == ("mql", move.version.published_at, True)
    settle()


# --- long histories


def long_history(product, count=50):
    start = timezone.now() - 60 * DAY
    messages = [
        said("A" if n % 3 else "B", messageId=f"m{n}", timestamp=(start + n * timedelta(hours=1)).isoformat()) for n in range(count)
    ]
    for begin in range(0, count, 10):
        post(product, *messages[begin : begin + 10])
    return start


def test_a_late_fact_is_folded_from_the_newest_checkpoint_before_it(product, monkeypatch):
    monkeypatch.setattr(fold_jobs, "MARK_EVERY", 10)
    publish(rules=[RULES[0] | {"limit": {"times": 2, "per": "day"}, "expires_after": "20d"}], gates=[IN])
    start = long_history(product)
    before = list(Checkpoint.objects.order_by("at").values_list("facts", flat=True))
    assert before == [10, 20, 30, 40]

    post(product, said("A", timestamp=(start + timedelta(hours=25, minutes=30)).isoformat()))

    assert list(Checkpoint.objects.order_by("at").values_list("facts", flat=True))[:2] == [10, 20]
    assert Event.objects.count() == 51
    settle()


def test_a_very_long_history_is_folded_again_in_the_background(product, monkeypatch):
    monkeypatch.setattr(fold_jobs, "LONG", 20)
    publish(rules=RULES, gates=[IN])
    start = long_history(product)
    score = Lead.objects.get().score

    delivery = post(product, said("A", timestamp=(start + timedelta(minutes=30)).isoformat()))

    assert delivery.state == Delivery.State.PROCESSED
    assert (Lead.objects.get().score, FoldState.objects.get().again) == (score, True)

    post(product, said("A"))
    scoring.apply_all_due()

    assert (Lead.objects.get().score, FoldState.objects.get().again) == (score + 60, False)
    settle()


def test_a_lead_that_was_merged_meanwhile_is_left_to_its_survivor(product):
    publish(rules=RULES)
    post(product, {"anonymousId": "x", "eventType": "A"})
    visitor = Lead.objects.get()
    post(product, said("A"), {"anonymousId": "x", "userId": "ada", "eventType": "B"})
    visitor.refresh_from_db()
    assert visitor.merged_into is not None

    scoring.refold([visitor.pk], now=timezone.now())

    assert not FoldState.objects.filter(lead=visitor).exists()
    settle()


# --- when the engine fails on one lead


def test_an_error_on_one_lead_marks_that_lead_and_goes_on_with_the_others(product, monkeypatch):
    publish(rules=[RULES[0] | {"limit": {"times": 2, "per": "day"}}])
    post(product, said("A", user="ada"), said("A", user="bob"))
    ada = Lead.objects.get(identities__value="ada")
    grant = Scorekeeper.grant

    def fail(scorekeeper, key, limit, at):
        if scorekeeper.state.last[2].startswith("ada"):
            raise TypeError("no list of times")
        return grant(scorekeeper, key, limit, at)

    post(product, said("B", user="ada", messageId="ada's"))
    with monkeypatch.context() as patched:
        patched.setattr(Scorekeeper, "grant", fail)
        delivery = post(product, said("A", user="ada"), said("A", user="bob"))

    row = FoldState.objects.broken().get()
    assert delivery.state == Delivery.State.PROCESSED
    assert Lead.objects.get(identities__value="bob").score == 60
    assert (Lead.objects.get(pk=ada.pk).score, row.pk) == (30, ada.pk)
    assert "TypeError" in row.error and "grant" in row.traceback

    post(product, said("B", user="ada"))

    assert Lead.objects.get(pk=ada.pk).score == 60
    assert not FoldState.objects.broken().exists()
    settle()


@pytest.mark.parametrize("damage", [{"grants": {"a": 5}}, {"last": "yesterday"}, {"stage": None}, {"expiries": [[1, 2]]}], ids=str)
def test_a_state_that_makes_no_sense_is_named_and_put_right_by_the_next_event(product, damage):
    publish(rules=[RULES[0] | {"limit": {"times": 2, "per": "day"}}])
    post(product, said("A", user="ada"), said("A", user="bob"))
    row = FoldState.objects.get(lead__identities__value="ada")
    row.state |= damage
    row.save()
    assert [found["what"] for found in differences()] == ["state cannot be read; rebuild this lead"]

    delivery = post(product, said("A", user="ada"), said("A", user="bob"))

    assert delivery.state == Delivery.State.PROCESSED
    assert [lead.score for lead in Lead.objects.all()] == [60, 60]
    assert not FoldState.objects.broken().exists()
    assert list(differences()) == []
    settle()


# --- verdicts


def test_a_click_that_was_a_person_after_all_counts_from_then_on(product):
    publish(rules=[{"key": "click", "event": "EMAIL_CLICKED", "points": 2}])
    post(product, said("A"))
    lead = Lead.objects.get()
    click = make_event(lead=lead, type="EMAIL_CLICKED", verdict="suspect", model_version_id=FoldState.objects.get().version_id)
    scoring.refold([lead.pk], now=timezone.now())
    assert Lead.objects.get().score == 0

    assert judge([click.pk], Event.Verdict.HUMAN) == 1

    assert Lead.objects.get().score == 2
    assert judge([click.pk], Event.Verdict.SUSPECT) == 1
    assert Lead.objects.get().score == 0
    settle()


def test_a_company_nobody_signed_for_costs_no_refold(product):
    publish(rules=RULES, gates=[IN, WON])

    assert scoring.concerned_by_moves({make_company().pk, None}) == set()
