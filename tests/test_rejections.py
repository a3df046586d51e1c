"""What sales rejects, by rule and by gate: counted from what happened, with a word where there is too little."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.gates import move_by_hand
from leads.handoff import hand_over
from leads.models import Lead, Reason, Stage, Task, User
from leads.rejections import Tally, report_rejections
from leads.todos import accept, reject, reject_lead, take_back
from tests.factories import make_company, make_entry, make_lead, make_rep, make_transition, make_version

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 6, 8, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


@pytest.fixture
def rep():
    return make_rep(username="rita", first_name="Rita", last_name="Rep")


@pytest.fixture
def marketer(client):
    user = User.objects.create_user("mia")
    user.groups.add(Group.objects.get(name="Marketing"))
    client.force_login(user)
    return user


@pytest.fixture
def version():
    names = {"pricing": "Viewed pricing", "docs": "Downloaded API docs", "cto": "Technical leader"}
    rules = [{"key": key, "name": name, "event": "X", "points": 10} for key, name in names.items()]
    gate = {"key": "hot", "name": "Ready for sales", "from": "mql", "to": "sql", "conditions": [{"score": {"at_least": 80}}]}
    return make_version(scoring={"rules": rules}, gates=[gate])


@pytest.fixture
def reasons():
    return [
        Reason.objects.create(key=key, name=key.replace("-", " ").capitalize(), asked_for="reject") for key in ("not-a-fit", "too-early")
    ]


def come(version, *rules, gate="hot", **fields):
    """A lead with points by these rules that gets ready for sales; returns its task."""
    lead = make_lead(stage_id="mql", **fields)
    for rule in rules:
        make_entry(lead=lead, rule=rule, points=10, version=version)
    move = make_transition(lead=lead, gate=gate)
    with transaction.atomic():
        hand_over(transitions=[move], now=timezone.now())
    return Task.objects.filter(lead=lead).first()


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def numbers(tallies):
    return {tally.name: (tally.handed_over, tally.accepted, tally.rejected) for tally in tallies}


def report():
    return report_rejections(now=timezone.now())


# --- what counts -----------------------------------------------------------------------------------
def test_each_handoff_counts_for_the_rules_that_brought_it_and_the_gate_that_opened(rep, version, reasons):
    reject(come(version, "pricing", "docs"), by_user=rep, reason=reasons[0])
    reject(come(version, "pricing"), by_user=rep, reason=reasons[1])
    accept(come(version, "docs"), by_user=rep)
    come(version, "docs")
    accept(come(version, gate=""), by_user=rep)

    found = report()

    assert numbers(found.rules) == {"Viewed pricing": (2, 0, 2), "Downloaded API docs": (3, 1, 1)}
    assert numbers(found.gates) == {"Ready for sales": (4, 1, 2), "Moved by hand": (1, 1, 0)}
    assert numbers([found.total]) == {"All": (5, 2, 2)}
    assert {tally.name: tally.why for tally in found.rules}["Viewed pricing"] == [("Not a fit", 1), ("Too early", 1)]


def test_only_points_that_stood_when_the_lead_was_handed_over_brought_it(rep, version, reasons, clock):
    lead = make_lead(stage_id="mql")
    make_entry(lead=lead, rule="pricing", points=10, version=version)
    make_entry(lead=lead, rule="pricing", points=-10, kind="expiry", version=version)
    make_entry(lead=lead, rule="docs", points=10, version=version)
    make_transition(lead=lead, gate="hot")
    clock.shift(timedelta(days=1))
    make_entry(lead=lead, rule="cto", points=10, version=version)

    assert list(numbers(report().rules)) == ["Downloaded API docs"]


def test_a_lead_that_comes_twice_counts_twice_each_time_with_what_it_had_then(rep, version, reasons, clock):
    task = come(version, "pricing")
    reject(task, by_user=rep, reason=reasons[0])
    clock.shift(timedelta(days=1))
    lead = Lead.objects.get()
    make_entry(lead=lead, rule="docs", points=10, version=version)
    with transaction.atomic():
        hand_over(transitions=[make_transition(lead=lead, gate="hot")], now=timezone.now())
    accept(Task.objects.get(done_at=None), by_user=rep)

    assert numbers(report().rules) == {"Viewed pricing": (2, 1, 1), "Downloaded API docs": (1, 1, 0)}


def test_what_was_taken_back_old_or_merged_does_not_count(rep, version, reasons, clock):
    old = come(version, "pricing")
    reject(old, by_user=rep, reason=reasons[0])
    clock.shift(timedelta(days=91))
    merged = come(version, "pricing")
    Lead.objects.filter(pk=merged.lead_id).update(merged_into=make_lead())
    task = come(version, "docs")
    reject(task, by_user=rep, reason=reasons[0])
    take_back(fresh(task), by_user=rep)

    assert numbers(report().gates) == {"Ready for sales": (1, 0, 0)}


def test_sent_back_without_a_reason_counts_and_lost_after_all_does_not(rep, version):
    lost = Reason.objects.create(key="no-budget", name="No budget", asked_for="lost")
    for stage, reason in (("mql", None), ("lost", lost)):
        task = come(version, "docs")
        move_by_hand(fresh(task.lead), Stage.objects.get(key=stage), by_user=rep, reason=reason)

    [tally] = report().rules

    assert (tally.handed_over, tally.rejected, tally.why) == (2, 1, [("No reason given", 1)])


def test_rejected_into_lost_is_rejected_all_the_same(rep, version, reasons):
    reject(come(version, "docs"), by_user=rep, reason=reasons[0], stage=Stage.objects.get(key="lost"))

    assert report().total.why == [("Not a fit", 1)]


def test_who_joined_a_task_is_answered_with_it_or_alone(rep, version, reasons):
    company = make_company(owner=rep)
    task = come(version, "pricing", company=company)
    come(version, "docs", company=company)
    come(version, "cto", company=company)
    accept(task, by_user=rep)
    reject_lead(Lead.objects.get(entries__rule="cto"), by_user=rep, reason=reasons[1])

    assert numbers(report().rules) == {"Viewed pricing": (1, 1, 0), "Downloaded API docs": (1, 1, 0), "Technical leader": (1, 0, 1)}


def test_won_without_a_click_was_welcome(rep, version):
    task = come(version, "docs")
    move_by_hand(fresh(task.lead), Stage.objects.get(key="won"), by_user=rep)

    assert report().total.accepted == 1


# --- honest ----------------------------------------------------------------------------------------
def test_the_interval_is_wide_when_there_is_little():
    few, many = Tally("few", 4, 2, 2), Tally("many", 400, 200, 200)

    assert (few.share, few.is_enough, few.between) == (50, False, (15, 85))
    assert (many.share, many.is_enough, many.between) == (50, True, (45, 55))
    assert (Tally("none").share, Tally("none").between) == (None, (0, 100))


def test_a_rule_stands_out_only_when_that_is_certain(client, marketer, rep, version, reasons):
    for _ in range(12):
        reject(come(version, "pricing"), by_user=rep, reason=reasons[0])
    for _ in range(12):
        accept(come(version, "docs"), by_user=rep)
    reject(come(version, "cto"), by_user=rep, reason=reasons[0])

    page = client.get("/scoring/rejections/").content.decode()

    assert "Sales sent back 13 of 25 leads it answered</span> (52 %)" in page
    assert "“Viewed pricing” stands out: 100 % of its leads came back." in page
    assert page.index("Viewed pricing</th>") < page.index("Downloaded API docs</th>") < page.index("Technical leader</th>")
    assert page.count("too few to tell") == 1


def test_with_few_answers_the_page_says_that_they_say_little(client, marketer, rep, version, reasons):
    reject(come(version, "docs"), by_user=rep, reason=reasons[0])

    page = client.get("/scoring/rejections/").content.decode()

    assert "Sales sent back 1 of 1 lead it answered" in page
    assert "too little to judge the rules by" in page
    assert "stands out" not in page


# --- the page --------------------------------------------------------------------------------------
def test_without_any_handoffs_it_says_so(client, marketer):
    assert "Nobody was handed to sales in 90 days" in client.get("/scoring/rejections/").content.decode()


def test_the_report_is_for_marketers_and_the_scoring_page_leads_there(client, rep, marketer):
    link = client.get("/scoring/").content.decode()
    client.logout()
    nobody = client.get("/scoring/rejections/")
    client.force_login(rep)

    assert 'href="/scoring/rejections/"' in link
    assert nobody.url.startswith("/login/")
    assert client.get("/scoring/rejections/").status_code == 403


def test_a_rule_or_gate_that_is_gone_keeps_its_key_and_names_are_text(client, marketer, rep, version, reasons):
    Reason.objects.filter(key="not-a-fit").update(name="<b>Bold</b>")
    reject(come(version, "gone-rule", gate="gone-gate"), by_user=rep, reason=fresh(reasons[0]))

    page = client.get("/scoring/rejections/").content.decode()

    assert "gone-rule</th>" in page
    assert "gone-gate</th>" in page
    assert "<b>Bold" not in page


def test_the_page_costs_the_same_with_few_and_with_many(client, marketer, rep, version, reasons):
    def fill(times):
        for _ in range(times):
            reject(come(version, "docs", company=make_company()), by_user=rep, reason=reasons[0])
            accept(come(version, "pricing"), by_user=rep)

    def count():
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/scoring/rejections/").status_code == 200
        return len(queries)

    fill(1)
    client.get("/scoring/rejections/")
    few = count()
    fill(10)

    assert count() == few
    assert few <= 10


def test_the_newest_are_counted_when_there_are_very_many(rep, version, reasons, monkeypatch, clock):
    monkeypatch.setattr("leads.rejections.MOST", 2)
    for rule in ("cto", "docs", "pricing"):
        come(version, rule)
        clock.shift(timedelta(minutes=1))

    found = report()

    assert found.is_cut
    assert set(numbers(found.rules)) == {"Downloaded API docs", "Viewed pricing"}
