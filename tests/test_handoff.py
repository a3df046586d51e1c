"""Handoff: once per entry into sales, to the right person, with the reasons."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.gates import move_by_hand, undo_move
from leads.handoff import TITLE, hand_over
from leads.models import Lead, Notification, Reason, Stage, Task, User, Workspace
from tests.factories import make_company, make_entry, make_event, make_lead, make_rep, make_transition, make_version

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 6, 8, 9, tzinfo=UTC)  # 11:00 in Berlin


@pytest.fixture(autouse=True)
def _monday():
    with time_machine.travel(MONDAY, tick=False):
        yield


def enter(*leads, **fields):
    """Let leads enter the stage and hand them over as one group."""
    transitions = [make_transition(lead=lead, **fields) for lead in leads]
    with transaction.atomic():
        hand_over(transitions=transitions, now=timezone.now())
    for lead in leads:
        lead.refresh_from_db()
    return transitions


def told(channel):
    rows = Notification.objects.filter(channel=channel).order_by("pk")
    return [(row.user.username if row.user else None, row.title) for row in rows]


def test_a_lead_that_gets_ready_has_an_owner_a_task_and_a_conversation():
    rep = make_rep()
    lead = make_lead(name="Ada Lovelace")

    [transition] = enter(lead)

    task = Task.objects.get()
    assert (task.lead, task.owner, task.kind, task.transition) == (lead, rep, Task.Kind.HANDOFF, transition)
    assert task.title == "Ready for a demo: Ada Lovelace"
    assert lead.owner == rep
    assert lead.conversation_until == MONDAY + timedelta(days=7)


def test_the_owner_is_told_in_the_app_and_by_mail_and_the_team_by_chat(settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    make_rep(username="ada")

    enter(make_lead())

    assert told("in_app") == told("mail") == [("ada", TITLE)]
    assert told("chat") == [(None, "High intent lead ready for a demo!")]


def test_without_a_chat_webhook_nothing_is_prepared_for_it():
    make_rep()

    enter(make_lead())

    assert told("chat") == []


def test_the_news_says_who_how_warm_why_and_where(settings):
    settings.SITE_URL = "https://crm.example.com"
    make_rep()
    version = make_version(
        scoring={
            "rules": [
                {"key": key, "name": name, "event": "X", "points": 1}
                for key, name in [
                    ("pricing", "Viewed pricing"),
                    ("docs", "Downloaded API docs"),
                    ("a", "A"),
                    ("b", "B"),
                    ("c", "C"),
                    ("left", "Left"),
                ]
            ],
            "fit": [{"key": "cto", "name": "Technical leader", "when": [], "points": 15}],
        }
    )
    lead = make_lead(name="Ada Lovelace", title="CTO", company=make_company(name="Acme"))
    for _ in range(3):
        make_entry(lead=lead, rule="pricing", points=10, version=version, event=make_event(lead=lead))
    make_entry(lead=lead, rule="docs", points=20, version=version)
    make_entry(lead=lead, rule="cto", points=15, version=version, axis="fit")
    make_entry(lead=lead, rule="c", points=3, version=version)
    make_entry(lead=lead, rule="b", points=2, version=version)
    make_entry(lead=lead, rule="a", points=1, version=version)
    make_entry(lead=lead, rule="left", points=-9, version=version)

    enter(lead)

    assert Notification.objects.filter(channel="mail").get().body.splitlines() == [
        "Ada Lovelace · CTO · Acme",
        "Score 62 (engagement 47, fit 15)",
        "",
        "+30 Viewed pricing (3×)",
        "+20 Downloaded API docs",
        "+15 Technical leader",
        "+3 C",
        "+2 B",
        "",
        f"https://crm.example.com/leads/{lead.uid}/",
    ]


def test_points_that_were_corrected_or_taken_back_count_as_what_is_left():
    make_rep()
    version = make_version(scoring={"rules": [{"key": "docs", "name": "Docs", "event": "X", "points": 20}]})
    lead = make_lead()
    make_entry(lead=lead, rule="docs", points=20, cause="event:1", version=version)
    make_entry(lead=lead, rule="docs", points=-5, cause="event:1", n=2, version=version)
    make_entry(lead=lead, rule="docs", points=20, cause="event:2", version=version)
    make_entry(lead=lead, rule="docs", points=-20, cause="expiry:event:2", kind="expiry", version=version)

    enter(lead)

    assert "+15 Docs (2×)" in Notification.objects.filter(channel="mail").get().body


@pytest.mark.parametrize("owned", ["company", "lead", "former"])
def test_who_knows_the_company_or_the_lead_gets_it(owned):
    knows, other = make_rep(), make_rep()
    lead = make_lead(
        company=make_company(owner=knows if owned == "company" else None),
        owner=knows if owned == "lead" else other if owned == "company" else None,
        former_owner=knows if owned == "former" else other,
    )

    enter(lead)

    assert lead.owner == knows
    assert Task.objects.get().owner == knows


def test_who_is_away_is_passed_over_for_who_knows_the_lead_next_and_then_for_whose_turn_it_is():
    away, knows, other = make_rep(away_until=date(2026, 6, 8)), make_rep(), make_rep()
    User.objects.filter(pk=knows.pk).update(last_assigned_at=MONDAY)
    known = make_lead(company=make_company(owner=away), former_owner=knows)
    unknown = make_lead(company=make_company(owner=away), owner=away)

    enter(known, unknown)

    assert (known.owner, known.former_owner) == (knows, knows)
    assert (unknown.owner, unknown.former_owner) == (other, away)
    assert set(Task.objects.values_list("owner", flat=True)) == {knows.pk, other.pk}


def test_who_moves_their_own_lead_while_they_are_away_keeps_it():
    rep = make_rep(away_until=date(2026, 6, 8))
    make_rep()
    lead = make_lead(owner=rep)

    enter(lead, actor=rep)

    assert Task.objects.get().owner == lead.owner == rep


def test_a_second_handoff_says_so_in_the_task_the_app_the_mail_and_the_chat(settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    rep = make_rep(username="ada", first_name="Ada", last_name="Rep")
    reason = Reason.objects.create(key="too-early", name="Too early", asked_for="reject")
    lead = make_lead(name="Bob", stage_id="mql", owner=rep)
    make_transition(lead=lead, at=MONDAY - timedelta(days=400))
    make_transition(lead=lead, to="mql", actor=rep, reason=reason, at=MONDAY - timedelta(days=399))

    enter(lead)

    said = "Second time: last rejected by Ada Rep on 5 May 2025, Too early"
    assert Task.objects.get().title == "Ready for a demo, 2nd time: Bob"
    assert told("in_app") == [("ada", f"{TITLE} {said}")]
    assert told("mail") == [("ada", TITLE)]
    assert told("chat") == [(None, TITLE)]
    assert all(row.body.splitlines()[1] == said for row in Notification.objects.all())


@pytest.mark.parametrize(("times", "words"), [(2, "2nd time"), (3, "3rd time"), (4, "4th time"), (11, "11th time"), (12, "12th time")])
def test_each_further_time_is_counted(times, words):
    rep = make_rep()
    lead = make_lead(name="Bob", stage_id="mql")
    for _ in range(times - 1):
        make_transition(lead=lead)
        make_transition(lead=lead, to="mql", actor=rep)

    enter(lead)

    assert Task.objects.get().title == f"Ready for a demo, {words}: Bob"


def test_an_owner_who_left_is_remembered_and_replaced():
    gone, rep = make_rep(is_active=False), make_rep()
    lead = make_lead(company=make_company(owner=gone), owner=gone)

    enter(lead)

    assert (lead.owner, lead.former_owner) == (rep, gone)


def test_reps_take_turns():
    first, second, third = make_rep(), make_rep(), make_rep()
    make_rep(away_until=date(2026, 6, 8))
    make_rep(is_active=False)
    User.objects.create_user("marketer").groups.add(Group.objects.get(name="Marketing"))
    leads = [make_lead() for _ in range(5)]

    enter(*leads[:2])
    enter(leads[2])
    enter(*leads[3:])

    assert [lead.owner for lead in leads] == [first, second, third, first, second]


def test_a_rep_who_is_back_takes_turns_again():
    rep = make_rep(away_until=date(2026, 6, 7))
    lead = make_lead()

    enter(lead)

    assert lead.owner == rep


def test_nobody_available_means_the_whole_group_is_told():
    away = make_rep(username="away", away_until=date(2026, 6, 9))
    make_rep(username="gone", is_active=False)
    lead = make_lead()

    enter(lead)

    assert lead.owner is None
    assert Task.objects.get().owner is None
    assert told("in_app") == told("mail") == [(away.username, TITLE)]
    assert "Nobody owns it yet" in Notification.objects.filter(channel="mail").get().body


def test_the_deadline_is_the_sla_in_the_owners_working_time():
    Workspace.objects.create(pk=1, timezone="Europe/Berlin")
    make_rep()
    with time_machine.travel(datetime(2026, 6, 12, 13, 30, tzinfo=UTC), tick=False):  # Friday 15:30 in Berlin
        enter(make_lead())
        User.objects.update(timezone="America/New_York")  # Friday 9:30 there
        enter(make_lead())

    assert list(Task.objects.order_by("pk").values_list("due_at", flat=True)) == [
        datetime(2026, 6, 15, 9, 30, tzinfo=UTC),  # Monday 11:30 in Berlin
        datetime(2026, 6, 12, 17, 30, tzinfo=UTC),  # Friday 13:30 in New York
    ]


@pytest.mark.parametrize("sla", ["", "four hours"])
def test_a_stage_without_a_readable_sla_has_no_deadline(sla):
    Stage.objects.filter(key="sql").update(sla=sla)

    enter(make_lead())

    assert Task.objects.get().due_at is None


def test_handing_over_twice_changes_nothing():
    first, _second = make_rep(), make_rep()
    lead = make_lead()
    transitions = enter(lead)

    hand_over(transitions=transitions, now=timezone.now())

    lead.refresh_from_db()
    assert lead.owner == first
    assert Task.objects.count() == 1
    assert Notification.objects.count() == 2


def test_only_the_last_move_of_a_lead_counts():
    make_rep()
    through, into = make_lead(), make_lead()
    past = [make_transition(lead=through), make_transition(lead=through, to="won")]
    chain = [make_transition(lead=into, to="mql"), make_transition(lead=into)]

    hand_over(transitions=[*past, *chain], now=timezone.now())

    assert [task.transition for task in Task.objects.all()] == [chain[1]]


def test_each_entry_is_handed_over_again_and_replaces_the_open_task():
    rep = make_rep()
    make_rep()
    lead = make_lead()
    enter(lead)
    make_transition(lead=lead, to="mql")

    enter(lead)

    old, new = Task.objects.order_by("pk")
    assert (old.done_at, new.done_at) == (MONDAY, None)
    assert lead.owner == old.owner == new.owner == rep
    assert Notification.objects.filter(channel="mail", title=TITLE).count() == 2


def test_an_old_cause_makes_owner_and_task_but_no_mail_and_no_chat(settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    rep = make_rep(username="ada")
    lead = make_lead()

    enter(lead, at=MONDAY - timedelta(days=2, seconds=1))

    assert lead.owner == rep
    assert Task.objects.get().owner == rep
    assert [told(channel) for channel in ("in_app", "mail", "chat")] == [[("ada", TITLE)], [], []]


def test_a_historical_one_makes_owner_and_task_only(settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    rep = make_rep()
    lead = make_lead()

    enter(lead, historical=True)

    assert lead.owner == rep
    assert Task.objects.get().owner == rep
    assert lead.conversation_until is None
    assert not Notification.objects.exists()


def test_a_second_person_joins_the_open_task_of_the_company(settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    rep = make_rep(username="ada")
    make_rep()
    company = make_company()
    first, second = make_lead(company=company), make_lead(company=company, name="Bob")
    enter(first)

    enter(second)

    task = Task.objects.get()
    assert list(task.colleagues.all()) == [second]
    assert first.owner == second.owner == task.owner == rep
    assert told("in_app") == [("ada", TITLE), ("ada", "Bob is ready too: same company, same task")]
    assert len(told("mail")) == len(told("chat")) == 1


def test_two_of_one_company_at_once_share_a_task():
    company, other = make_company(), make_company()
    make_rep()
    make_rep()
    one, stranger, two = make_lead(company=company), make_lead(company=other), make_lead(company=company)

    enter(one, stranger, two)

    assert sorted(Task.objects.values_list("lead", flat=True)) == [one.pk, stranger.pk]
    assert list(Task.objects.get(lead=one).colleagues.all()) == [two]
    assert one.owner == two.owner != stranger.owner


def test_after_the_task_is_done_the_next_person_brings_a_new_one():
    company = make_company()
    make_rep()
    enter(make_lead(company=company))
    Task.objects.update(done_at=MONDAY)

    enter(make_lead(company=company))

    assert Task.objects.count() == 2


def test_leads_without_a_company_do_not_share_a_task():
    make_rep()

    enter(make_lead(), make_lead())

    assert Task.objects.count() == 2


def test_nobody_is_told_of_their_own_act(settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    rep, other = make_rep(), make_rep()
    lead = make_lead(owner=rep, company=make_company(owner=other))

    enter(lead, actor=rep)

    assert lead.owner == rep
    assert Task.objects.get().owner == rep
    assert not Notification.objects.exists()


def test_who_moves_somebody_elses_lead_causes_news_for_the_owner():
    mover, owner = make_rep(), make_rep(username="ada")

    enter(make_lead(owner=owner), actor=mover)

    assert told("mail") == [("ada", TITLE)]


def test_winning_hands_nothing_over():
    make_rep()

    enter(make_lead(), to="won")

    assert not Task.objects.exists()
    assert not Notification.objects.exists()


def test_the_number_of_statements_does_not_grow(settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    version = make_version(scoring={"rules": [{"key": "made", "name": "Made", "event": "X", "points": 1}]})
    for _ in range(3):
        make_rep()

    def statements(count):
        leads = [make_lead(company=make_company()) for _ in range(count)] + [make_lead() for _ in range(count)]
        leads += [make_lead(company=lead.company) for lead in leads[:count]]
        for lead in leads:
            make_entry(lead=lead, points=80, version=version)
        transitions = [
            make_transition(lead=lead) for lead in Lead.objects.filter(pk__in=[lead.pk for lead in leads]).select_related("company")
        ]
        with (
            CaptureQueriesContext(
                connection,
            ) as queries,
            transaction.atomic(),
        ):
            hand_over(transitions=transitions, now=timezone.now())
        return len(queries)

    few = statements(1)

    assert statements(15) == few
    assert Task.objects.count() == 32


@pytest.mark.parametrize("end", ["won", "lost"])
def test_a_lead_that_is_won_or_lost_needs_no_answer_any_more(end):
    rep = make_rep()
    lead = make_lead(owner=rep)
    enter(lead)

    move = move_by_hand(lead, Stage.objects.get(key=end), by_user=rep)
    closed = Task.objects.get().done_at
    undo_move(move, by_user=rep)

    assert closed == MONDAY
    assert Task.objects.get().done_at is None


def test_the_task_stays_while_a_colleague_who_joined_it_is_with_sales():
    rep, company = make_rep(), make_company()
    first, second = make_lead(company=company), make_lead(company=company)
    enter(first)
    enter(second)

    move_by_hand(first, Stage.objects.get(key="won"), by_user=rep)

    assert Task.objects.get().done_at is None
