"""Today: who is to be called, and what a rep answers."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leads.gates import move_by_hand, undo_move
from leads.handoff import hand_over
from leads.models import Delivery, Lead, Reason, Stage, Task, User
from leads.todos import TooLate, accept, claim, finish, reject, take_back
from tests.factories import make_company, make_entry, make_lead, make_rep, make_transition, make_version

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 6, 8, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


@pytest.fixture
def reasons():
    return [
        Reason.objects.create(key="too-early", name="Too early", asked_for="reject", recycle_to_id="cold", recycle_after="30d"),
        Reason.objects.create(key="not-a-fit", name="Not a fit", asked_for="reject"),
    ]


def hand(*leads):
    """Let the leads enter sales as the gates do; returns the open handoffs."""
    Stage.objects.filter(key="sql").update(sla="4h")
    transitions = [make_transition(lead=lead) for lead in leads]
    with transaction.atomic():
        hand_over(transitions=transitions, now=timezone.now())
    for lead in leads:
        lead.refresh_from_db()
    return list(Task.objects.filter(kind="handoff", done_at=None).order_by("pk"))


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def part(page, name):
    """The text of one list of the page."""
    return page.split(f'id="part-{name}"')[1].split("</section>")[0] if f'id="part-{name}"' in page else ""


def see(client):
    answer = client.get("/today/")
    assert answer.status_code == 200
    return answer.content.decode()


# --- who may ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("verb", ["accept", "reject", "claim", "done", "reopen"])
def test_only_colleagues_answer(client, verb):
    make_rep()
    [task] = hand(make_lead())
    address = f"/tasks/{task.pk}/{verb}/"

    nobody = client.post(address)
    client.force_login(User.objects.create_user("stranger"))
    stranger = client.post(address)
    page = client.get("/today/")

    assert nobody.status_code == 302
    assert nobody.url.startswith("/login/")
    assert (stranger.status_code, page.status_code) == (403, 403)
    assert fresh(task).touched_at is fresh(task).done_at is None


def test_answers_are_posted(client, rep):
    [task] = hand(make_lead(owner=rep))

    assert client.get(f"/tasks/{task.pk}/accept/").status_code == 405


def test_a_task_that_is_gone_is_not_found(client, rep):
    assert client.post("/tasks/999/accept/").status_code == 404


# --- what it says ----------------------------------------------------------------------------------
@pytest.mark.parametrize(("number", "heading"), [(1, "1 lead needs a call today"), (3, "3 leads need a call today")])
def test_the_heading_says_how_many_wait(client, rep, number, heading):
    for _ in range(number):
        hand(make_lead(owner=rep))

    assert f">{heading}</h1>" in see(client)


def test_a_lead_with_two_tasks_is_one_call(client, rep):
    lead = make_lead(owner=rep)
    hand(lead)
    Task.objects.create(lead=lead, owner=rep, title="Send the offer", due_at=MONDAY)

    assert ">1 lead needs a call today</h1>" in see(client)


@pytest.mark.parametrize(("number", "heading"), [(1, "1 lead waits for somebody"), (2, "2 leads wait for somebody")])
def test_when_only_others_leads_wait_the_heading_says_that(client, rep, number, heading):
    for _ in range(number):
        Task.objects.create(lead=make_lead(), kind="handoff", title="Ready")

    assert f">{heading}</h1>" in see(client)


def test_an_empty_day_is_kind_and_shows_who_is_warming_up(client, rep):
    make_lead(name="Warm Walter", engagement=55, stage_id="mql")
    make_lead(name="Else's Elsa", engagement=99, stage_id="mql", owner=make_rep())

    page = see(client)

    assert ">Nobody waits for your call</h1>" in page
    assert "Everything is done" in page
    assert "Warm Walter" in page
    assert "Else" not in page


def test_an_empty_database_leads_to_the_board(client, rep):
    assert "Open the board" in see(client)


def test_what_runs_out_first_stands_first_with_time_reasons_and_colleagues(client, rep, clock):
    version = make_version(scoring={"rules": [{"key": "docs", "name": "Downloaded API docs", "event": "X", "points": 20}]})
    company = make_company(name="Acme", owner=rep)
    early, late = make_lead(name="Early Eve", company=company, owner=rep, phone="+49 30 1"), make_lead(name="Late Lea", owner=rep)
    make_entry(lead=early, rule="docs", points=20, version=version)
    hand(early)
    hand(make_lead(name="Joining Jo", company=company))
    clock.shift(timedelta(hours=3, minutes=15))
    hand(late)

    page = part(see(client), "answer")

    assert page.index("Early Eve") < page.index("Late Lea")
    assert "45 min left" in page
    assert '<p class="is-late"' in page
    assert "4 h left" in page
    assert "+20 Downloaded API docs" in page
    assert "Joining Jo" in page
    assert "of the same company" in page
    assert 'href="tel:+49 30 1"' in page


def test_past_the_deadline_it_says_by_how_much(client, rep, clock):
    hand(make_lead(owner=rep))
    clock.shift(timedelta(hours=5))

    assert "1 h over" in see(client)


def test_my_tasks_are_sorted_into_today_and_later_by_my_own_midnight(client, rep):
    rep.timezone = "America/Los_Angeles"  # 2:00 in the morning there
    rep.save()
    lead = make_lead()
    for title, due_at in [
        ("Yesterday", MONDAY - timedelta(days=1)),
        ("Tonight", MONDAY + timedelta(hours=21)),
        ("Tomorrow", MONDAY + timedelta(hours=23)),
        ("Some day", None),
        ("In a year", MONDAY + timedelta(days=300)),
    ]:
        Task.objects.create(lead=lead, owner=rep, title=title, due_at=due_at)
    Task.objects.create(lead=lead, owner=make_rep(), title="Not mine", due_at=MONDAY)

    page = see(client)

    assert "Yesterday" in part(page, "due")
    assert "overdue" in part(page, "due")
    assert "Tonight" in part(page, "due")
    assert "Tomorrow" in part(page, "coming")
    assert "Some day" in part(page, "coming")
    assert "In a year" not in page
    assert "Not mine" not in page


def test_what_was_accepted_is_in_my_hands_and_says_where_the_lead_went(client, rep):
    [task] = hand(make_lead(name="Ada", owner=rep))
    accept(task, by_user=rep)
    waiting = see(client)
    move_by_hand(fresh(task.lead), Stage.objects.get(key="mql"), by_user=rep)

    page = see(client)

    assert "accepted" in part(waiting, "hand")
    assert part(waiting, "answer") == ""
    assert "Marketing qualified" in part(page, "hand")


def test_a_move_back_by_undo_elsewhere_opens_a_rejected_task_again(rep, reasons):
    [task] = hand(make_lead(owner=rep))
    move = reject(task, by_user=rep, reason=reasons[0])

    undo_move(move, by_user=rep)

    assert (fresh(task).done_at, fresh(task).rejected_for) == (None, None)


def test_merged_leads_are_left_out(client, rep):
    [task] = hand(make_lead(owner=rep))
    Lead.objects.filter(pk=task.lead_id).update(merged_into=make_lead())

    assert part(see(client), "answer") == ""


def test_the_page_costs_the_same_with_few_and_with_many(client, rep, reasons):
    def fill(times):
        for n in range(times):
            company = make_company(owner=rep)
            hand(make_lead(company=company))
            hand(make_lead(company=company))
            Task.objects.create(lead=make_lead(), kind="handoff", title="Free", due_at=MONDAY + timedelta(hours=1))
            Task.objects.create(lead=make_lead(), owner=rep, title=f"Todo {n}", due_at=MONDAY + timedelta(days=n % 3))
            Task.objects.create(lead=make_lead(), owner=rep, title=f"Done {n}", done_at=MONDAY)

    def count():
        with CaptureQueriesContext(connection) as queries:
            see(client)
        return len(queries)

    fill(1)
    see(client)
    few = count()
    fill(20)

    assert count() == few
    assert few <= 15


def test_more_than_a_day_can_hold_is_cut_and_says_so(client, rep):
    lead = make_lead()
    Task.objects.bulk_create(Task(lead=lead, owner=rep, title=f"Todo {n}", due_at=MONDAY) for n in range(102))

    assert "more follow when they are done" in see(client)


def test_names_are_text(client, rep):
    hand(make_lead(name="<b>Bold</b>", owner=rep))

    assert "<b>Bold" not in see(client)


# --- accept ----------------------------------------------------------------------------------------
def test_accepting_stops_the_clock_and_is_a_fact(client, rep):
    [task] = hand(make_lead(name="Ada", owner=rep))

    answer = client.post(f"/tasks/{task.pk}/accept/", follow=True)

    task = fresh(task)
    assert (task.accepted_at, task.touched_at, task.done_at) == (MONDAY, MONDAY, None)
    assert b"Ada is yours. The clock has stopped." in answer.content
    assert b"LEAD_ACCEPTED" in bytes(Delivery.objects.get(door="internal").body)


def test_accepting_what_is_nobodys_makes_it_mine_with_all_its_people(rep):
    company = make_company()
    lead, joined = make_lead(company=company), make_lead(company=company)
    User.objects.filter(pk=rep.pk).update(away_until=MONDAY.date())
    hand(lead)
    [task] = hand(joined)

    accept(task, by_user=rep)

    assert fresh(task).owner == fresh(lead).owner == fresh(joined).owner == rep


def test_accepting_twice_is_once(rep, clock):
    [task] = hand(make_lead(owner=rep))

    accept(task, by_user=rep)
    clock.shift(timedelta(hours=1))
    accept(task, by_user=rep)

    assert fresh(task).accepted_at == MONDAY
    assert Delivery.objects.filter(door="internal").count() == 1


def test_htmx_gets_the_lists_and_the_word(client, rep):
    [task] = hand(make_lead(name="Ada", owner=rep))

    answer = client.post(f"/tasks/{task.pk}/accept/", headers={"HX-Request": "true"})

    page = answer.content.decode()
    assert "<html" not in page
    assert "Ada is yours" in answer.headers["HX-Trigger"]
    assert "Ada" in part(page, "hand")


@pytest.mark.parametrize("verb", ["accept", "claim", "reject", "done"])
def test_who_is_second_is_told_who_was_first(client, rep, verb):
    other = make_rep(first_name="Bob", last_name="Quick")
    [task] = hand(make_lead(name="Ada", owner=other))

    answer = client.post(f"/tasks/{task.pk}/{verb}/", follow=True)

    assert b"Bob Quick was quicker and has Ada now." in answer.content
    assert fresh(task).owner == other
    assert fresh(task).accepted_at is fresh(task).done_at is None


def test_what_was_closed_meanwhile_is_told(client, rep):
    [task] = hand(make_lead(name="Ada", owner=rep))
    finish(task, by_user=rep)

    answer = client.post(f"/tasks/{task.pk}/accept/", follow=True)

    assert b"Ada was dealt with by Rita Rep already." in answer.content


# --- claim -----------------------------------------------------------------------------------------
def test_claiming_takes_task_and_people_but_is_no_touch(client, rep):
    lead = make_lead(name="Ada", stage_id="sql")
    task = Task.objects.create(lead=lead, kind="handoff", title="Ready", due_at=MONDAY + timedelta(hours=4))

    before = see(client)
    client.post(f"/tasks/{task.pk}/claim/")
    after = see(client)

    assert "Ada" in part(before, "free")
    assert "Ada" in part(after, "answer")
    assert fresh(lead).owner == rep
    assert fresh(task).touched_at is None


# --- reject ----------------------------------------------------------------------------------------
def test_rejecting_sends_the_lead_back_with_the_reason(client, rep, reasons):
    [task] = hand(make_lead(name="Ada", owner=rep, stage_id="mql"))

    answer = client.post(f"/tasks/{task.pk}/reject/", {"reason": "too-early", "note": "In spring"}, follow=True)

    task, lead = fresh(task), fresh(task.lead)
    move = lead.transitions.latest("seq")
    assert (lead.stage_id, lead.owner, lead.former_owner) == ("cold", None, rep)
    assert (move.reason, move.note, move.actor) == (reasons[0], "In spring", rep)
    assert (task.rejected_for, task.done_at, task.touched_at) == (reasons[0], MONDAY, MONDAY)
    assert b"Ada went back to Cold." in answer.content


@pytest.mark.parametrize(("before", "after"), [("cold", "cold"), ("mql", "mql"), ("lost", "mql"), ("won", "mql")])
def test_a_reason_without_a_stage_sends_it_where_it_came_from_if_it_can_be_won_there(client, rep, reasons, before, after):
    [task] = hand(make_lead(name="Ada", owner=rep, stage_id=before))
    offered = part(see(client), "answer")

    client.post(f"/tasks/{task.pk}/reject/", {"reason": "not-a-fit", "stage": ""})

    assert fresh(task.lead).stage_id == after
    assert f'Not a fit <span class="meta reject-to">to {Stage.objects.get(key=after)}</span>' in offered


@pytest.mark.parametrize("stage", ["cold", "mql", "lost"])
def test_who_rejects_can_choose_where_the_lead_goes(client, rep, reasons, stage):
    [task] = hand(make_lead(name="Ada", owner=rep, stage_id="mql"))

    answer = client.post(f"/tasks/{task.pk}/reject/", {"reason": "too-early", "stage": stage}, follow=True)

    move = fresh(task.lead).transitions.latest("seq")
    assert (move.to_stage_id, move.reason, move.recycle_at) == (stage, reasons[0], MONDAY + timedelta(days=30))
    assert fresh(task).rejected_for == reasons[0]
    assert f"Ada went back to {move.to_stage}." in answer.content.decode()


@pytest.mark.parametrize("stage", ["sql", "won", "nowhere"])
def test_nobody_is_rejected_forwards(client, rep, reasons, stage):
    [task] = hand(make_lead(owner=rep))

    answer = client.post(f"/tasks/{task.pk}/reject/", {"reason": "too-early", "stage": stage})

    assert answer.status_code == 422
    assert b"an earlier stage, or to lost" in answer.content
    assert fresh(task).done_at is None


def test_a_reason_that_leads_forwards_does_not(rep, reasons):
    Reason.objects.filter(key="not-a-fit").update(recycle_to="won")
    [task] = hand(make_lead(owner=rep, stage_id="mql"))

    reject(task, by_user=rep, reason=fresh(reasons[1]))

    assert fresh(task.lead).stage_id == "mql"


# --- reject, from the lead's page and the board ------------------------------------------------------
def test_the_lead_page_and_the_board_reject_too(client, rep, reasons):
    [task] = hand(make_lead(name="Ada", owner=rep, stage_id="mql"))
    address = f"{task.lead.get_absolute_url()}reject/"
    page, board = client.get(task.lead.get_absolute_url()).content.decode(), client.get("/").content.decode()
    dialog = client.get(address, headers={"HX-Request": "true"}).content.decode()
    whole = client.get(address).content.decode()

    answer = client.post(address, {"reason": "not-a-fit", "stage": "lost", "note": "Student"}, headers={"HX-Request": "true"})

    assert f'href="{address}"' in page
    assert f'data-reject="{address}"' in board
    assert "<dialog" in dialog
    assert "<html" in whole
    assert 'Too early <span class="meta reject-to">to Cold</span>' in dialog
    assert 'Not a fit <span class="meta reject-to">to Marketing qualified</span>' in dialog
    assert answer.status_code == 204
    assert f"/tasks/{task.pk}/reopen/" in answer.headers["HX-Trigger"]
    assert {"lead-changed", "refresh-board", "close-dialog"} <= set(json.loads(answer.headers["HX-Trigger"]))
    assert (fresh(task.lead).stage_id, fresh(task).rejected_for) == ("lost", reasons[1])


def test_without_javascript_the_lead_page_rejects_and_takes_back(client, rep, reasons):
    [task] = hand(make_lead(name="Ada", owner=rep, stage_id="mql"))
    address = f"{task.lead.get_absolute_url()}reject/"

    wrong = client.post(address, {"reason": "no-such"})
    told = client.post(address, {"reason": "not-a-fit"}, follow=True).content.decode()
    client.post(f"/tasks/{task.pk}/reopen/", {"next": task.lead.get_absolute_url()})

    assert wrong.status_code == 422
    assert "Ada went back to Marketing qualified." in told
    assert f'action="/tasks/{task.pk}/reopen/"' in told
    assert fresh(task.lead).stage_id == "sql"


def test_who_joined_a_task_is_rejected_alone(client, rep, reasons):
    company = make_company(owner=rep)
    first, second = make_lead(name="Ada", company=company), make_lead(name="Jo", company=company, stage_id="mql")
    hand(first)
    [task] = hand(second)
    address = f"{second.get_absolute_url()}reject/"

    answer = client.post(address, {"reason": "not-a-fit"}, headers={"HX-Request": "true"})
    after = part(see(client), "answer")
    move = fresh(second).transitions.latest("seq")
    client.post(f"{second.get_absolute_url()}moves/{move.pk}/undo/")

    assert answer.status_code == 204
    assert (move.to_stage_id, move.reason) == ("mql", reasons[1])
    assert (fresh(task).done_at, fresh(task).touched_at, fresh(first).stage_id) == (None, None, "sql")
    assert "Jo" not in after
    assert (fresh(second).stage_id, fresh(second).owner) == ("sql", rep)
    assert "Jo" in part(see(client), "answer")


def test_a_colleagues_lead_is_theirs_to_reject(client, rep, reasons):
    other = make_rep(username="bob", first_name="Bob")
    lead = make_lead(name="Ada", owner=other)
    hand(lead)

    answer = client.post(f"{lead.get_absolute_url()}reject/", {"reason": "not-a-fit"}, follow=True)
    Task.objects.all().delete()
    alone = client.post(f"{lead.get_absolute_url()}reject/", {"reason": "not-a-fit"}, follow=True)

    assert b"Bob was quicker and has Ada now." in answer.content
    assert b"Bob has Ada now." in alone.content
    assert fresh(lead).stage_id == "sql"


def test_only_colleagues_reject_on_the_lead_page(client, reasons):
    make_rep()
    lead = make_lead()
    hand(lead)
    address = f"{lead.get_absolute_url()}reject/"

    nobody = client.post(address, {"reason": "not-a-fit"})
    client.force_login(User.objects.create_user("stranger"))

    assert nobody.url.startswith("/login/")
    assert client.get(address).status_code == 403
    assert fresh(lead).stage_id == "sql"


def test_a_reason_is_demanded_where_there_are_some(client, rep, reasons):
    [task] = hand(make_lead(owner=rep))

    without = client.post(f"/tasks/{task.pk}/reject/")
    strange = client.post(f"/tasks/{task.pk}/reject/", {"reason": "no-such"})

    assert without.status_code == strange.status_code == 422
    assert b"Choose why the lead goes back" in without.content
    assert b"no longer in use" in strange.content
    assert fresh(task).done_at is None


def test_without_any_reasons_none_is_asked(client, rep):
    [task] = hand(make_lead(owner=rep, stage_id="mql"))

    client.post(f"/tasks/{task.pk}/reject/")

    assert fresh(task.lead).stage_id == "mql"


def test_a_lead_that_moved_on_is_not_rejected(client, rep, reasons):
    [task] = hand(make_lead(name="Ada", owner=rep))
    move_by_hand(fresh(task.lead), Stage.objects.get(key="mql"), by_user=rep)

    answer = client.post(f"/tasks/{task.pk}/reject/", {"reason": "too-early"}, follow=True)

    assert b"Ada is in Marketing qualified now." in answer.content
    assert fresh(task.lead).stage_id == "mql"


def test_colleagues_of_a_rejected_lead_stay_with_sales(client, rep, reasons):
    company = make_company(owner=rep)
    first, second, third = (
        make_lead(name=name, company=company, stage_id="mql", engagement=n) for n, name in enumerate(["Ada", "Bea", "Cleo"])
    )
    hand(first)
    hand(second)
    [task] = hand(third)

    client.post(f"/tasks/{task.pk}/reject/", {"reason": "not-a-fit"})

    successor = Task.objects.get(done_at=None)
    assert fresh(first).stage_id == "mql"
    assert (successor.lead, successor.owner, successor.due_at) == (third, rep, task.due_at)
    assert list(successor.colleagues.all()) == [second]
    assert successor.touched_at is None
    assert "Cleo" in part(see(client), "answer")


def test_a_rejected_lead_that_warms_up_again_comes_back_to_who_knows_it(rep, reasons):
    make_rep()
    [task] = hand(make_lead(owner=rep))
    reject(task, by_user=rep, reason=reasons[1])

    [again] = hand(fresh(task.lead))

    assert again.owner == rep


# --- done, and back ---------------------------------------------------------------------------------
def test_done_with_one_click_and_back_with_another(client, rep, clock):
    lead = make_lead(owner=rep)
    [handoff] = hand(lead)
    todo = Task.objects.create(lead=lead, owner=rep, title="Send the offer", due_at=MONDAY)

    told = client.post(f"/tasks/{todo.pk}/done/", headers={"HX-Request": "true"}).headers["HX-Trigger"]
    done, touched = fresh(todo).done_at, fresh(handoff).touched_at
    clock.shift(timedelta(minutes=2))
    offered = part(see(client), "done")
    back = client.post(f"/tasks/{todo.pk}/reopen/", headers={"HX-Request": "true"})

    assert "Done: Send the offer." in told
    assert f"/tasks/{todo.pk}/reopen/" in told
    assert "today-changed" in back.headers["HX-Trigger"]
    assert done == touched == MONDAY
    assert "Send the offer" in offered
    assert fresh(todo).done_at is fresh(handoff).touched_at is None


def test_an_earlier_touch_survives_the_undo(rep, clock):
    lead = make_lead(owner=rep)
    [handoff] = hand(lead)
    accept(handoff, by_user=rep)
    clock.shift(timedelta(minutes=5))
    finish(handoff, by_user=rep)

    take_back(handoff, by_user=rep)

    assert (fresh(handoff).touched_at, fresh(handoff).done_at) == (MONDAY, None)


def test_a_rejected_lead_can_be_fetched_back(client, rep, reasons):
    company = make_company()
    first, second = make_lead(name="Ada", company=company, owner=rep), make_lead(company=company)
    hand(first)
    [task] = hand(second)
    client.post(f"/tasks/{task.pk}/reject/", {"reason": "not-a-fit"})

    client.post(f"/tasks/{task.pk}/reopen/")

    task, lead = fresh(task), fresh(first)
    assert (lead.stage_id, lead.owner) == ("sql", rep)
    assert (task.done_at, task.rejected_for, task.touched_at) == (None, None, None)
    assert list(Task.objects.filter(done_at=None)) == [task]
    assert "Ada" in part(see(client), "answer")


def test_after_ten_minutes_nothing_is_taken_back(client, rep, clock):
    todo = Task.objects.create(lead=make_lead(), owner=rep, title="Send the offer")
    finish(todo, by_user=rep)
    clock.shift(timedelta(minutes=11))

    answer = client.post(f"/tasks/{todo.pk}/reopen/", follow=True)

    assert b"for ten minutes" in answer.content
    assert "Send the offer" not in part(see(client), "done")
    assert fresh(todo).done_at == MONDAY


def test_others_answers_are_not_taken_back(rep):
    other = make_rep()
    todo = Task.objects.create(lead=make_lead(), owner=other, title="Send the offer")
    finish(todo, by_user=other)

    with pytest.raises(TooLate):
        take_back(todo, by_user=rep)


def test_a_rejected_lead_that_moved_on_stays_there(client, rep, reasons):
    [task] = hand(make_lead(name="Ada", owner=rep))
    reject(task, by_user=rep, reason=reasons[1])
    move_by_hand(fresh(task.lead), Stage.objects.get(key="won"), by_user=rep)

    answer = client.post(f"/tasks/{task.pk}/reopen/", follow=True)

    assert b"Ada was moved again meanwhile" in answer.content
    assert fresh(task).done_at == MONDAY


def test_a_handoff_that_came_again_is_not_doubled_by_undo(rep):
    lead = make_lead(owner=rep)
    [task] = hand(lead)
    finish(task, by_user=rep)
    make_transition(lead=lead, to="mql")
    hand(lead)

    with pytest.raises(TooLate):
        take_back(task, by_user=rep)


# --- ways back --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "led"),
    [("/companies/1/", "/companies/1/"), ("https://evil.example/", "/today/"), ("//evil.example", "/today/"), ("", "/today/")],
)
def test_a_button_on_another_page_leads_back_there_and_nowhere_else(client, rep, asked, led):
    todo = Task.objects.create(lead=make_lead(), owner=rep, title="Send the offer")

    assert client.post(f"/tasks/{todo.pk}/done/", {"next": asked}).url == led


def test_claiming_a_task_makes_nobody_elses_people_mine(rep):
    other = make_rep()
    lead = make_lead(owner=other)
    task = Task.objects.create(lead=lead, kind="campaign", title="Call")

    claim(task, by_user=rep)

    assert fresh(lead).owner == other


# --- what came of it before, and who is away ---------------------------------------------------------
def test_a_second_time_says_so(client, rep, reasons):
    [task] = hand(make_lead(name="Ada", owner=rep, stage_id="mql"))
    first = part(see(client), "answer")
    reject(task, by_user=rep, reason=reasons[1])
    hand(fresh(task.lead))

    page = part(see(client), "answer")

    assert "2nd time" not in first
    assert ">2nd time</span>" in page
    assert "Second time: last rejected by Rita Rep on 8 Jun, Not a fit" in page


def test_leads_of_who_is_away_can_be_claimed(client, rep):
    away = make_rep(first_name="Bob")
    company = make_company()
    lead, joined = make_lead(name="Ada", owner=away, company=company), make_lead(company=company)
    hand(lead)
    [task] = hand(joined)
    before = part(see(client), "free")
    User.objects.filter(pk=away.pk).update(away_until=MONDAY.date())

    page = part(see(client), "free")
    answer = client.post(f"/tasks/{task.pk}/claim/", follow=True)

    assert "Ada" not in before
    assert "Bob is away until 8 Jun" in page
    assert b"Ada is yours." in answer.content
    assert fresh(task).owner == fresh(lead).owner == fresh(joined).owner == rep
    assert fresh(lead).former_owner == away
    assert away.notifications.latest("pk").title == "Rita Rep has taken Ada over"


def test_what_an_absent_colleague_has_in_hand_stays_theirs(client, rep):
    away = make_rep(first_name="Bob")
    [task] = hand(make_lead(name="Ada", owner=away))
    accept(task, by_user=away)
    User.objects.filter(pk=away.pk).update(away_until=MONDAY.date())

    page = see(client)
    answer = client.post(f"/tasks/{task.pk}/claim/", follow=True)

    assert part(page, "free") == ""
    assert b"Bob was quicker" in answer.content


def test_who_becomes_absent_is_told_what_waits_and_so_is_the_team(client, rep):
    other, absent = make_rep(), make_rep(away_until=date(2026, 6, 30))
    hand(make_lead(owner=rep))
    profile = {"first_name": "Rita", "last_name": "Rep", "timezone": "", "theme": "system", "away_until": "2026-06-12"}

    told = client.post("/profile/", profile, follow=True).content.decode()
    client.post("/profile/", profile)

    assert "The team knows that you are away and can claim 1 lead nobody has called yet." in told
    assert "You are away until 12 Jun" in see(client)
    titles = list(other.notifications.values_list("title", flat=True))
    assert titles == ["Rita Rep is away until 12 Jun: 1 lead waits for somebody"]
    assert not absent.notifications.exists()


@pytest.fixture
def bob(rep):
    """A colleague who has two leads to call, and the admin who is logged in."""
    bob = make_rep(username="bob", first_name="Bob")
    hand(make_lead(owner=bob), make_lead(owner=bob))
    return bob


def edit_in_admin(client, user, **changes):
    """Save somebody's page in the admin, with `changes` made by a superuser."""
    client.force_login(User.objects.get_or_create(username="ada", is_superuser=True, is_staff=True)[0])
    groups = list(user.groups.values_list("pk", flat=True))
    joined = {"date_joined_0": "2026-06-01", "date_joined_1": "08:00:00"}
    fields = {"username": user.username, "first_name": user.first_name, "is_active": "on", "theme": "system", "groups": groups, **joined}
    return client.post(reverse("admin:leads_user_change", args=[user.pk]), fields | changes, follow=True)


@pytest.mark.parametrize(
    ("changes", "away"),
    [
        ({"away_until": "2026-06-12"}, "Bob is away until 12 Jun: 2 leads wait for somebody"),
        ({"is_active": ""}, "Bob is away: 2 leads wait for somebody"),
    ],
)
def test_an_absence_entered_in_the_admin_is_told_too(client, rep, bob, changes, away):
    answer = edit_in_admin(client, bob, **changes).content.decode()
    edit_in_admin(client, bob, **changes)

    assert "The team knows that Bob is away and can claim 2 leads nobody has called yet." in answer
    assert list(rep.notifications.values_list("title", flat=True)) == [away]
    assert not bob.notifications.filter(title=away).exists()


def test_who_is_renamed_in_the_admin_while_away_bothers_nobody(client, rep, bob):
    User.objects.filter(pk=bob.pk).update(away_until=date(2026, 6, 12))

    edit_in_admin(client, bob, first_name="Robert", away_until="2026-06-12")

    assert str(fresh(bob)) == "Robert"
    assert not rep.notifications.exists()


def test_who_is_away_with_nothing_waiting_bothers_nobody(client, rep):
    other = make_rep()

    client.post("/profile/", {"first_name": "Rita", "timezone": "", "theme": "system", "away_until": "2026-06-12"})

    assert fresh(rep).away_until == date(2026, 6, 12)
    assert not other.notifications.exists()
