"""A lead's page: facts edited in place, what is missing, why the score, one timeline, and everything that can be done there."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.models import Enrollment
from leads.intake import record_now
from leads.models import (
    Activity,
    Company,
    Consent,
    ContactPoint,
    Event,
    Identity,
    Lead,
    Notification,
    Reason,
    ScoreEntry,
    Stage,
    Task,
    Topic,
    User,
)
from leads.sentences import why_points, why_words
from tests.factories import (
    make_campaign,
    make_company,
    make_consent,
    make_enrollment,
    make_entry,
    make_event,
    make_lead,
    make_message,
    make_rep,
    make_source,
    make_step,
    make_transition,
    make_version,
)

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
MODEL = {
    "scoring": {
        "rules": [
            {"key": "signed-up", "name": "Signed up", "event": "SIGNED_UP", "points": 10, "limit": {"times": 1, "per": "day"}},
            {"key": "left", "name": "Unsubscribed", "event": "UNSUBSCRIBED", "points": -15},
        ],
        "fit": [
            {"key": "cto", "name": "Technical leader", "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}], "points": 15},
            {"key": "team", "name": "Large team", "when": [{"field": "company.employees", "op": "gte", "value": 50}], "points": 5},
        ],
    },
    "gates": [
        {
            "key": "hot",
            "name": "Ready for sales",
            "from": ["cold", "mql"],
            "to": "sql",
            "match": "any",
            "conditions": [
                {"score": {"at_least": 80}},
                {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"},
            ],
        }
    ],
}


@pytest.fixture
def model():
    return make_version(**MODEL)


@pytest.fixture
def lead(rep):
    return make_lead(name="Ada Lovelace", email="ada@acme.example", owner=rep)


def page_of(client, lead, query=""):
    answer = client.get(f"{lead.get_absolute_url()}{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def edit(client, lead, fact, **data):
    return client.post(f"/leads/{lead.uid}/facts/{fact}/", data or {fact: ""})


@pytest.mark.parametrize(("age", "said"), [(0, "just now"), (59, "just now"), (120, "for 2 min"), (86_400 * 4, "for 4 d")])
def test_the_stage_says_how_long_it_is_the_lead_s(client, lead, age, said):
    Lead.objects.filter(pk=lead.pk).update(stage_since=timezone.now() - timedelta(seconds=age))

    found = re.search(r'<span class="meta fw-normal">(.*?)</span>', page_of(client, lead))[1]

    assert re.sub(r"<[^>]+>", "", found) == said


# --- facts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "value"), [("name", "Ada King"), ("phone", "+49 30 1234"), ("title", "CTO & founder"), ("timezone", "Europe/Berlin")]
)
def test_a_fact_is_edited_and_told_in_the_timeline(client, lead, fact, value):
    answer = edit(client, lead, fact, **{fact: value})

    lead.refresh_from_db()
    event = lead.events.get(type="LEAD_EDITED")
    assert (answer.status_code, answer.url) == (302, lead.get_absolute_url())
    assert getattr(lead, fact) == value
    assert event.traits == {fact: value}
    assert "Rita Rep changed" in page_of(client, lead)


def test_an_edited_title_changes_the_fit_at_once(client, lead, model):
    edit(client, lead, "title", title="CTO")

    lead.refresh_from_db()
    page = page_of(client, lead)
    assert (lead.fit, lead.score) == (15, 15)
    assert "Technical leader" in page
    assert ">15</a>" in page


def test_a_fact_can_be_forgotten_again(client, lead, model):
    edit(client, lead, "title", title="CTO")

    edit(client, lead, "title", title="")

    lead.refresh_from_db()
    assert (lead.title, lead.fit) == ("", 0)


def test_saving_the_same_again_is_no_event(client, lead):
    edit(client, lead, "name", name="Ada Lovelace")

    assert not Event.objects.exists()


def test_an_edit_is_not_something_the_lead_did(client, lead):
    edit(client, lead, "title", title="CTO")

    lead.refresh_from_db()
    assert (lead.last_event_type, lead.last_event_at) == ("", None)


def test_a_new_address_becomes_one_more_key(client, lead):
    edit(client, lead, "email", email=" Ada@New.Example ")

    lead.refresh_from_db()
    assert lead.email == "ada@new.example"
    assert set(lead.identities.values_list("value", flat=True)) == {"ada@acme.example", "ada@new.example"}


def test_the_address_of_another_lead_is_refused_with_the_way_there(client, lead):
    other = make_lead(name="Bob", email="bob@acme.example")

    answer = edit(client, lead, "email", email="BOB@acme.example")

    lead.refresh_from_db()
    assert (answer.status_code, lead.email) == (422, "ada@acme.example")
    assert other.get_absolute_url() in answer.content.decode()


@pytest.mark.parametrize("wrong", ["", "ada", "ada@nowhere", "a b@c.de"])
def test_a_wrong_address_is_refused_beside_the_field(client, lead, wrong):
    answer = edit(client, lead, "email", email=wrong)

    lead.refresh_from_db()
    assert answer.status_code == 422
    assert 'id="id_email_error"' in answer.content.decode()
    assert lead.email == "ada@acme.example"


def test_an_unknown_zone_is_refused(client, lead):
    answer = edit(client, lead, "timezone", timezone="Mars/Olympus")

    assert answer.status_code == 422
    assert b"is not a time zone" in answer.content


def test_a_visitor_who_is_given_an_address_is_known(client, rep):
    visitor = make_lead(email="")

    edit(client, visitor, "email", email="eve@new.example")

    visitor.refresh_from_db()
    assert visitor.is_known


def test_a_company_is_chosen_by_domain_and_its_facts_count(client, lead, model):
    company = make_company(name="Big", domain="big.example", traits={"employees": 200})

    edit(client, lead, "company", company="big.example")

    lead.refresh_from_db()
    assert (lead.company, lead.fit) == (company, 5)
    company.refresh_from_db()
    assert company.traits == {"employees": 200}


def test_another_company_takes_the_points_of_the_first_one_away(client, lead, model):
    make_company(name="Big", domain="big.example", traits={"employees": 200})
    small = make_company(name="Small", domain="small.example", traits={})
    edit(client, lead, "company", company="big.example")

    edit(client, lead, "company", company="small")

    lead.refresh_from_db()
    small.refresh_from_db()
    assert (lead.company, lead.fit, small.traits) == (small, 0, {})


def test_a_company_nobody_knows_is_made_and_can_be_taken_away(client, lead):
    edit(client, lead, "company", company="Brand new GmbH")
    lead.refresh_from_db()
    made = lead.company

    edit(client, lead, "company", company="")

    lead.refresh_from_db()
    assert made == Company.objects.get(name="Brand new GmbH")
    assert lead.company is None


def test_the_value_is_the_company_s_or_the_lead_s_own(client, lead):
    edit(client, lead, "value", value="1200.50", currency="usd")
    lead.refresh_from_db()
    own = (str(lead.value), lead.currency)
    lead.company = make_company()
    lead.save()

    edit(client, lead, "value", value="90000", currency="EUR")

    lead.company.refresh_from_db()
    assert own == ("1200.50", "USD")
    assert (str(lead.company.value), lead.company.currency) == ("90000.00", "EUR")
    assert "90,000 EUR" in page_of(client, lead)


@pytest.mark.parametrize("data", [{"value": "-1", "currency": "EUR"}, {"value": "ten", "currency": "EUR"}, {"value": "10", "currency": ""}])
def test_a_wrong_value_is_refused(client, lead, data):
    assert edit(client, lead, "value", **data).status_code == 422


def test_a_new_owner_gets_lead_handoff_and_news(client, lead, rep):
    colleague = make_rep(username="bob")
    task = Task.objects.create(lead=lead, kind="handoff", title="Ready", owner=rep)

    edit(client, lead, "owner", owner=colleague.pk)

    lead.refresh_from_db()
    task.refresh_from_db()
    assert (lead.owner, lead.former_owner, task.owner) == (colleague, rep, colleague)
    assert Notification.objects.get(user=colleague).title == "Ada Lovelace is yours now"


def test_one_takes_a_lead_with_one_click_and_nobody_is_told(client, rep):
    lead = make_lead()

    client.post(f"/leads/{lead.uid}/mine/")

    lead.refresh_from_db()
    assert lead.owner == rep
    assert not Notification.objects.exists()


def test_a_marketer_is_no_owner_to_choose(client, lead):
    assert edit(client, lead, "owner", owner=User.objects.create_user("mia").pk).status_code == 422


def test_in_place_the_row_comes_back_and_the_rest_is_told(client, lead):
    form = client.get(f"/leads/{lead.uid}/facts/phone/?edit", **HTMX).content.decode()
    answer = client.post(f"/leads/{lead.uid}/facts/phone/", {"phone": "030 99"}, **HTMX)

    page = answer.content.decode()
    assert 'name="phone"' in form
    assert "<html" not in form + page
    assert 'id="fact-phone"' in page
    assert "030 99" in page
    assert "Saved" in page
    assert "lead-changed" in answer.headers["HX-Trigger-After-Swap"]


def test_without_javascript_the_form_stands_in_the_page(client, lead):
    page = page_of(client, lead, "?edit=phone")

    assert 'name="phone"' in page
    assert f'action="/leads/{lead.uid}/facts/phone/"' in page


def test_companies_are_proposed_while_one_types(client, rep):
    make_company(name="Acme", domain="acme.example")

    page = client.get("/companies/options/?company=ac").content.decode()

    assert 'value="acme.example"' in page
    assert client.get("/companies/options/?company=").content.strip() == b""


@pytest.mark.parametrize("address", ["facts/shoe-size/", "part/nothing/"])
def test_what_a_lead_does_not_have_is_not_found(client, lead, address):
    assert client.get(f"/leads/{lead.uid}/{address}").status_code == 404


# --- stages ---------------------------------------------------------------------------------------


def test_what_is_missing_is_a_checklist_with_current_values(client, model, rep):
    (event,) = record_now([{"type": "VIEWED_PRICING", "email": "ada@acme.example"}])

    page = page_of(client, event.lead)

    assert "What is missing for" in page
    assert "Score at least 80" in page
    assert "“Viewed pricing” at least 3 times within 7 days" in page
    assert "1 of 3 in 7 days" in page
    assert "any one is enough" in page


def test_after_a_move_back_it_says_since_when_and_by_whom(client, model, rep):
    (event,) = record_now([{"type": "SIGNED_UP", "email": "ada@acme.example"}])
    address = f"/leads/{event.lead.uid}/move/"
    client.post(address, {"stage": "sql"})

    client.post(address, {"stage": "mql"})

    page = page_of(client, event.lead)
    assert "Held since moved back by Rita Rep" in page
    assert "0 of 20 new points" in page


def test_a_visitor_learns_why_no_stage_is_ahead(client, rep, model):
    assert "A visitor stays here until they log in" in page_of(client, make_lead(email=""))


def test_the_move_is_asked_in_a_window_and_can_be_undone(client, lead):
    asked = client.get(f"/leads/{lead.uid}/move/?stage=sql", **HTMX).content.decode()
    moved = client.post(f"/leads/{lead.uid}/move/", {"stage": "sql", "seq": 0}, **HTMX)
    move = lead.transitions.get()

    undone = client.post(f"/leads/{lead.uid}/moves/{move.pk}/undo/", **HTMX)

    lead.refresh_from_db()
    assert "<dialog" in asked
    assert 'value="sql" selected' in asked
    assert moved.status_code == 204
    assert f"/moves/{move.pk}/undo/" in moved.headers["HX-Trigger"]
    assert "is back in" in undone.headers["HX-Trigger"]
    assert lead.stage_id == "cold"


def test_who_is_late_with_a_move_is_told_who_was_quicker(client, lead):
    make_transition(lead=lead, to="mql", actor=make_rep(username="bob", first_name="Bob"))

    answer = client.post(f"/leads/{lead.uid}/move/", {"stage": "sql", "seq": 0}, **HTMX)

    lead.refresh_from_db()
    assert "Not moved: Bob moved" in answer.headers["HX-Trigger"]
    assert lead.stage_id == "mql"


def test_without_javascript_a_move_is_a_page_and_undo_a_button(client, lead):
    asked = client.get(f"/leads/{lead.uid}/move/").content.decode()

    told = client.post(f"/leads/{lead.uid}/move/", {"stage": "sql"}, follow=True).content.decode()

    assert "<h1" in asked
    assert f"/moves/{lead.transitions.get().pk}/undo/" in told


def test_losing_a_lead_asks_for_the_reason_in_the_window(client, lead):
    Reason.objects.create(key="no-budget", name="No budget", asked_for="lost")

    answer = client.post(f"/leads/{lead.uid}/move/", {"stage": "lost"}, **HTMX)

    assert answer.status_code == 422
    assert b"Choose a reason" in answer.content
    assert b"<dialog" in answer.content


# --- why the score --------------------------------------------------------------------------------


def test_every_line_is_told_with_its_reason_and_the_total_is_the_badge(client, rep, model):
    now = timezone.now()
    stamps = [(now - timedelta(minutes=n)).isoformat() for n in (3, 2, 1)]
    messages = [
        {"type": kind, "email": "ada@acme.example", "timestamp": stamp}
        for kind, stamp in zip(["SIGNED_UP", "SIGNED_UP", "UNSUBSCRIBED"], stamps, strict=True)
    ]
    lead = record_now(messages)[-1].lead

    page = page_of(client, lead)

    lead.refresh_from_db()
    assert lead.score == -5
    assert "counts once a day, else +10" in page
    assert "−15" in page
    assert '<div class="rule-total"><span class="points">-5</span>' in page


def test_a_rule_opens_to_its_newest_lines_and_asks_for_the_older_ones(client, lead, model):
    for n in range(70):
        make_entry(lead=lead, points=1, version=model, rule="signed-up", at=timezone.now() - timedelta(hours=n))

    page = page_of(client, lead)
    first = client.get(f"/leads/{lead.uid}/ledger/?axis=engagement&rule=signed-up&after=10", **HTMX).content.decode()
    last = client.get(f"/leads/{lead.uid}/ledger/?axis=engagement&rule=signed-up&after=60", **HTMX).content.decode()

    assert page.count('<li class="rule-line">') == 10
    assert "60 older lines count too" in page
    assert first.count('<li class="rule-line">') == 50
    assert "after=60" in first
    assert last.count('<li class="rule-line">') == 10
    assert "Older lines" not in last


def test_the_course_of_the_score_ends_at_the_score(client, lead, model):
    make_entry(lead=lead, points=20, version=model, at=timezone.now() - timedelta(days=40))
    make_entry(lead=lead, points=45, version=model, at=timezone.now() - timedelta(days=5))

    assert "Up 45 in 30 days" in page_of(client, lead)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("limit: 1 per day", "counts once a day"),
        ("limit: 3 in 7 days", "counts 3 times in 7 days"),
        ("limit: 2 ever", "counts 2 times at all"),
        ("limit: 1 per half-year", "counts once a half-year"),
        ("stops above 300", "nothing is added above 300 points"),
        ("at most 40", "counts at most 40 points in all"),
        ("not below 0", "never takes the points below 0"),
        ("excluded", "excluded from scoring"),
        ("something else", "something else"),
    ],
)
def test_limits_are_told_in_words(reason, words):
    assert why_points(reason) == words


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no_consent", "no consent to this topic"),
        ("window, not_after", "waits for the sending hours, too late to be of use"),
        ("stopped by Rita Rep", "stopped by Rita Rep"),
        ("when: EMAIL_CLICKED (0/1)", "only if “Email clicked” (0/1)"),
    ],
)
def test_receipts_are_told_in_words(reason, words):
    assert why_words(reason) == words


# --- the timeline ---------------------------------------------------------------------------------


def test_one_timeline_holds_all_kinds_by_day(client, lead, rep):
    at = timezone.now() - timedelta(days=1)
    make_event(lead=lead, type="PAGE_VIEWED", properties={"path": "/pricing"}, at=at)
    make_transition(lead=lead, to="mql", actor=rep, note="Met at the fair", at=at)
    make_message(run=make_enrollment(campaign=make_campaign(name="API deep dive"), lead=lead), state="sent", subject="Hello", ended_at=at)
    Activity.objects.create(lead=lead, kind="call", outcome="reached", text="Wants a demo", by_user=rep, at=at)
    Task.objects.create(lead=lead, title="Send the deck", owner=rep, done_at=at)

    page = page_of(client, lead)

    assert "Yesterday" in page
    for words in (
        "Opened pricing",
        "Moved from",
        "Met at the fair",
        "Sent: “Hello”",
        "Rita Rep called",
        "Wants a demo",
        "Task done: Send the deck",
    ):
        assert words in page


def test_what_was_done_again_is_counted(client, lead):
    for n in range(3):
        make_event(lead=lead, type="PAGE_VIEWED", properties={"path": "/pricing"}, at=timezone.now() - timedelta(days=n))
    make_event(lead=lead, type="PAGE_VIEWED", properties={"path": "/docs"})

    page = page_of(client, lead)

    assert "Opened pricing, third time this week" in page
    assert page.count("Opened pricing, ") == 1
    assert "Opened docs, " not in page


def test_the_future_stands_on_top_with_what_holds_it(client, lead, rep):
    steps = [make_step("first"), make_step("second", after="2d"), {"key": "tell", "after": "1d", "notify": {"text": "Call them"}}]
    campaign = make_campaign(name="API deep dive", steps=steps)
    due = timezone.now() + timedelta(hours=5)
    make_enrollment(campaign=campaign, lead=lead, due_at=due)
    held = make_enrollment(campaign=make_campaign(name="Cart"), lead=lead, due_at=None)
    make_message(run=held, due_at=due, reason="in_conversation")
    Task.objects.create(lead=lead, title="Send the deck", owner=rep, due_at=due)

    page = page_of(client, lead)

    ahead = page.split("Still to come")[1].split("</ol>")[0]
    assert "waits, sales is talking with them" in ahead
    assert ahead.index("Tell the owner: Call them") < ahead.index("Mail: “About second”") < ahead.index("Mail: “About first”")
    assert "Send the deck" in ahead


def test_the_timeline_shows_one_kind_when_asked(client, lead, rep):
    make_event(lead=lead, type="SIGNED_UP")
    Activity.objects.create(lead=lead, text="Likes tea", by_user=rep)

    page = page_of(client, lead, "?show=notes")

    assert "Likes tea" in page
    assert "Signed up" not in page


def things_of(page):
    """The events THING_… of a timeline, in order."""
    return re.findall(r"<a class=\"entry-link\"[^>]*>(Thing[^<]*)</a>", page)


def test_older_pages_follow_without_gap_or_repetition(client, lead, rep):
    at = timezone.now() - timedelta(hours=1)
    for n in range(60):
        make_event(lead=lead, type=f"THING_{n:02}", at=at - timedelta(minutes=n // 3))
        Activity.objects.create(lead=lead, text=f"note {n:02}.", by_user=rep, at=at - timedelta(minutes=n // 3))

    seen, address = [], f"{lead.get_absolute_url()}?"
    while address:
        page = client.get(address).content.decode()
        seen += things_of(page)
        seen += [line.split("<", 1)[0] for line in page.split('<p class="entry-body">')[1:]]
        older = page.split('class="more"><a class="btn btn-quiet" href="')[1:]
        address = older[0].split("#")[0].replace("&amp;", "&") if older else ""

    assert len(seen) == len(set(seen)) == 120


def test_what_is_fetched_anew_reaches_down_to_the_older_pages(client, lead, rep):
    at = timezone.now() - timedelta(hours=1)
    for n in range(60):
        make_event(lead=lead, type=f"THING_{n:02}", at=at - timedelta(minutes=n // 3))
    page = page_of(client, lead)
    anew = page.split('id="newest" hx-get="')[1].split('"')[0].replace("&amp;", "&")
    Activity.objects.create(lead=lead, text="Likes tea", by_user=rep)

    part = client.get(anew, headers={"HX-Request": "true"}).content.decode()

    shown = things_of(part)
    assert "Likes tea" in part
    assert shown == things_of(page)
    assert len(shown) == 40
    assert 'class="more"' not in part
    assert anew.split("down_to=")[1] in part


def test_a_broken_place_in_the_address_is_the_beginning(client, lead):
    make_event(lead=lead, type="SIGNED_UP")

    assert "Signed up" in page_of(client, lead, "?before=nonsense&show=nothing")


# --- writing down ---------------------------------------------------------------------------------


def test_a_note_is_kept(client, lead, rep):
    answer = client.post(f"/leads/{lead.uid}/write/note/", {"note-text": "Likes tea"}, follow=True)

    lead.refresh_from_db()
    assert lead.activities.get().by_user == rep
    assert "Likes tea" in answer.content.decode()
    assert lead.conversation_until is None


def test_a_call_keeps_marketing_quiet_and_stops_the_clock(client, lead, rep):
    task = Task.objects.create(lead=lead, kind="handoff", title="Ready", owner=rep)

    client.post(f"/leads/{lead.uid}/write/talk/", {"talk-kind": "call", "talk-outcome": "reached", "talk-text": "Wants a demo"})

    lead.refresh_from_db()
    task.refresh_from_db()
    assert timedelta(days=6, hours=23) < lead.conversation_until - timezone.now() <= timedelta(days=7)
    assert task.touched_at is not None
    assert lead.activities.get().outcome == "reached"


def test_an_old_call_does_not_shorten_the_conversation(client, lead):
    lead.conversation_until = until = timezone.now() + timedelta(days=5)
    lead.save()

    client.post(f"/leads/{lead.uid}/write/talk/", {"talk-kind": "meeting", "talk-at": "2020-01-01T10:00"})

    lead.refresh_from_db()
    assert lead.conversation_until == until
    assert lead.activities.get().at == datetime(2020, 1, 1, 10, tzinfo=UTC)


def test_a_call_in_the_future_is_a_task(client, lead):
    answer = client.post(f"/leads/{lead.uid}/write/talk/", {"talk-kind": "call", "talk-at": "2099-01-01T10:00"})

    assert answer.status_code == 422
    assert b"Plan it as a task" in answer.content
    assert not Activity.objects.exists()


def test_a_task_is_given_and_told_and_done(client, lead, rep):
    colleague = make_rep(username="bob")
    client.post(
        f"/leads/{lead.uid}/write/task/", {"task-title": "Send the deck", "task-owner": colleague.pk, "task-due_at": "2099-01-01T10:00"}
    )
    given = lead.tasks.get()
    client.force_login(colleague)

    client.post(f"/leads/{lead.uid}/tasks/{given.pk}/done/")

    given.refresh_from_db()
    assert (given.owner, given.title) == (colleague, "Send the deck")
    assert Notification.objects.get(user=colleague).title == "Send the deck"
    assert given.done_at is not None


def test_a_task_of_a_colleague_is_theirs_to_finish(client, lead):
    task = Task.objects.create(lead=lead, title="Send the deck", owner=make_rep(username="bob"))

    client.post(f"/leads/{lead.uid}/tasks/{task.pk}/done/")

    task.refresh_from_db()
    assert task.done_at is None


@pytest.mark.parametrize(("kind", "data"), [("note", {"note-text": " "}), ("task", {"task-title": ""}), ("talk", {"talk-kind": "fax"})])
def test_an_empty_form_says_what_it_needs(client, lead, kind, data):
    answer = client.post(f"/leads/{lead.uid}/write/{kind}/", data, **HTMX)

    assert answer.status_code == 422
    assert b"errorlist" in answer.content


# --- consent --------------------------------------------------------------------------------------


def test_consent_is_noted_by_hand_with_its_proof(client, lead):
    topic = Topic.objects.create(key="news", name="News")

    client.post(
        f"/leads/{lead.uid}/consent/", {"consent-topic": "news", "consent-status": "granted", "consent-proof": "On the phone today"}
    )

    said = Consent.objects.get()
    assert (said.topic, said.status, said.source) == (topic, "granted", "by hand")
    assert said.proof == "On the phone today (noted by Rita Rep)"
    assert "On the phone today" in page_of(client, lead)


@pytest.mark.parametrize(
    "data",
    [
        {"consent-topic": "news", "consent-status": "granted", "consent-proof": " "},
        {"consent-topic": "", "consent-status": "granted", "consent-proof": "He said yes to all"},
        {"consent-topic": "gone", "consent-status": "denied", "consent-proof": "x"},
    ],
)
def test_consent_without_proof_or_topic_is_refused(client, lead, data):
    Topic.objects.create(key="news", name="News")

    answer = client.post(f"/leads/{lead.uid}/consent/", data)

    assert answer.status_code == 422
    assert not Consent.objects.exists()


def test_a_no_to_all_marketing_stands_beside_every_topic(client, lead):
    make_consent(email=lead.email, topic="newsletter", at=timezone.now() - timedelta(days=2))
    make_consent(email=lead.email, topic=None, status="denied")

    assert "no to all marketing" in page_of(client, lead)


def test_a_suppressed_address_is_said_to_be(client, lead):
    make_consent(email=lead.email)
    ContactPoint.objects.update(suppressed="hard_bounce")

    assert "never mailed: hard bounce" in page_of(client, lead)


# --- campaigns ------------------------------------------------------------------------------------


def test_a_campaign_is_started_stopped_and_seen(client, lead):
    campaign = make_campaign(name="API deep dive")
    address = f"/leads/{lead.uid}/campaigns/"
    started = client.post(address, {"campaign": campaign.key}, **HTMX)
    run = lead.enrollments.get()

    stopped = client.post(f"{address}{run.pk}/stop/", **HTMX)

    run.refresh_from_db()
    assert "API deep dive started" in started.headers["HX-Trigger"]
    assert b"step 1 of 1" in started.content
    assert run.reason == "stopped by Rita Rep"
    assert "stopped" in stopped.headers["HX-Trigger"]


def test_a_refused_start_says_why(client, lead):
    campaign = make_campaign(name="API deep dive")
    address = f"/leads/{lead.uid}/campaigns/"
    client.post(address, {"campaign": campaign.key})

    answer = client.post(address, {"campaign": campaign.key}, follow=True)

    assert "API deep dive not started: was in it before." in answer.content.decode()


def test_a_paused_campaign_can_not_be_started(client, lead):
    campaign = make_campaign(status="paused")

    answer = client.post(f"/leads/{lead.uid}/campaigns/", {"campaign": campaign.key}, **HTMX)

    assert answer.status_code == 422
    assert not Enrollment.objects.exists()


def test_a_skipped_step_cancels_its_mail_and_the_next_one_counts_from_now(client, lead):
    run = make_enrollment(campaign=make_campaign(steps=[make_step("one"), make_step("two", after="2d")]), lead=lead, due_at=None)
    message = make_message(run=run, step="one")

    client.post(f"/leads/{lead.uid}/campaigns/{run.pk}/skip/", {"step": "one"})
    client.post(f"/leads/{lead.uid}/campaigns/{run.pk}/skip/", {"step": "one"})  # a second click

    run.refresh_from_db()
    message.refresh_from_db()
    assert (message.state, message.reason) == ("canceled", "skipped by Rita Rep")
    assert run.next_step == "two"
    assert timedelta(days=1, hours=23) < run.due_at - timezone.now() <= timedelta(days=2)
    assert [line["what"] for line in run.log] == ["skipped"]


def test_a_mail_that_is_being_sent_is_not_skipped(client, lead):
    run = make_enrollment(campaign=make_campaign(), lead=lead, due_at=None)
    make_message(run=run, state="sending", claim_token="00000000-0000-0000-0000-000000000001")

    answer = client.post(f"/leads/{lead.uid}/campaigns/{run.pk}/skip/", {"step": "welcome"}, follow=True)

    run.refresh_from_db()
    assert run.state == "active"
    assert "being sent right now" in answer.content.decode()


def test_without_javascript_the_campaigns_are_a_page(client, lead):
    make_enrollment(campaign=make_campaign(name="API deep dive"), lead=lead, state="refused", reason="too_old")

    page = client.get(f"/leads/{lead.uid}/campaigns/").content.decode()

    assert "<h1" in page
    assert "Not entered: what started it is too long ago" in page


def test_entries_refused_for_the_same_reason_are_one_line(client, lead):
    campaign = make_campaign(name="API deep dive")
    for _ in range(5):
        make_enrollment(campaign=campaign, lead=lead, state="refused", reason="too_old")
    make_enrollment(campaign=campaign, lead=lead)

    page = client.get(f"/leads/{lead.uid}/campaigns/", **HTMX).content.decode()

    assert page.count('class="run"') == 2
    assert "Not entered 5×: what started it is too long ago" in page
    assert page.index("Running") < page.index("Not entered")


# --- new and gone ---------------------------------------------------------------------------------


def test_a_lead_is_entered_by_hand(client, rep):
    answer = client.post("/leads/new/", {"email": "Eve@Acme.example", "name": "Eve", "company": "Acme", "title": "CTO", "is_mine": "on"})

    lead = Lead.objects.get()
    assert answer.url == lead.get_absolute_url()
    assert (lead.email, lead.name, lead.title, lead.owner, lead.company.name) == ("eve@acme.example", "Eve", "CTO", rep, "Acme")
    assert lead.is_known
    assert "Rita Rep entered this lead by hand" in page_of(client, lead)


def test_nobody_is_entered_twice(client, lead):
    answer = client.post("/leads/new/", {"email": "ada@acme.example"})

    assert answer.status_code == 422
    assert lead.get_absolute_url() in answer.content.decode()
    assert Lead.objects.count() == 1


def test_forgetting_is_confirmed_by_typing_the_address(client, lead):
    make_event(lead=lead)
    address = f"/leads/{lead.uid}/forget/"
    asked = client.get(address).content.decode()
    wrong = client.post(address, {"email": "bob@acme.example"})
    still = Lead.objects.count()

    right = client.post(address, {"email": "ADA@acme.example"})

    assert "no way back" in asked
    assert (wrong.status_code, still) == (422, 1)
    assert right.url == "/"
    assert not Lead.objects.exists()
    assert not Identity.objects.exists()
    assert ContactPoint.objects.get().suppressed == "erased"


@pytest.mark.parametrize(("who", "status"), [("nobody", 302), ("another rep", 403), ("marketer", 403), ("owner", 200), ("admin", 200)])
def test_forgetting_is_for_admins_and_the_owner(client, who, status):
    owner = make_rep()
    lead = make_lead(owner=owner)
    users = {"another rep": make_rep, "marketer": lambda: member("Marketing"), "owner": lambda: owner, "admin": lambda: member("Admin")}
    if who in users:
        client.force_login(users[who]())

    assert client.get(f"/leads/{lead.uid}/forget/").status_code == status


def member(group):
    user = User.objects.create_user(group.lower())
    user.groups.add(Group.objects.get(name=group))
    return user


# --- the page as a whole --------------------------------------------------------------------------


def count_queries(client, address):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def fill(lead, rep, model, times):
    """A history of all kinds."""
    now = timezone.now()
    source, _ = make_source()
    events = Event.objects.bulk_create(
        Event(
            lead=lead,
            first_lead=lead,
            source=source,
            message_id=f"{lead.pk}-{n}",
            type="SIGNED_UP",
            content_digest="0" * 32,
            at=now - timedelta(minutes=n),
        )
        for n in range(times)
    )
    ScoreEntry.objects.bulk_create(
        ScoreEntry(
            lead=lead,
            first_lead=lead,
            axis="engagement",
            kind="points",
            cause=event.cause,
            rule=f"rule-{n % 7}",
            raw=1,
            points=1,
            version=model,
            event=event,
            at=event.at,
        )
        for n, event in enumerate(events)
    )
    Lead.objects.filter(pk=lead.pk).update(engagement=times)
    for n in range(1 + times // 100):
        at = now - timedelta(hours=n)
        Activity.objects.create(lead=lead, text="note", by_user=rep, at=at)
        Task.objects.create(lead=lead, title="open", owner=rep, due_at=at)
        Task.objects.create(lead=lead, title="done", owner=rep, done_at=at)
        make_transition(lead=lead, to=["mql", "cold"][n % 2], actor=rep, at=at)
        make_consent(email=lead.email)
        run = make_enrollment(campaign=make_campaign(), lead=lead, due_at=now)
        make_message(run=run, state="sent", ended_at=at)
        make_message(run=run, step="next", due_at=now + timedelta(days=1))


def test_the_page_costs_at_most_25_queries_whatever_the_history(client, rep, model):
    short, long = (make_lead(company=make_company(owner=rep), owner=rep) for _ in range(2))
    fill(short, rep, model, 10)
    fill(long, rep, model, 2000)
    client.get(short.get_absolute_url())

    few, many = count_queries(client, short.get_absolute_url()), count_queries(client, long.get_absolute_url())

    assert many == few
    assert many <= 25


@pytest.mark.parametrize("part", ["head", "returns", "score", "timeline", "tasks", "consent", "facts", "write"])
def test_each_part_comes_by_itself_and_by_hand_is_the_page(client, lead, part):
    fragment = client.get(f"/leads/{lead.uid}/part/{part}/", **HTMX)
    by_hand = client.get(f"/leads/{lead.uid}/part/{part}/")

    assert fragment.status_code == 200
    assert "<html" not in fragment.content.decode()
    assert by_hand.url == lead.get_absolute_url()


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_lead(name="", email="", unconfirmed_email="eve@typed.example"),
        lambda: make_lead(name="Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh-Cholmondeley III"),
        lambda: make_lead(excluded=True),
        lambda: make_lead(stage_id="won", company=make_company()),
        lambda: make_lead(traits={"<b>": {"deep": [1, 2]}}, unconfirmed_email="x@y.example"),
    ],
)
def test_every_kind_of_lead_has_a_page(client, rep, model, make):
    page = page_of(client, make())

    assert " style=" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    "address",
    ["mine/", "write/note/", "consent/", "facts/name/", "campaigns/", "campaigns/1/stop/", "campaigns/1/skip/", "forget/", "tasks/1/done/"],
)
def test_nothing_is_done_without_a_login(client, address):
    lead = make_lead(name="Ada")

    answer = client.post(f"/leads/{lead.uid}/{address}", {"name": "Eve", "note-text": "x"})

    lead.refresh_from_db()
    assert answer.status_code == 302
    assert answer.url.startswith("/login/")
    assert (lead.name, lead.owner) == ("Ada", None)


def test_stages_keep_their_own_names(client, lead):
    Stage.objects.filter(key="mql").update(name="Interested")

    assert "Move to Interested" in page_of(client, lead)
