"""What one person tells about their company reaches everybody who works there: fit, gates and exclusion follow."""

import json

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.refolding import rebuild, rebuildable
from crm.verify import verify
from leads import publishing, rescoring
from leads.conditions import Place
from leads.documents import ModelDoc
from leads.intake import drain_all
from leads.matching import count_words
from leads.merging import merge_by_hand, unmerge
from leads.models import Company, Delivery, FoldState, Lead, ScoreEntry
from leads.privacy import forget
from leads.replay import draft_to_try
from leads.simulator import simulate
from leads.tail import tail_rows
from tests.factories import make_rep, make_source

pytestmark = pytest.mark.django_db
ACME = "acme.example"
BIG = {"field": "company.employees", "op": "gte", "value": 100}
MODEL = {
    "scoring": {
        "rules": [{"key": "seen", "name": "Seen", "event": "SEEN", "points": 1}],
        "fit": [{"key": "big", "name": "Big", "when": [BIG], "points": 10}],
        "exclude": [{"field": "company.competitor", "op": "is", "value": True}],
    },
    "gates": [{"key": "paying", "from": "cold", "to": "mql", "conditions": [{"field": "company.plan", "op": "is", "value": "team"}]}],
}

DEAF = {"scoring": {"rules": MODEL["scoring"]["rules"]}, "gates": []}  # asks nothing of the company


@pytest.fixture
def model():
    return publish(MODEL)


@pytest.fixture
def post(client):
    """Posts messages and lets the worker take them in."""
    _, key = make_source()

    def post(*events):
        headers = {"Authorization": f"Bearer {key}"}
        assert client.post("/api/events", json.dumps(list(events)), content_type="application/json", headers=headers).status_code == 200
        drain_all()

    return post


def publish(document, **options):
    publishing.replace_draft(msgspec.convert(document, ModelDoc))
    return publishing.publish(**options)


def said(who, at=1, *, host=ACME, **company):
    """A message of somebody who tells about the company."""
    traits = {"company": company} if company else {}
    return {"email": f"{who}@{host}", "eventType": "SEEN", "traits": traits, "timestamp": f"2026-03-{at:02}T12:00:00Z"}


def person(name, host=ACME):
    return Lead.objects.select_related("fold_state").get(email=f"{name}@{host}", merged_into=None)


def fit(*names):
    return [person(name).fit for name in names]


@pytest.fixture(autouse=True)
def everything_holds():
    """After each test: no invariant is broken, and folding everybody again from the beginning changes nothing."""
    yield
    assert {finding.invariant.sentence: finding.rows for finding in verify() if finding.broken} == {}
    before = stored()
    assert sum(lines for _, lines in rebuild(rebuildable())) == 0
    assert stored() == before


def stored():
    """Everybody's stored state, but for when it was looked at last."""
    states = dict(FoldState.objects.values_list("pk", "state"))
    return {pk: {name: part for name, part in state.items() if name not in {"clock", "watermark"}} for pk, state in states.items()}


def test_colleagues_fit_when_one_says_how_big_the_company_is(model, post):
    post(said("ada"), said("bob"), said("eve", host="other.example"))
    post(said("ada", 2, employees=200))

    assert fit("ada", "bob") == [10, 10]
    assert person("eve", "other.example").fit == 0
    line = ScoreEntry.objects.get(lead=person("bob"), axis="fit")
    assert (line.rule, line.event.lead) == ("big", person("ada"))


def test_whoever_comes_later_fits_at_once(model, post):
    post(said("ada", employees=200))
    post(said("bob", 2))

    assert fit("bob") == [10]


def test_the_last_word_counts_whoever_says_it(model, post):
    post(said("ada", employees=200), said("bob", 2, employees=5))
    assert fit("ada", "bob") == [0, 0]

    post(said("ada", 3, employees=300))
    assert fit("ada", "bob") == [10, 10]

    post(said("bob", 4, employees=None))
    assert fit("ada", "bob") == [0, 0]


def test_a_late_message_is_a_late_word(model, post):
    post(said("ada", 3, employees=200), said("bob", 3))
    post(said("bob", 2, employees=5))

    assert fit("ada", "bob") == [10, 10]


def test_a_gate_opens_for_colleagues_once(model, post):
    post(said("ada"), said("bob"))
    post(said("ada", 2, plan="team"))

    assert {person(name).stage_id for name in ("ada", "bob")} == {"mql"}
    assert person("bob").transitions.get().event.lead == person("ada")


def test_a_company_that_competes_is_excluded_as_a_whole(model, post):
    post(said("ada"), said("bob"))
    post(said("ada", 2, competitor=True))
    assert [(person(name).excluded, person(name).engagement) for name in ("ada", "bob")] == [(True, 0), (True, 0)]

    post(said("bob", 3, competitor=False))
    assert [(person(name).excluded, person(name).engagement) for name in ("ada", "bob")] == [(False, 2), (False, 2)]


def test_what_somebody_said_of_another_company_stays_there(model, post):
    post(said("ada", id="old", name="Old Ltd", domain="old.example", employees=900))
    post(said("bob", 2, id="acme", name="Acme", domain=ACME), said("ada", 3, id="acme"))

    assert {lead.company for lead in Lead.objects.all()} == {Company.objects.get(external_id="acme")}
    assert fit("ada", "bob") == [0, 0]


def test_whoever_leaves_takes_nothing_along(model, post):
    post(said("ada", id="acme", employees=200), said("bob", 1, id="acme"))
    assert fit("bob") == [10]

    post(said("bob", 2, id="new", name="New", domain="new.example"))
    assert fit("ada", "bob") == [10, 0]


def test_a_version_that_asks_for_the_first_time_knows_what_was_told(post):
    publish(DEAF)
    post(said("ada", employees=200), said("bob"))
    assert fit("ada", "bob") == [0, 0]

    publish(MODEL)
    post(said("bob", 2))
    assert fit("bob") == [10]

    rescoring.advance_all_due()
    assert fit("ada", "bob") == [10, 10]


def test_the_simulator_and_a_rescore_know_what_was_told(post):
    publish(DEAF)
    post(said("ada", plan="team"), said("bob", id=None))
    publishing.replace_draft(msgspec.convert(MODEL, ModelDoc))

    found = simulate(draft_to_try())
    assert {passing.lead for passing in found.moves["paying"]} == {person("ada").pk, person("bob").pk}

    publishing.publish(rescore=True)
    rescoring.advance_all_due()
    assert {person(name).stage_id for name in ("ada", "bob")} == {"mql"}


@pytest.mark.parametrize("before", [MODEL, DEAF], ids=["asks", "does not ask"])
def test_the_number_of_people_a_condition_holds_for_is_that_of_those_who_then_fit(post, before):
    publish(before)
    post(said("ada", employees=5), said("bob", 2, employees=200), said("cid", 3), said("dan", 3, employees=None))
    post(said("eve", host="other.example", employees=200), said("fay", 2, host="other.example"), said("gil", host="third.example"))
    post(said("ada", 4, employees=120), said("bob", 5, employees=None), said("hal", 6, host="third.example", employees=100))
    assert count_words(Place.FIT, [BIG]) == "4 of 8 leads match now."

    publish(MODEL)
    rescoring.advance_all_due()
    assert sorted(Lead.objects.filter(fit=10).values_list("email", flat=True)) == [
        "eve@other.example", "fay@other.example", "gil@third.example", "hal@third.example"
    ]  # fmt: skip


def test_the_page_says_who_told_it_and_leads_to_what_they_did(model, post, client):
    post(said("ada"), said("bob"))
    post(said("ada", 2, employees=200, plan="team"))
    client.force_login(make_rep())
    ada, bob = person("ada"), person("bob")
    event = bob.transitions.get().event

    page = client.get(bob.get_absolute_url()).content.decode()
    assert f"by {ada}" in page
    address = f"{bob.get_absolute_url()}events/{event.pk}/"
    assert address in page

    window = client.get(address)
    assert [(rule, line.entry.lead) for rule, line in window.context["lines"]] == [("Big", bob)]
    assert [move.lead for move, _ in window.context["moves"]] == [bob]
    assert ada.get_absolute_url() in window.content.decode()
    assert client.get(f"{ada.get_absolute_url()}events/{event.pk}/").status_code == 200
    assert client.get(f"{bob.get_absolute_url()}events/{ada.events.order_by('pk')[0].pk}/").status_code == 404


def test_the_tail_of_a_source_tells_what_it_gave_the_one_who_did_it(model, post):
    post(said("ada"), said("bob"), said("cid"))
    post(said("ada", 2, employees=200))
    [row] = tail_rows([Delivery.objects.latest("pk")], timezone.now())

    assert {(each.name, each.points) for each in row.events[0].points} == {("Seen", 1), ("Big", 10)}


@pytest.mark.parametrize(("survivor", "absorbed"), [("bob", "ada"), ("ada", "bob"), ("bob", "cid")])
def test_colleagues_lose_nothing_when_people_are_merged_and_taken_apart(model, post, survivor, absorbed):
    post(said("bob"), said("cid"), said("dan"))
    post(said("ada", 2, employees=200), said("bob", 3, employees=300), said("bob", 4, employees=20), said("ada", 5, employees=500))
    one, other = person(survivor), person(absorbed)
    merge = merge_by_hand(one, other, by_user=make_rep())
    assert everybody_fits(3)

    post(said("dan", 6, employees=5), said(absorbed, 7), said(survivor, 8, employees=200))
    assert everybody_fits(3)

    unmerge(merge, by_user=make_rep(username="mia"))
    assert everybody_fits(4)

    merge_by_hand(Lead.objects.get(pk=one.pk), Lead.objects.get(pk=other.pk), by_user=make_rep(username="pia"))
    assert everybody_fits(3)


def everybody_fits(count):
    """Whether there are so many people, and the company's size counts for each."""
    return list(Lead.objects.current().values_list("fit", flat=True)) == [10] * count


def test_what_somebody_forgotten_had_told_is_forgotten(model, post):
    post(said("ada", employees=200), said("bob"))
    forget(f"ada@{ACME}")

    assert fit("bob") == [0]


@pytest.mark.parametrize("document", [MODEL, DEAF], ids=["asks", "does not ask"])
def test_the_number_of_statements_does_not_grow_with_the_company(post, document):
    publish(document)
    counts = []
    for size in (2, 10, 40):
        host = f"firm{size}.example"
        post(*(said(f"p{n}", host=host) for n in range(size)))
        with CaptureQueriesContext(connection) as queries:
            post(said("p0", 2, host=host, employees=200))
        counts.append(len(queries))
        expected = 10 if document is MODEL else 0
        assert {lead.fit for lead in Lead.objects.filter(email__endswith=host)} == {expected}
    assert len(set(counts)) == 1, counts
