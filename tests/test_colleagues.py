"""One of a company is won: marketing leaves the others alone, and their cards say so."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns.models import Enrollment, Message
from campaigns.runs import exit_runs
from campaigns.schedule import advance_due
from leads.gates import move_by_hand, undo_move
from leads.models import Lead, Stage
from tests.factories import make_campaign, make_company, make_enrollment, make_lead, make_message, make_rep, make_step, make_transition

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 6, 8, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


@pytest.fixture
def rep():
    return make_rep()


def win(lead, rep, stage="won"):
    return move_by_hand(Lead.objects.get(pk=lead.pk), Stage.objects.get(key=stage), by_user=rep)


def state(run):
    run = Enrollment.objects.get(pk=run.pk)
    return run.state, run.reason


def test_colleagues_of_who_was_won_leave_marketing_and_nothing_else(rep):
    company = make_company()
    winner, colleague, stranger = make_lead(company=company, stage_id="sql"), make_lead(company=company), make_lead(company=make_company())
    marketing, product = make_campaign(), make_campaign(class_="product", topic=None)
    for_everybody = make_campaign(exit_on_stage=False)
    runs = [make_enrollment(campaign=each, lead=colleague) for each in (marketing, product, for_everybody)]
    strangers = make_enrollment(campaign=marketing, lead=stranger)
    mail = make_message(run=runs[0])

    win(winner, rep)

    assert [state(run) for run in runs] == [("exited", "colleague"), ("active", ""), ("active", "")]
    assert state(strangers) == ("active", "")
    mail.refresh_from_db()
    assert (mail.state, mail.reason) == (Message.State.CANCELED, "colleague")


@pytest.mark.parametrize("stage", ["lost", "mql"])
def test_only_winning_counts(rep, stage):
    company = make_company()
    run = make_enrollment(campaign=make_campaign(), lead=make_lead(company=company))

    win(make_lead(company=company, stage_id="sql"), rep, stage)

    assert state(run) == ("active", "")


def test_people_without_a_company_have_no_colleagues(rep):
    run = make_enrollment(campaign=make_campaign(), lead=make_lead())

    win(make_lead(stage_id="sql"), rep)

    assert state(run) == ("active", "")


def test_who_was_passed_over_leaves_at_the_next_step(clock):
    company = make_company()
    campaign = make_campaign(steps=[make_step(after="1d")])
    run = make_enrollment(campaign=campaign, lead=make_lead(company=company), due_at=MONDAY + timedelta(days=1))
    clock.shift(timedelta(hours=1))
    make_transition(lead=make_lead(company=company, stage_id="sql"), to="won", recorded_at=MONDAY + timedelta(hours=1))
    clock.shift(timedelta(days=1))

    advance_due()

    assert state(run) == ("exited", "colleague")
    assert not Message.objects.exists()


def test_who_begins_after_the_win_goes_on(rep, clock):
    company = make_company()
    win(make_lead(company=company, stage_id="sql"), rep)
    clock.shift(timedelta(hours=1))
    run = make_enrollment(campaign=make_campaign(), lead=make_lead(company=company), due_at=MONDAY)

    advance_due()

    assert state(run)[0] == "active"


def test_a_win_that_was_taken_back_ends_no_more_runs(rep, clock):
    company = make_company()
    winner = make_lead(company=company, stage_id="sql")
    late = make_enrollment(campaign=make_campaign(), lead=make_lead(company=company), due_at=MONDAY)
    clock.shift(timedelta(minutes=1))
    undo_move(win(winner, rep), by_user=rep)
    Enrollment.objects.filter(pk=late.pk).update(state="active", reason="", ended_at=None, due_at=MONDAY)

    advance_due()

    assert state(late)[0] == "active"


def test_the_runs_page_says_why(client, rep):
    company = make_company()
    colleague = make_lead(company=company)
    run = make_enrollment(campaign=make_campaign(name="Deep dive"), lead=colleague)
    win(make_lead(company=company, stage_id="sql"), rep)
    client.force_login(rep)

    page = client.get(f"/leads/{colleague.uid}/campaigns/").content.decode()

    assert state(run) == ("exited", "colleague")
    assert "somebody of the same company was won" in page


def test_the_number_of_statements_does_not_grow(rep):
    company, campaign = make_company(), make_campaign()

    def statements(count):
        runs = [make_enrollment(campaign=campaign, lead=make_lead(company=company)) for _ in range(count)]
        winner = make_lead(company=company, stage_id="sql")
        with CaptureQueriesContext(connection) as queries:
            win(winner, rep)
        assert {state(run) for run in runs} == {("exited", "colleague")}
        return len(queries)

    few = statements(1)

    assert statements(12) == few
    assert exit_runs(Enrollment.objects.all(), "x", MONDAY) == 0
