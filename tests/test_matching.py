"""How many leads match now: the number is what the engine would say."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads import matching
from leads.conditions import Place
from leads.intake import drain_all
from leads.matching import count_words
from leads.models import DerivedType, FitRule, Gate, Lead, Stage
from leads.publishing import publish
from tests.factories import make_company, make_event, make_lead, make_source

pytestmark = pytest.mark.django_db
STAGES = ["cold", "mql"]


@pytest.fixture
def post(client):
    """Posts events and lets the worker take them in."""
    _, key = make_source()

    def post(*events):
        headers = {"Authorization": f"Bearer {key}"}
        assert client.post("/api/events", json.dumps(list(events)), content_type="application/json", headers=headers).status_code == 200
        drain_all()

    return post


def person(n, name="SIGNED_UP", **fields):
    return {"email": f"p{n}@acme{n}.example", "eventType": name} | fields


def test_people_are_counted_by_what_the_engine_knows_of_them(post):
    publish()
    post(
        person(1, traits={"title": "CTO", "seats": 5}),
        person(2, traits={"title": "CTO"}),
        person(3),
        {"anonymousId": "a", "eventType": "X"},
    )
    post(person(2, "LATER", traits={"title": None}))

    def fit(*conditions):
        return count_words(Place.FIT, list(conditions))

    assert Lead.objects.get(email="p2@acme2.example").title == "CTO"  # the column keeps what was forgotten
    assert fit({"field": "lead.title", "op": "is", "value": "cto"}) == "1 of 3 leads match now."
    assert fit({"field": "lead.title", "op": "missing"}) == "2 of 3 leads match now."
    assert fit({"not": {"field": "lead.title", "op": "exists"}}) == "2 of 3 leads match now."
    assert fit({"field": "lead.traits.seats", "op": "gte", "value": 5}) == "1 of 3 leads match now."


def test_the_number_for_a_fit_rule_is_the_number_of_those_who_then_get_its_points(post):
    when = [{"any": [{"field": "lead.title", "op": "has_word", "value": "VP"}, {"field": "company.employees", "op": "gte", "value": 20}]}]
    people = [person(n, traits={"title": "VP Sales" if n % 2 else "Clerk", "company": {"employees": n * 10}}) for n in range(5)]
    publish()
    post(*people)
    said = count_words(Place.FIT, when)
    FitRule.objects.create(key="big", points=7, when=when)
    publish()
    post(*(event | {"eventType": "AGAIN"} for event in people))

    assert said == f"{Lead.objects.filter(fit=7).count()} of 5 leads match now." == "4 of 5 leads match now."


def test_events_are_counted_also_those_no_published_gate_asks_for(post):
    DerivedType.objects.create(
        source_type="PAGE_VIEWED", derived_type="VIEWED_PRICING", when=[{"field": "event.path", "op": "is", "value": "/p"}]
    )
    publish()
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        for n in range(3):
            post(person(1, "PAGE_VIEWED", metadata={"path": "/p"}), person(2, "PAGE_VIEWED", metadata={"path": "/other"}))
            clock.shift(timedelta(minutes=40 if n else 5))

        def gate(**condition):
            return count_words(Place.GATE, [{"event": "VIEWED_PRICING"} | condition], origins=STAGES)

        assert gate() == "1 of 2 leads match now."
        assert gate(times={"at_least": 3}) == "1 of 2 leads match now."
        assert gate(times={"at_least": 3}, every="30m") == "0 of 2 leads match now."
        assert gate(times={"at_least": 2}, every="30m") == "1 of 2 leads match now."
        assert gate(times={"at_least": 3}, within="1h") == "0 of 2 leads match now."
        assert gate(when=[{"field": "event.path", "op": "is", "value": "/x"}]) == "0 of 2 leads match now."
        assert gate(times={"at_most": 0}) == "1 of 2 leads match now."


def test_a_published_gate_counts_alike_from_its_counters(post):
    gate = Gate.objects.create(key="g", to_id="won", conditions=[{"event": "VIEWED", "times": {"at_least": 9}}])
    gate.from_stages.set(Stage.objects.filter(key="cold"))
    publish()
    for _ in range(3):
        post(person(1, "VIEWED"))
    condition = [{"event": "VIEWED", "times": {"at_least": 3}}]

    with CaptureQueriesContext(connection) as queries:
        words = count_words(Place.GATE, condition, origins=STAGES)

    assert words == "1 of 1 lead matches now."
    assert not [query for query in queries if "leads_event" in query["sql"] and "at" in query["sql"] and "lead_id" in query["sql"]]


def test_a_gate_that_asks_for_more_than_the_published_one_counts_them_all(post):
    gate = Gate.objects.create(
        key="g", to_id="won", conditions=[{"event": "VIEWED", "times": {"at_most": 1}}, {"score": {"at_least": 9}}], match="all"
    )
    gate.from_stages.set(Stage.objects.filter(key="cold"))
    publish()
    for _ in range(6):
        post(person(1, "VIEWED"))

    assert count_words(Place.GATE, [{"event": "VIEWED", "times": {"at_least": 6}}], origins=STAGES) == "1 of 1 lead matches now."
    assert count_words(Place.GATE, [{"event": "VIEWED", "times": {"exactly": 6}}], origins=STAGES) == "1 of 1 lead matches now."


def test_more_events_than_can_be_looked_at_are_told(post, monkeypatch):
    monkeypatch.setattr(matching, "MOST_EVENTS", 3)
    publish()
    for _ in range(4):
        post(person(1, "VIEWED"))

    assert count_words(Place.GATE, [{"event": "VIEWED", "times": {"at_least": 3}}], origins=STAGES) == (
        "1 of 1 lead matches now. Of leads with very many events only the latest were looked at."
    )


def test_colleagues_at_the_company_count_when_asked(post):
    publish()
    acme = make_company()
    post(person(1, "VIEWED"), person(2, "SIGNED_UP"), person(3, "SIGNED_UP"))
    Lead.objects.filter(email__in=["p1@acme1.example", "p2@acme2.example"]).update(company=acme)

    assert count_words(Place.GATE, [{"event": "VIEWED", "of": "company"}], origins=STAGES) == "2 of 3 leads match now."


def test_only_those_who_stand_before_the_gate_come_into_question(post):
    publish()
    post(person(1), person(2))
    Lead.objects.filter(email="p1@acme1.example").update(excluded=True)

    assert count_words(Place.GATE, [{"event": "SIGNED_UP"}], origins=["cold"]) == "1 of 1 lead matches now."
    assert count_words(Place.GATE, [{"event": "SIGNED_UP"}], origins=["won"]) == "No lead can match yet: there is none here."
    assert count_words(Place.EXCLUDE, [{"field": "lead.email", "op": "ends_with", "value": ".example"}]) == "2 of 2 leads match now."
    both = [{"event": "SIGNED_UP"}, {"event": "OTHER"}]
    assert count_words(Place.GATE, both, origins=["cold"]) == "0 of 1 lead matches now."
    assert count_words(Place.GATE, both, match="any", origins=["cold"]) == "1 of 1 lead matches now."


def test_too_many_to_look_at_are_told_as_about(post, monkeypatch):
    monkeypatch.setattr(matching, "MOST_LEADS", 50)
    for _ in range(300):
        make_lead()

    words = count_words(Place.EXCLUDE, [{"not": {"field": "lead.title", "op": "exists"}}])

    assert words == "About 300 of 300 leads match now; 50 were looked at."
    assert count_words(Place.EXCLUDE, [{"field": "lead.title", "op": "exists"}]) == "Hardly any of 300 leads match now; 50 were looked at."


def test_the_work_is_bounded_and_not_done_twice(post):
    publish()
    post(*(person(n) for n in range(40)))
    conditions = [{"event": "SIGNED_UP", "times": {"at_least": 1}}, {"event": "OTHER", "times": {"at_most": 0}}]

    def count():
        with CaptureQueriesContext(connection) as queries:
            count_words(Place.GATE, conditions, origins=STAGES)
        return len(queries)

    first = count()
    assert first <= 12
    assert count() == 2


# --- rules


def test_rules_count_the_events_that_match(post):
    publish()
    post(*(person(n, "VIEWED", metadata={"plan": "team" if n < 2 else "free"}, traits={"title": "CTO" if n else "VP"}) for n in range(4)))
    make_event(lead=Lead.objects.first(), type="VIEWED", at=timezone.now() - timedelta(days=40), properties={"plan": "team"})
    make_event(lead=Lead.objects.first(), type="VIEWED", verdict="suspect", properties={"plan": "team"})

    def rule(*conditions, event="VIEWED"):
        return count_words(Place.RULE, list(conditions), event=event)

    team = {"field": "event.plan", "op": "is", "value": "team"}
    assert rule() == "“Viewed” happened 4 times in the last 30 days, by 4 leads; all match."
    assert rule(team) == "2 of 4 “Viewed” events in the last 30 days match, by 2 leads."
    assert rule(team, {"field": "lead.title", "op": "is", "value": "CTO"}) == "1 of 4 “Viewed” events in the last 30 days match, by 1 lead."
    assert rule({"field": "event.plan", "op": "is", "value": "x"}) == "0 of 4 “Viewed” events in the last 30 days match."
    assert rule(event="NEVER") == "“Never” did not happen in the last 30 days."
    assert rule(event="").startswith("Choose the event")
    assert count_words(Place.EVENT, [team], event="VIEWED") == "2 of 4 “Viewed” events in the last 30 days match, by 2 leads."


def test_of_very_many_events_the_last_are_looked_at(post, monkeypatch):
    monkeypatch.setattr(matching, "MOST_EVENTS", 3)
    publish()
    post(*(person(n, "VIEWED") for n in range(5)))

    assert count_words(Place.RULE, [], event="VIEWED") == "“Viewed” happened 3 times among the last 3 events, by 3 leads; all match."
