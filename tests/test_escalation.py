"""A handed-over lead that nobody calls in time: the whole team hears of it, once."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.sweep import QUEUES, run_everything_due
from leads.activities import log_activity
from leads.escalation import escalate_due
from leads.gates import move_by_hand
from leads.handoff import hand_over
from leads.models import Lead, Notification, Stage, Task, User, Workspace
from leads.todos import accept, claim
from tests.factories import make_company, make_lead, make_rep, make_transition
from tests.together import together

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 6, 8, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock(settings):
    settings.WORKING_HOURS = "mon-fri 09:00-17:00"
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def _sla(clock, _shipped_rows):
    Stage.objects.filter(key="sql").update(sla="4h")


@pytest.fixture
def rep():
    return make_rep(username="rita", first_name="Rita", last_name="Rep")


def hand(*leads, **fields):
    """Let the leads enter sales as the gates do; returns their tasks."""
    transitions = [make_transition(lead=lead, **fields) for lead in leads]
    with transaction.atomic():
        hand_over(transitions=transitions, now=timezone.now())
    return list(Task.objects.filter(lead__in=leads).order_by("pk"))


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def told(channel="in_app"):
    rows = Notification.objects.filter(channel=channel, title__startswith="Nobody has").order_by("user__username")
    return [(row.user.username if row.user else None, row.title) for row in rows]


def make_admin(username, **fields):
    user = User.objects.create_user(username, **fields)
    user.groups.add(Group.objects.get(name="Admin"))
    return user


# --- when and what ---------------------------------------------------------------------------------
def test_when_the_time_has_run_out_the_team_and_the_admins_are_told(rep, clock, settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    make_rep(username="bob")
    make_rep(username="away", away_until=date(2026, 6, 8))
    make_rep(username="gone", is_active=False)
    make_admin("ada-admin")
    User.objects.create_user("marketer").groups.add(Group.objects.get(name="Marketing"))
    [task] = hand(make_lead(name="Ada", company=make_company(name="Acme", owner=rep)))
    clock.shift(timedelta(hours=4, seconds=-1))
    run_everything_due()
    early = told()
    clock.shift(timedelta(minutes=20, seconds=1))

    call_command("tick")

    title = "Nobody has called Ada of Acme yet: 4 h were promised, 4 h 20 min have passed"
    assert early == []
    assert told() == [("ada-admin", title), ("bob", title), ("rita", title)]
    assert told("chat") == [(None, title)]
    assert told("mail") == []
    assert fresh(task).escalated_at == MONDAY + timedelta(hours=4, minutes=20)
    assert "Rita Rep has it." in Notification.objects.get(channel="chat", title=title).body


def test_it_is_told_once(rep, clock):
    [task] = hand(make_lead(owner=rep))
    clock.shift(timedelta(hours=5))

    assert (escalate_due(), escalate_due()) == (1, 0)
    clock.shift(timedelta(days=3))
    run_everything_due()

    assert len(told()) == 1
    assert fresh(task).escalated_at == MONDAY + timedelta(hours=5)


def test_without_a_chat_nothing_is_prepared_for_it(rep, clock):
    hand(make_lead(owner=rep))
    clock.shift(timedelta(hours=5))

    run_everything_due()

    assert told("chat") == []


def test_what_nobody_owns_was_taken_by_nobody(rep, clock):
    User.objects.update(away_until=date(2026, 6, 8))
    hand(make_lead(name="Ada"))
    User.objects.update(away_until=None)
    clock.shift(timedelta(hours=4))

    run_everything_due()

    assert told() == [("rita", "Nobody has taken Ada yet: 4 h were promised, 4 h have passed")]


def test_only_working_time_counts(rep, clock):
    Workspace.objects.create(pk=1, timezone="Europe/Berlin")
    clock.move_to(datetime(2026, 6, 12, 13, 0, tzinfo=UTC))  # Friday 15:00 in Berlin
    hand(make_lead(name="Ada", owner=rep))
    clock.move_to(datetime(2026, 6, 15, 8, 59, tzinfo=UTC))  # Monday 10:59 there
    run_everything_due()
    early = told()
    clock.move_to(datetime(2026, 6, 15, 9, 30, tzinfo=UTC))

    run_everything_due()

    assert early == []
    assert told() == [("rita", "Nobody has called Ada yet: 4 h were promised, 4 h 30 min have passed")]


# --- when not --------------------------------------------------------------------------------------
@pytest.mark.parametrize("touch", ["accept", "call", "move", "merge"])
def test_who_was_answered_called_or_has_moved_on_is_no_news(rep, clock, touch):
    lead = make_lead(owner=rep)
    [task] = hand(lead)
    if touch == "accept":
        accept(task, by_user=rep)
    elif touch == "call":
        log_activity(lead, kind="call", text="", by_user=rep)
    elif touch == "move":
        move_by_hand(fresh(lead), Stage.objects.get(key="mql"), by_user=rep)
    else:
        Lead.objects.filter(pk=lead.pk).update(merged_into=make_lead())
    clock.shift(timedelta(hours=5))

    run_everything_due()

    assert told() == []
    assert fresh(task).escalated_at is None


def test_an_import_disturbs_nobody(rep, clock):
    hand(make_lead(owner=rep), historical=True)
    clock.shift(timedelta(hours=5))

    run_everything_due()

    assert told() == []


def test_the_chat_hears_only_of_what_was_news(rep, clock, settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    hand(make_lead(owner=rep), at=MONDAY - timedelta(days=3))
    clock.shift(timedelta(hours=5))

    run_everything_due()

    assert (len(told()), told("chat")) == (1, [])


def test_without_a_deadline_nothing_runs_out(rep, clock):
    Stage.objects.update(sla="")
    hand(make_lead(owner=rep))
    clock.shift(timedelta(days=30))

    run_everything_due()

    assert told() == []


# --- what follows ----------------------------------------------------------------------------------
def test_then_a_colleague_can_take_it(client, rep, clock):
    other = make_rep(first_name="Bob")
    lead = make_lead(name="Ada", owner=rep)
    [task] = hand(lead)
    client.force_login(other)
    before = client.get("/today/").content.decode()
    clock.shift(timedelta(hours=5))
    run_everything_due()
    page = client.get("/today/").content.decode()

    client.post(f"/tasks/{task.pk}/claim/")

    assert "Ada" not in before
    assert "Rita Rep has not called yet" in page
    assert (fresh(task).owner, fresh(lead).owner, fresh(lead).former_owner) == (other, other, rep)
    assert rep.notifications.latest("pk").title == "Bob has taken Ada over"


def test_the_pages_of_lead_and_company_show_the_clock_and_that_the_team_knows(client, rep, clock):
    company = make_company(owner=rep)
    lead = make_lead(name="Ada", company=company)
    hand(lead)
    client.force_login(make_rep())
    clock.shift(timedelta(hours=1))
    running = [client.get(address).content.decode() for address in (lead.get_absolute_url(), f"/companies/{company.pk}/")]
    clock.shift(timedelta(hours=4))
    run_everything_due()

    over = [client.get(address).content.decode() for address in (lead.get_absolute_url(), f"/companies/{company.pk}/")]

    assert all("3 h left" in page for page in running)
    assert all("1 h over" in page and "the team was told" in page for page in over)
    assert all("Claim" in page for page in over)
    assert all(">Claim" not in page for page in running)


def test_who_took_it_is_not_told_on_again(rep, clock):
    other = make_rep()
    [task] = hand(make_lead(owner=rep))
    clock.shift(timedelta(hours=5))
    run_everything_due()
    claim(task, by_user=other)
    clock.shift(timedelta(hours=5))

    run_everything_due()

    assert len(told()) == 2


# --- how much --------------------------------------------------------------------------------------
def test_the_number_of_statements_does_not_grow(rep, clock, settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"

    def statements(count):
        for _ in range(count):
            hand(make_lead(owner=rep, company=make_company()))
        clock.shift(timedelta(days=1))
        with CaptureQueriesContext(connection) as queries:
            assert escalate_due() == count
        return len(queries)

    few = statements(1)

    assert statements(20) == few
    assert few <= 8


def test_chunks_follow_each_other_and_the_tick_rings_for_them(rep, clock):
    queue = next(queue for queue in QUEUES if queue.task == "leads.tasks.escalate_handoffs")
    for _ in range(5):
        hand(make_lead(owner=rep))
    before = queue.due(timezone.now()).exists()
    clock.shift(timedelta(hours=5))

    assert (before, queue.due(timezone.now()).exists()) == (False, True)
    assert [escalate_due(limit=2) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_tell_of_each_once(rep, clock):
    for _ in range(20):
        hand(make_lead(owner=rep))
    clock.shift(timedelta(hours=5))

    escalated = together(lambda: escalate_due(limit=7))

    assert sum(escalated) + sum(iter(lambda: escalate_due(limit=7), 0)) == 20
    assert len(told()) == 20
    assert not Task.objects.filter(escalated_at=None).exists()
