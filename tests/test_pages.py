"""Every page by everybody: who may see it, what it says, and that it does not slow down with its data."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.contrib.staticfiles import finders
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.models import Reason, ScoreEntry, ScoringVersion, User
from tests.factories import make_company, make_event, make_lead, make_rep

pytestmark = pytest.mark.django_db


@pytest.fixture
def version():
    document = {"scoring": {"rules": [{"key": "signed-up", "name": "Signed up", "event": "SIGNED_UP", "points": 10}]}}
    return ScoringVersion.objects.create(number=1, document=document)


def make_history(*, lead, version, times):
    """Events with a ledger line each; the lead's columns are their sum."""
    now = timezone.now()
    for n in range(times):
        event = make_event(lead=lead, at=now - timedelta(days=n))
        ScoreEntry.objects.create(
            lead=lead,
            first_lead=lead,
            axis="engagement",
            kind="points",
            cause=event.cause,
            rule="signed-up",
            raw=10,
            points=10,
            version=version,
            event=event,
            at=event.at,
        )
    lead.engagement = 10 * times
    lead.save(update_fields=["engagement"])
    return lead


def count_queries(client, address):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


@pytest.mark.parametrize("address", ["/", "/leads/{uid}/"])
def test_anonymous_people_are_sent_to_the_login_and_reps_are_not(client, address):
    lead = make_lead()
    address = address.format(uid=lead.uid)

    refused = client.get(address)
    client.force_login(make_rep())
    allowed = client.get(address)

    assert refused.status_code == 302
    assert refused.url == f"/login/?next={address}"
    assert allowed.status_code == 200


def test_nobody_moves_a_lead_without_logging_in(client):
    lead = make_lead()

    answer = client.post(f"/leads/{lead.uid}/move/", {"stage": "lost"})

    lead.refresh_from_db()
    assert answer.status_code == 302
    assert lead.stage_id == "cold"


@pytest.mark.parametrize(("who", "status"), [("nobody", 302), ("rep", 302), ("marketer", 200), ("admin", 200)])
def test_the_admin_is_for_marketers_and_admins(client, who, status):
    if who == "rep":
        client.force_login(make_rep())
    if who == "marketer":
        marketer = User.objects.create_user("mia", is_staff=True)
        marketer.groups.add(Group.objects.get(name="Marketing"))
        client.force_login(marketer)
    if who == "admin":
        client.force_login(User.objects.create_superuser("ada"))

    answer = client.get("/admin/leads/scoringrule/")

    assert answer.status_code == status


def test_people_log_in_and_out(client):
    make_rep(username="rita")

    wrong = client.post("/login/", {"username": "rita", "password": "guess"})
    right = client.post("/login/", {"username": "rita", "password": "a-long-password", "next": "/"})
    board = client.get("/")
    out = client.post("/logout/")

    assert b"do not fit together" in wrong.content
    assert (right.status_code, right.url) == (302, "/")
    assert board.status_code == 200
    assert (out.status_code, out.url) == (302, "/login/")


def test_why_this_score_adds_up_to_the_badge(client, rep, version):
    lead = make_history(lead=make_lead(), version=version, times=5)

    page = client.get(lead.get_absolute_url()).content.decode()

    assert "Signed up" in page
    assert "5×" in page
    assert 'title="50 engagement, 0 fit">50</a>' in page
    assert '<div class="rule-total"><span class="points">50</span>' in page


def test_the_lead_page_costs_the_same_with_few_and_with_many_events(client, rep, version):
    short = make_history(lead=make_lead(company=make_company(), owner=rep), version=version, times=1)
    long = make_history(lead=make_lead(company=make_company(), owner=rep), version=version, times=60)
    client.get(short.get_absolute_url())

    assert count_queries(client, long.get_absolute_url()) == count_queries(client, short.get_absolute_url())


def test_the_page_of_a_merged_lead_leads_on_to_the_survivor(client, rep):
    survivor = make_lead()
    absorbed = make_lead(merged_into=survivor)

    answer = client.get(absorbed.get_absolute_url())

    assert (answer.status_code, answer.url) == (302, survivor.get_absolute_url())


def test_an_unknown_lead_is_a_page_with_a_way_back(client, rep):
    answer = client.get("/leads/00000000-0000-0000-0000-000000000000/")

    assert answer.status_code == 404
    assert b"There is nothing here" in answer.content


def test_a_rep_moves_a_lead_by_hand(client, rep):
    lead = make_lead(stage_id="mql")

    answer = client.post(f"/leads/{lead.uid}/move/", {"stage": "sql", "note": "Met at the fair"}, follow=True)

    lead.refresh_from_db()
    move = lead.transitions.get()
    assert lead.stage_id == "sql"
    assert (move.from_stage_id, move.to_stage_id, move.actor, move.note) == ("mql", "sql", rep, "Met at the fair")
    assert b"Met at the fair" in answer.content


def test_losing_a_lead_asks_for_a_reason_where_there_are_some(client, rep):
    lead = make_lead(stage_id="mql")
    Reason.objects.create(key="no-budget", name="No budget", asked_for="lost")

    refused = client.post(f"/leads/{lead.uid}/move/", {"stage": "lost"})
    lead.refresh_from_db()
    still = lead.stage_id
    moved = client.post(f"/leads/{lead.uid}/move/", {"stage": "lost", "reason": "no-budget"})
    lead.refresh_from_db()

    assert (refused.status_code, still) == (422, "mql")
    assert b"Choose a reason" in refused.content
    assert (moved.status_code, lead.stage_id) == (302, "lost")


def test_a_move_to_where_the_lead_already_is_is_refused_in_words(client, rep):
    lead = make_lead(stage_id="mql")

    answer = client.post(f"/leads/{lead.uid}/move/", {"stage": "mql"})

    assert answer.status_code == 422


def test_names_are_shown_as_text_never_as_markup(client, rep, version):
    lead = make_history(lead=make_lead(name="<script>alert(1)</script>", traits={"<b>": "<i>x</i>"}), version=version, times=1)

    board, page = client.get("/").content, client.get(lead.get_absolute_url()).content

    assert b"<script>alert" not in board + page
    assert b"<i>x</i>" not in page


def test_pages_carry_no_inline_style_or_script(client, rep, version):
    lead = make_history(lead=make_lead(owner=rep), version=version, times=3)

    for address in ("/", lead.get_absolute_url()):
        answer = client.get(address)
        page = answer.content.decode()
        assert " style=" not in page
        assert "<style" not in page
        assert page.count("<script") == page.count("<script src=")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["css/tokens.css", "css/app.css", "js/theme.js", "img/leadstate.svg", "bootstrap/css/bootstrap.min.css"])
def test_the_files_of_the_pages_exist(path):
    assert finders.find(path)


def test_health_is_told_without_a_login(client):
    answer = client.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("address", ["/api/nowhere", "/v1/nowhere", "/hooks/nowhere/"])
def test_machines_get_their_errors_as_json(client, address):
    answer = client.post(address)

    assert answer.status_code == 404
    assert set(answer.json()) == {"code", "message"}
