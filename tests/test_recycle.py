"""Second chances: who was lost or rejected comes back by time, once, and starts anew."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.playbook import apply_shipped
from crm.sweep import QUEUES, run_everything_due
from leads.gates import move_by_hand, undo_move
from leads.models import Lead, Notification, Reason, Stage, Task, Transition
from leads.recycling import recycle_due
from tests.factories import make_contact_point, make_lead, make_rep, make_source
from tests.together import together

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 6, 8, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


@pytest.fixture
def key():
    """The shipped model, and a source that posts."""
    apply_shipped(active=False)
    return make_source()[1]


def post(client, key, *types, user="ada"):
    for kind in types:
        body = {"userId": user, "email": f"{user}@acme.example", "eventType": kind, "traits": {"name": user.title()}}
        answer = client.post("/api/events", body, content_type="application/json", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
    run_everything_due()
    return Lead.objects.get(email=f"{user}@acme.example")


def lose(lead, rep, reason="no-budget", stage="lost"):
    """Move a lead by hand, as the board does; returns the move."""
    return move_by_hand(fresh(lead), Stage.objects.get(key=stage), by_user=rep, reason=Reason.objects.get(key=reason))


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def moves(lead):
    return list(lead.transitions.order_by("seq").values_list("from_stage_id", "to_stage_id", "gate"))


@pytest.fixture
def budget():
    return Reason.objects.create(key="no-budget", name="No budget this year", recycle_after="90d", recycle_to_id="mql")


# --- when -----------------------------------------------------------------------------------------
def test_a_lost_lead_comes_back_when_its_reason_has_passed(client, rep, budget, clock):
    lead = make_lead(name="Ada", stage_id="sql", owner=rep)
    loss = lose(lead, rep)
    assert loss.recycle_at == MONDAY + timedelta(days=90)
    clock.shift(timedelta(days=90, seconds=-1))
    run_everything_due()
    early = fresh(lead).stage_id
    clock.shift(timedelta(seconds=1))

    call_command("tick")

    move = lead.transitions.latest("seq")
    assert (early, fresh(lead).stage_id) == ("lost", "mql")
    assert (move.recycles, move.actor, move.gate, move.at) == (loss, None, "", MONDAY + timedelta(days=90))
    assert fresh(loss).recycle_at is None


def test_coming_back_happens_once(rep, budget, clock):
    lead = make_lead(stage_id="sql")
    lose(lead, rep)
    clock.shift(timedelta(days=100))

    assert (recycle_due(), recycle_due()) == (1, 0)
    assert moves(lead) == [("sql", "lost", ""), ("lost", "mql", "")]


@pytest.mark.parametrize(("after", "kind"), [("", "lost"), ("soon", "lost"), ("90d", "reopen")])
def test_reasons_that_do_not_pass_bring_nobody_back(rep, after, kind):
    Reason.objects.create(key="for-good", name="For good", asked_for=kind, recycle_after=after)

    assert lose(make_lead(stage_id="sql"), rep, "for-good").recycle_at is None


def test_the_reason_says_where_to_and_the_default_is_marketing(rep, clock):
    for key, to in (("cold", "cold"), ("any", None)):
        Reason.objects.create(key=key, name=key, recycle_after="30d", recycle_to_id=to)
    one, two = make_lead(stage_id="sql"), make_lead(stage_id="sql")
    lose(one, rep, "cold")
    lose(two, rep, "any")
    clock.shift(timedelta(days=30))

    run_everything_due()

    assert (fresh(one).stage_id, fresh(two).stage_id) == ("cold", "mql")


def test_what_the_reason_says_when_the_time_has_come_counts(rep, budget, clock):
    lead = make_lead(stage_id="sql")
    lose(lead, rep)
    Reason.objects.update(recycle_to="cold")
    clock.shift(timedelta(days=90))

    run_everything_due()

    assert fresh(lead).stage_id == "cold"


# --- who not ---------------------------------------------------------------------------------------
def test_a_move_meanwhile_overtakes_it(rep, budget, clock):
    moved, undone = make_lead(stage_id="sql"), make_lead(stage_id="sql")
    lose(moved, rep)
    move_by_hand(fresh(moved), Stage.objects.get(key="cold"), by_user=rep)
    undo_move(lose(undone, rep), by_user=rep)
    clock.shift(timedelta(days=90))

    run_everything_due()

    assert (fresh(moved).stage_id, fresh(undone).stage_id) == ("cold", "sql")
    assert not Transition.objects.exclude(recycles=None).exists()
    assert not Transition.objects.exclude(recycle_at=None).exists()


def test_excluded_merged_and_forgotten_people_stay_where_they_are(rep, budget, clock):
    excluded, merged, erased = (make_lead(stage_id="sql") for _ in range(3))
    for lead in (excluded, merged, erased):
        lose(lead, rep)
    Lead.objects.filter(pk=excluded.pk).update(excluded=True)
    Lead.objects.filter(pk=merged.pk).update(merged_into=make_lead())
    make_contact_point(erased.email, suppressed="erased", suppressed_at=MONDAY)
    clock.shift(timedelta(days=90))

    run_everything_due()

    assert [fresh(lead).stage_id for lead in (excluded, merged, erased)] == ["lost"] * 3
    assert recycle_due() == 0


def test_a_forgotten_person_does_not_come_back(rep, budget, clock):
    lead = make_lead(stage_id="sql")
    lose(lead, rep)
    call_command("forget", lead.email, verbosity=0)
    clock.shift(timedelta(days=90))

    run_everything_due()

    assert not Lead.objects.exists()


# --- anew ------------------------------------------------------------------------------------------
def test_old_points_do_not_promote_who_comes_back_and_new_ones_do(client, rep, key, clock):
    lead = post(client, key, "DOWNLOADED_API_DOCS", "DEMO_REQUESTED")
    assert lead.stage_id == "sql"
    lose(lead, rep)
    clock.shift(timedelta(days=90))
    run_everything_due()
    back = fresh(lead).stage_id
    clock.shift(timedelta(days=1))

    post(client, key, "DEMO_REQUESTED")

    assert back == "mql"
    assert moves(lead)[-3:] == [("sql", "lost", ""), ("lost", "mql", ""), ("mql", "sql", "hot")]


def test_a_rejected_lead_that_stands_there_already_is_not_moved_and_its_owner_is_told(client, rep, key, clock):
    lead = post(client, key, "DEMO_REQUESTED")
    client.post(f"/tasks/{Task.objects.get().pk}/reject/", {"reason": "too-early"})
    assert fresh(lead).stage_id == "mql"
    clock.shift(timedelta(days=30))

    run_everything_due()

    assert fresh(lead).stage_seq == 3
    told = Notification.objects.latest("pk")
    assert (told.user, told.title) == (rep, "Ada is worth another look: after 30 days: Interested but too early")
    assert recycle_due() == 0


def test_who_owned_the_lead_is_told(client, rep, budget, clock):
    owned, left = make_lead(name="Ada", stage_id="sql", owner=rep), make_lead(name="Bob", stage_id="sql", owner=make_rep(is_active=False))
    lose(owned, rep)
    lose(left, rep)
    clock.shift(timedelta(days=90))

    run_everything_due()

    [told] = Notification.objects.all()
    assert (told.user, told.channel, told.title) == (rep, "in_app", "Ada is back: after 90 days: No budget this year")
    client.force_login(rep)
    assert "Ada is back" in client.get("/notifications/").content.decode()


def test_who_comes_back_goes_to_who_knows_them(client, rep, key, clock):
    make_rep()
    lead = post(client, key, "DEMO_REQUESTED")
    Lead.objects.filter(pk=lead.pk).update(owner=rep)
    lose(lead, rep)
    clock.shift(timedelta(days=90))
    run_everything_due()
    clock.shift(timedelta(days=1))

    post(client, key, "DEMO_REQUESTED")

    again = Task.objects.get(done_at=None)
    assert (again.owner, again.title) == (rep, "Ready for a demo, 2nd time: Ada")
    assert Notification.objects.filter(channel="in_app").latest("pk").title == (
        "High intent lead ready for a demo! Second time: last marked lost by Rita Rep on 8 Jun, No budget this year"
    )
    mail = Notification.objects.filter(channel="mail").latest("pk")
    assert mail.title == "High intent lead ready for a demo!"
    assert mail.body.splitlines()[1] == "Second time: last marked lost by Rita Rep on 8 Jun, No budget this year"


def test_who_was_handed_over_for_the_first_time_has_no_second_time(client, rep, key, clock):
    post(client, key, "DEMO_REQUESTED")

    assert Task.objects.get().title == "Ready for a demo: Ada"
    assert "time" not in Notification.objects.filter(channel="mail").get().body


# --- what is said ----------------------------------------------------------------------------------
def test_the_timeline_says_that_and_why_somebody_is_back(client, rep, budget, clock):
    lead = make_lead(name="Ada", stage_id="sql")
    lose(lead, rep)
    clock.shift(timedelta(days=90))
    run_everything_due()
    client.force_login(rep)

    page = client.get(lead.get_absolute_url()).content.decode()

    assert "Back after 90 days: No budget this year" in page
    assert "moved from Closed lost to Marketing qualified" in page


def test_the_lead_page_says_when_somebody_comes_back_and_takes_no_for_an_answer(client, rep, budget, clock):
    lead = make_lead(name="Ada", stage_id="sql", owner=rep)
    lose(lead, rep)
    address = f"{lead.get_absolute_url()}stay-away/"
    page = client.get(lead.get_absolute_url()).content.decode()

    answer = client.post(address, headers={"HX-Request": "true"})

    assert 'Comes back to Marketing qualified on <span class="strong">6 Sep</span>' in page
    assert "Offered again" in page
    assert "Ada will not come back by itself." in answer.headers["HX-Trigger"]
    assert "Comes back" not in answer.content.decode()
    assert "Offered again" not in client.get(lead.get_absolute_url()).content.decode()
    assert "was not going to" in client.post(address, headers={"HX-Request": "true"}).headers["HX-Trigger"]
    clock.shift(timedelta(days=90))
    run_everything_due()
    assert fresh(lead).stage_id == "lost"


def test_only_colleagues_say_no(client, budget, rep):
    lead = make_lead(stage_id="sql")
    loss = lose(lead, rep)
    client.logout()

    answer = client.post(f"{lead.get_absolute_url()}stay-away/")

    assert answer.url.startswith("/login/")
    assert fresh(loss).recycle_at


def test_the_lead_page_tells_of_the_time_before(client, rep, key, clock):
    lead = post(client, key, "DEMO_REQUESTED")
    first = client.get(lead.get_absolute_url()).content.decode()
    client.post(f"/tasks/{Task.objects.get().pk}/reject/", {"reason": "too-early"})
    rejected = client.get(lead.get_absolute_url()).content.decode()
    clock.shift(timedelta(days=1))
    post(client, key, "DEMO_REQUESTED")
    second = client.get(lead.get_absolute_url()).content.decode()

    said = "Was with sales before: rejected by Rita Rep on 8 Jun, Interested but too early."
    assert said not in first
    assert said in rejected
    assert 'Worth another look on <span class="strong">8 Jul</span>' in rejected
    assert said in second
    assert "Worth another look" not in second


def test_a_rejection_that_was_taken_back_never_happened(client, rep, key):
    lead = post(client, key, "DEMO_REQUESTED")
    [task] = Task.objects.all()
    client.post(f"/tasks/{task.pk}/reject/", {"reason": "too-early"})
    client.post(f"/tasks/{task.pk}/reopen/")

    page = client.get(lead.get_absolute_url()).content.decode()

    assert "Was with sales" not in page
    assert "Worth another look" not in page


# --- how much --------------------------------------------------------------------------------------
def test_the_number_of_statements_does_not_grow(rep, budget, clock):
    def statements(count):
        for _ in range(count):
            lose(make_lead(stage_id="sql", owner=rep), rep)
        clock.shift(timedelta(days=90))
        with CaptureQueriesContext(connection) as queries:
            assert recycle_due() == count
        return len(queries)

    few = statements(1)

    assert statements(25) == few
    assert few <= 45


def test_chunks_follow_each_other_until_everybody_is_back(rep, budget, clock):
    for _ in range(5):
        lose(make_lead(stage_id="sql"), rep)
    clock.shift(timedelta(days=90))

    assert [recycle_due(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert set(Lead.objects.values_list("stage_id", flat=True)) == {"mql"}


def test_the_tick_rings_for_it(rep, budget, clock):
    lose(make_lead(stage_id="sql"), rep)
    queue = next(queue for queue in QUEUES if queue.task == "leads.tasks.recycle_leads")
    before = queue.due(timezone.now()).exists()
    clock.shift(timedelta(days=90))

    assert (before, queue.due(timezone.now()).exists()) == (False, True)


# --- by gate ---------------------------------------------------------------------------------------
def test_who_goes_quiet_cools_down_silently_and_comes_back_by_something_new(client, rep, key, clock):
    lead = post(client, key, "NEWSLETTER_SIGNED_UP")
    assert lead.stage_id == "mql"
    clock.shift(timedelta(days=90))
    run_everything_due()
    quiet = fresh(lead).stage_id
    clock.shift(timedelta(days=5))
    run_everything_due()

    post(client, key, "DOWNLOADED_API_DOCS")

    assert quiet == "cold"
    assert moves(lead) == [("cold", "mql", "interested"), ("mql", "cold", "went-quiet"), ("cold", "mql", "interested")]
    assert not Notification.objects.exists()


def test_whoever_of_the_company_signs_and_pays(client, rep, key, clock):
    lead = post(client, key, "DEMO_REQUESTED")
    post(client, key, "CONTRACT_SIGNED", user="bob")

    post(client, key, "PAYMENT_SUCCEEDED", user="cleo")

    assert lead.company.name == "acme.example"
    assert moves(lead)[-1] == ("sql", "won", "closed")


def test_who_is_back_from_lost_has_time_before_being_called_quiet(client, rep, key, clock):
    lead = post(client, key, "DEMO_REQUESTED")
    lose(lead, rep)
    stages = []
    for days in (90, 89, 1):
        clock.shift(timedelta(days=days))
        run_everything_due()
        stages.append(fresh(lead).stage_id)

    assert stages == ["mql", "mql", "cold"]


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_bring_everybody_back_once(rep, budget, clock):
    leads = [make_lead(stage_id="sql", owner=rep) for _ in range(20)]
    for lead in leads:
        lose(lead, rep)
    clock.shift(timedelta(days=90))

    together(lambda: recycle_due(limit=12))
    recycle_due()

    assert all(moves(lead) == [("sql", "lost", ""), ("lost", "mql", "")] for lead in leads)
    assert Notification.objects.count() == 20
