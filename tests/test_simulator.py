"""The simulator: who would pass now is who passes when the draft is published; the fuse counts the same, and no further than asked."""

from datetime import timedelta

import msgspec
import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads import publishing, scoring, tasks, whatif
from leads.fuse import forecast
from leads.models import FoldState, Gate, Lead, Transition, WhatIf
from leads.replay import draft_to_try
from leads.simulator import Simulation, look, simulate
from tests.factories import make_event, make_lead
from tests.histories import (
    DRAFTS,
    left_by_the_killed,
    live_through,
    model,
    publish_from_now_on,
    publish_with_rescore,
    standing,
    write_draft,
)
from tests.test_scoring_page import make_marketer, words

pytestmark = pytest.mark.django_db

HOT = {"key": "hot", "name": "Hot", "from": "mql", "to": "sql", "conditions": [{"score": {"at_least": 15}}]}


@pytest.fixture(autouse=True)
def now():
    """Nothing happens between trying and publishing."""
    with time_machine.travel("2026-03-02T12:00:00Z", tick=False):
        yield timezone.now()


@pytest.fixture
def marketer(client):
    user = make_marketer()
    client.force_login(user)
    return user


@pytest.fixture
def live(db):
    """A live model with gates that nobody passes by points."""
    write_draft(model(gates=[model()["gates"][0], HOT | {"conditions": [{"score": {"at_least": 50}}]}]))
    return publishing.publish()


def make_person(*events, version, **fields):
    """A known lead who did these things yesterday, scored."""
    lead = make_lead(**fields)
    for n, kind in enumerate(events):
        make_event(lead=lead, type=kind, at=timezone.now() - timedelta(days=1, hours=-n), model_version=version)
    scoring.refold([lead.pk], now=timezone.now())
    return lead


def simulated(limit=25, **options):
    return simulate(draft_to_try(), limit=limit, **options)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("draft", DRAFTS)
def test_who_would_pass_is_who_passes_once_it_is_published(draft, seed):
    live_through(seed)
    write_draft(DRAFTS[draft])
    known, last = set(Transition.objects.values_list("pk", flat=True)), standing()

    found = simulated()
    fuse = forecast(draft_to_try(), history=False).total
    publish_from_now_on()

    made = Transition.objects.exclude(pk__in=known).exclude(gate="")
    passed = {(move.lead_id, move.gate, move.from_stage_id, move.to_stage_id) for move in made}
    assert {(each.lead, each.gate, each.from_stage, each.to_stage) for moves in found.moves.values() for each in moves} == passed
    assert found.count == fuse == len({lead for lead, *_ in passed}) == sum(stage != last[pk][1] for pk, (_, stage) in standing().items())
    assert found.is_whole
    scores = dict(Lead.objects.values_list("pk", "score"))
    assert all(each.score == scores[each.lead] for moves in found.moves.values() for each in moves)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("draft", DRAFTS)
def test_the_fuse_with_re_score_counts_who_moves_then(draft, seed):
    live_through(seed)
    write_draft(DRAFTS[draft])
    before = standing()

    counted = forecast(draft_to_try(), history=True).total
    publish_with_rescore()

    after = standing()
    assert counted == sum(before[pk][1] != after[pk][1] for pk in before)


def test_a_condition_that_was_not_counted_before_is_counted_from_the_facts(live):
    lead = make_person("A", "D", "D", version=live)
    write_draft(model(gates=[model()["gates"][0], HOT | {"conditions": [{"event": "D", "times": {"at_least": 2}}]}]))

    found = simulated()

    assert [(each.lead, each.why) for each in found.moves["hot"]] == [(lead.pk, ("D at least 2 times (2/2)",))]


def test_without_new_counters_no_fact_is_read(live):
    make_person("A", "A", version=live)
    write_draft(model(gates=[model()["gates"][0], HOT]))
    document = draft_to_try()

    with CaptureQueriesContext(connection) as queries:
        found = simulate(document, limit=5)

    assert found.by_gate == {"hot": 1}
    assert not [query for query in queries if '"traits"' in query["sql"]]


def test_a_state_that_could_not_be_folded_is_folded_from_the_facts(live):
    make_person("A", "A", version=live)
    FoldState.objects.update(error="It broke", state={"stage": "cold"})
    write_draft(model(gates=[model()["gates"][0], HOT]))

    assert simulated().by_gate == {"hot": 1}


def test_one_lead_may_pass_two_gates_and_counts_once(live):
    write_draft(model(gates=[{"key": "first", "from": "cold", "to": "mql", "conditions": [{"event": "D"}]}, HOT]))
    make_person("D", "B", version=live)

    found = simulated()

    assert (found.count, found.by_gate) == (1, {"first": 1, "hot": 1})
    assert found.moves["hot"][0].why == ("score at least 15 (20)",)


def test_only_the_hottest_are_named_all_are_counted(live):
    leads = [make_person("A", *["D"] * n, "A", version=live) for n in range(3)]
    best = make_person("A", "B", version=live)
    write_draft(model(gates=[model()["gates"][0], HOT]))

    found = simulated(limit=2)

    assert (found.count, found.by_gate["hot"]) == (4, 4)
    assert [each.lead for each in found.moves["hot"]] == [best.pk, leads[0].pk]


def test_visitors_pass_no_gate(live):
    visitor = Lead.objects.create()
    make_event(lead=visitor, type="A", identifies=False, model_version=live)
    scoring.refold([visitor.pk], now=timezone.now())
    write_draft(model(gates=[{"key": "all", "from": "cold", "to": "sql", "conditions": [{"event": "A"}]}]))

    assert simulated().count == 0


@pytest.mark.parametrize("history", [False, True])
def test_the_fuse_counts_everybody_who_would_move(live, history):
    for _ in range(4):
        make_person("A", "A", version=live)
    write_draft(model(gates=[model()["gates"][0], HOT]))

    assert forecast(draft_to_try(), history=history).total == 4


def test_what_takes_too_long_says_so(client, marketer, live):
    make_person("A", "A", version=live)
    write_draft(model(gates=[model()["gates"][0], HOT]))

    found = simulated(seconds=-1)

    assert (found.is_whole, found.looked_at, found.count) == (False, 1, 1)


# --- the page


def test_the_page_names_who_would_pass_through_which_gate_and_why(client, marketer, live):
    lead = make_person("A", "A", version=live, name="Ada Lovelace")
    make_person(version=live, name="Charles Babbage")
    write_draft(model(gates=[model()["gates"][0], HOT]))

    page = client.get("/scoring/simulator/")
    said = words(page)

    assert "1 lead would move now." in said
    assert "Hot 1 would pass now" in said
    assert "Ada Lovelace 20 Marketing qualified → to Sales qualified Score at least 15 (20)" in said
    assert f'href="{lead.get_absolute_url()}"' in page.content.decode()
    assert "interested 0 would pass now" in said
    assert "Nobody: of the leads that stand before this gate, none meets its conditions now." in said
    assert "Charles" not in said


def test_the_page_without_gates_teaches_the_next_step(client, marketer):
    page = words(client.get("/scoring/simulator/"))

    assert "Nobody would move now." in page
    assert "The draft has no gates" in page


def test_a_draft_that_cannot_be_published_is_not_tried(client, marketer, live):
    Gate.objects.filter(key="hot").update(conditions=[{"scor": 1}])

    page = client.get("/scoring/simulator/")

    assert page.status_code == 200
    assert "The draft can’t be tried yet" in words(page)


def test_the_page_costs_the_same_with_few_and_with_many_leads(client, marketer, live):
    counts = []
    write_draft(model(gates=[model()["gates"][0], HOT]))
    for many in (1, 30):
        for _ in range(many):
            make_person("A", "A", version=live)
        client.get("/scoring/simulator/")
        with CaptureQueriesContext(connection) as queries:
            client.get("/scoring/simulator/")
        counts.append(len(queries))

    assert counts[0] == counts[1]


# --- everybody, in the background


@pytest.fixture
def crowd(live, monkeypatch):
    """Five people of whom two are looked at at a time, a page that has time for two, and a draft that lets four pass."""
    monkeypatch.setattr("leads.histories.next_leads.__kwdefaults__", {"leads": 2, "facts": 20_000})
    monkeypatch.setattr("leads.views.whatif.SECONDS", -1.0)
    tasks.advance_rescores()
    people = [make_person("A", "A", *["B"] * (n == 3), version=live, name=f"Person {n}") for n in range(4)]
    make_person(version=live, name="Nobody")
    write_draft(model(gates=[model()["gates"][0], HOT]))
    return people


def look_at_all(client):
    """Press the button; returns the address of the page that shows how far it is."""
    return client.post("/scoring/simulator/").url


def test_a_page_that_has_not_seen_everybody_says_so_and_offers_to_look_at_all(client, marketer, crowd):
    page = words(client.get("/scoring/simulator/"))

    assert "At least 2 leads would move now." in page
    assert "2 of 5 leads were looked at in the time a page has." in page
    assert "Look at all of them" in page
    assert "Hot at least 2 would pass now" in page
    assert "Nobody of the leads looked at so far." in page
    assert not WhatIf.objects.exists()


def test_the_complete_look_shows_at_once_what_is_known_then_progress_then_everybody(client, marketer, crowd):
    address = look_at_all(client)
    begun = words(client.get(address))
    polled = client.get(address, headers={"HX-Request": "true"}).content.decode()
    tasks.run_what_ifs()
    done = client.get(address, headers={"HX-Request": "true"})
    page = words(client.get(address))

    assert "Looking at all leads. You can leave this page; it goes on." in begun
    assert "2 of 5 leads. At least 2 leads would move now." in begun
    assert "Found among the first 2 leads." in begun
    assert "Person 1" in begun and "Person 3" not in begun
    assert 'hx-trigger="every 1s"' in polled and "<html" not in polled and "Person 1" not in polled
    assert done.headers["HX-Retarget"] == "#whole"
    assert "4 leads would move now." in page and "At least" not in page
    assert "Hot 4 would pass now" in page
    assert page.index("Person 3") < page.index("Person 0")
    assert "All 5 leads were looked at; nothing happened from that." in page
    assert not client.get("/scoring/whatif/").context["past"]


@pytest.mark.parametrize("draft", DRAFTS)
def test_what_the_background_finds_is_what_a_page_with_time_finds(draft):
    live_through(1)
    write_draft(DRAFTS[draft])
    simulation = whatif.start_simulation(draft_to_try(), seconds=0)

    tasks.run_what_ifs()

    simulation.refresh_from_db()
    assert msgspec.convert(simulation.result, Simulation) == simulated()
    assert (simulation.state, simulation.done, simulation.leads) == ("done", Lead.objects.current().count(), Lead.objects.current().count())


def test_a_worker_that_takes_over_goes_on_where_the_killed_one_was(crowd):
    simulation = whatif.start_simulation(draft_to_try(), seconds=-1)
    found = msgspec.convert(simulation.result, Simulation)

    assert left_by_the_killed(simulation, look(simulation.document, found), found) == ("running", 4)
    tasks.run_what_ifs()

    simulation.refresh_from_db()
    assert (simulation.state, simulation.done, simulation.result["count"]) == ("done", 5, 4)


def test_the_page_of_the_complete_look_costs_the_same_with_few_and_with_many_leads(client, marketer, live):
    counts = []
    write_draft(model(gates=[model()["gates"][0], HOT]))
    tasks.advance_rescores()
    for many in (1, 30):
        for _ in range(many):
            make_person("A", "A", version=live)
        address = look_at_all(client)
        tasks.run_what_ifs()
        with CaptureQueriesContext(connection) as queries:
            assert "would move now" in words(client.get(address))
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_a_publication_on_the_way_ends_it_with_the_reason(client, marketer, crowd):
    address = look_at_all(client)
    write_draft(DRAFTS["points"])
    publishing.publish()
    tasks.advance_rescores()

    tasks.run_what_ifs()
    page = words(client.get(address))

    assert "Another version was published meanwhile. Look again to see who would pass after that." in page
    assert 'href="/scoring/simulator/"' in client.get(address).content.decode()


def test_a_publication_after_it_makes_it_outdated(client, marketer, crowd):
    address = look_at_all(client)
    tasks.run_what_ifs()
    fresh = words(client.get(address))
    publishing.publish()

    page = words(client.get(address))

    assert "published since" not in fresh
    assert "Another version was published since; this is who would have passed before it." in page


def test_it_is_canceled_and_nothing_is_kept(client, marketer, crowd):
    address = look_at_all(client)

    page = words(client.post(f"{address}cancel/", follow=True))
    tasks.run_what_ifs()

    assert "Canceled after 2 of 5 leads." in page
    assert WhatIf.objects.get().result == {}


def test_whoever_left_the_page_finds_the_complete_look_again(client, marketer, crowd):
    address = look_at_all(client)
    running = client.get("/scoring/simulator/")
    tasks.run_what_ifs()
    done = client.get("/scoring/simulator/")
    write_draft(DRAFTS["points"])
    other = client.get("/scoring/simulator/")

    assert "All of them are being looked at now" in words(running) and f'href="{address}"' in running.content.decode()
    assert "All of them were looked at now" in words(done) and f'href="{address}"' in done.content.decode()
    assert address not in other.content.decode()


def test_a_draft_that_cannot_be_published_is_not_looked_at_in_the_background(client, marketer, live):
    Gate.objects.filter(key="hot").update(conditions=[{"scor": 1}])

    page = client.post("/scoring/simulator/")

    assert page.status_code == 422
    assert not WhatIf.objects.exists()


def test_a_version_that_goes_live_while_the_page_looks_makes_it_begin_again(client, marketer, crowd, monkeypatch):
    monkeypatch.setattr("leads.views.whatif.SECONDS", 60.0)
    meanwhile = iter([lambda: (publishing.publish(), tasks.advance_rescores())])

    def watch(execute, sql, *rest):
        result = execute(sql, *rest)
        if "leads_foldstate" in sql and sql.startswith("SELECT"):
            next(meanwhile, lambda: None)()
        return result

    with connection.execute_wrapper(watch):
        page = words(client.get("/scoring/simulator/"))

    assert Lead.objects.filter(stage="sql").count() == 4
    assert "Nobody would move now." in page


def test_scoring_leads_to_both(client, marketer):
    page = client.get("/scoring/").content.decode()

    assert 'href="/scoring/simulator/"' in page
    assert 'href="/scoring/whatif/"' in page
