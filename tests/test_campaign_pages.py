"""/campaigns/: health, the flow with its numbers, draft and live, receipts, pause, writing, preview, test mail, dry run."""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from campaigns import numbers
from campaigns.documents import read_document
from campaigns.models import Campaign, Click, Enrollment, Link, Message, Slot, Step
from campaigns.publishing import publish_campaign, replace_campaign
from campaigns.sentences import cron_sentence, guard_sentence, reentry_sentence, step_summary, trigger_sentence
from leads.models import Topic, User
from tests.factories import (
    make_campaign,
    make_company,
    make_consent,
    make_enrollment,
    make_event,
    make_lead,
    make_message,
    make_rep,
    make_step,
)
from tests.mailserver import mail_server, smtp_mailers

pytestmark = pytest.mark.django_db

STEPS = [
    make_step("welcome", after="10m", message={"subject": "Your first call", "body": "Hi {{ lead.first_name | default: 'there' }}"}),
    make_step("limits", after="3d", when=[{"event": "EMAIL_CLICKED", "times": {"at_most": 0}}]),
    make_step("tell-sales", after="1d", notify={"text": "Read both mails"}),
]


def make_marketer(username="mia", **fields):
    user = User.objects.create_user(
        username, fields.pop("email", f"{username}@leadstate.example"), "a-long-password", is_staff=True, **fields
    )
    user.groups.add(Group.objects.get(name="Marketing"))
    return user


@pytest.fixture
def marketer(client):
    user = make_marketer(first_name="Mia", last_name="Marketer")
    client.force_login(user)
    return user


def published(key="DEEP", *, status="active", **document):
    """A campaign whose draft says what is live."""
    Topic.objects.get_or_create(key="newsletter", defaults={"name": "Best practices"})
    raw = {
        "key": key,
        "name": "API deep dive",
        "trigger": {"event": "DOWNLOADED_API_DOCS"},
        "topic": "newsletter",
        "steps": STEPS,
    } | document
    campaign = replace_campaign(read_document(raw))
    publish_campaign(campaign)
    Campaign.objects.filter(pk=campaign.pk).update(status=status)
    return Campaign.objects.get(pk=campaign.pk)


def words(answer):
    """The text of a page on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def part(answer, anchor, end="</li>"):
    """The text of one element."""
    html = answer.content.decode().split(f'id="{anchor}"')[1].split(end)[0]
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def seen(client, key="DEEP", query="review"):
    return re.search(r'name="seen" value="(\w+)"', client.get(f"/campaigns/{key}/?{query}").content.decode())[1]


def count_queries(client, address):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


# --- sentences


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0 10 * * tue", "every Tuesday at 10:00"),
        ("30 8 * * *", "every day at 08:30"),
        ("0 9 * * mon-fri", "every day from Monday to Friday at 09:00"),
        ("0 9 * * mon,thu", "every Monday and Thursday at 09:00"),
        ("*/5 * * * *", "by the schedule */5 * * * *"),
    ],
)
def test_a_schedule_reads_as_a_sentence(line, sentence):
    assert cron_sentence(line) == sentence


def test_the_parts_of_a_campaign_read_as_sentences():
    assert trigger_sentence({"stage": "sql"}, {"sql": "Sales qualified"}) == "when a lead enters Sales qualified"
    assert trigger_sentence({"event": "API_RATE_LIMITED"}, {}) == "when this happens: API rate limited"
    assert trigger_sentence({"manual": True}, {}) == "by hand only"
    assert trigger_sentence("later", {}) == "(cannot be read: 'later')"
    assert reentry_sentence({"after": "14d"}) == "again, but not sooner than 14 days after the last run began"
    assert reentry_sentence({"key": "event.order_id"}) == "once for each value of order id"
    assert step_summary({"key": "x", "exit": {"why": "done"}}) == "End the run: done"
    assert guard_sentence({"when": [{"score": {"at_least": 5}}], "not_after": "2d"}, {}) == (
        "only if score is at least 5; not more than 2 days late"
    )


# --- who may


@pytest.mark.parametrize("address", ["", "DEEP/", "DEEP/steps/welcome/", "DEEP/steps/welcome/preview/", "DEEP/dry-run/"])
def test_the_pages_are_for_marketers(client, address):
    published()
    address = f"/campaigns/{address}"

    anonymous = client.get(address)
    client.force_login(make_rep())
    rep = client.get(address)
    client.force_login(make_marketer())

    assert (anonymous.status_code, rep.status_code, client.get(address).status_code) == (302, 403, 200)


@pytest.mark.parametrize("action", ["publish", "discard", "pause", "resume", "steps/welcome/test", "steps/welcome/move"])
def test_reps_change_nothing(client, action):
    published()
    client.force_login(make_rep())

    assert client.post(f"/campaigns/DEEP/{action}/").status_code == 403


def test_an_unknown_campaign_or_step_is_a_page_with_a_way_back(client, marketer):
    published()

    assert client.get("/campaigns/NOWHERE/").status_code == 404
    assert client.get("/campaigns/DEEP/steps/nowhere/").status_code == 404


# --- numbers


def make_history(campaign):
    """Five people: one waits for the first mail, one clicked, one reached the goal, one has no consent, one is held."""
    now = timezone.now()
    people = [make_lead(name=f"Person {n}") for n in range(5)]
    runs = [make_enrollment(campaign=campaign, lead=lead) for lead in people]
    sent = {"state": "sent", "sent_at": now, "ended_at": now}
    runs[0].due_at = now + timedelta(minutes=5)
    clicked = make_message(run=runs[1], **sent)
    runs[1].next_step, runs[1].due_at = "limits", now
    make_message(run=runs[2], **sent)
    runs[2].next_step, runs[2].state, runs[2].reason = "limits", "exited", "goal"
    make_message(run=runs[3], state="skipped", reason="no_consent", ended_at=now)
    runs[3].next_step, runs[3].state = "tell-sales", "completed"
    make_message(run=runs[4], reason="window", due_at=now + timedelta(hours=3))
    for run in runs:
        run.save()
    click(clicked)
    return runs


def click(message, *, verdict="ok"):
    link = Link.objects.create(message=message, position=Link.objects.filter(message=message).count() + 1, url="https://example.com")
    Click.objects.create(link=link, message=message, method="GET")
    make_event(lead=message.lead, type="EMAIL_CLICKED", properties={"message": str(message.uid)}, verdict=verdict)


def test_numbers_of_each_step():
    campaign = published()
    make_history(campaign)

    whole, steps = numbers.of_steps(campaign)

    assert (whole.entered, whole.running, whole.sent, whole.clicked, whole.goal) == (5, 3, 2, 1, 1)
    welcome, limits, tell = steps["welcome"], steps["limits"], steps["tell-sales"]
    assert (welcome.reached, welcome.sent, welcome.clicked, welcome.goal, welcome.waiting) == (4, 2, 1, 1, 1)
    assert (dict(welcome.held), dict(welcome.unsent), welcome.skipped) == ({"window": 1}, {"no_consent": 1}, 0)
    assert (limits.reached, limits.waiting, limits.skipped) == (1, 1, 1)
    assert tell.reached == 1
    assert welcome.next_at > timezone.now()


def test_a_click_of_a_mail_scanner_is_no_click():
    campaign = published()
    runs = make_history(campaign)
    click(runs[2].messages.get(), verdict="suspect")

    assert numbers.of_steps(campaign)[0].clicked == 1
    assert numbers.of_campaigns(timezone.now())[campaign.pk].clicked == 1


def test_a_run_counts_by_the_order_of_its_own_version():
    campaign = published()
    run = make_enrollment(campaign=campaign, lead=make_lead(), next_step="tell-sales")
    steps = {step.key: step for step in campaign.steps.all()}
    Step.objects.filter(pk=steps["tell-sales"].pk).update(position=0)
    Step.objects.filter(pk=steps["welcome"].pk).update(position=9)
    publish_campaign(campaign)

    _, found = numbers.of_steps(campaign)

    assert run.version_id != Campaign.objects.get().live_id
    assert {key: found[key].reached for key in ("welcome", "limits")} == {"welcome": 1, "limits": 1}
    assert found["tell-sales"].reached == 0


def test_an_exit_step_was_reached_by_whom_it_ended():
    campaign = published(steps=[make_step("welcome"), make_step("out", exit={"why": "enough"})])
    make_enrollment(campaign=campaign, lead=make_lead(), next_step="out", state="exited", reason="enough")
    make_enrollment(campaign=campaign, lead=make_lead(), next_step="out", state="exited", reason="stage")

    assert numbers.of_steps(campaign)[1]["out"].reached == 1


# --- the list


def test_the_list_tells_the_health_of_each(client, marketer):
    campaign = published()
    make_history(campaign)
    make_enrollment(campaign=published("OLD", name="Old one", status="archived"), lead=make_lead())
    Campaign.objects.create(key="NEW", name="Not yet", trigger={"event": "X"}, message_class="product")

    text = words(client.get("/campaigns/"))

    assert "API deep dive When this happens: Downloaded API docs Marketing · Best practices Active 3 2 1 50 % 1 1 held , 1 not sent" in text
    assert "Held: outside the sending hours (1) Not sent: no consent to this topic (1)" in text
    assert "Not yet When this happens: X Product Never published" in text
    assert "1 archived Old one 1 person came through it" in text


def test_an_empty_list_teaches_the_next_step(client, marketer):
    assert "A campaign answers what people do" in words(client.get("/campaigns/"))


def test_the_list_costs_the_same_with_one_campaign_and_with_many(client, marketer):
    make_history(published())
    client.get("/campaigns/")
    few = count_queries(client, "/campaigns/")
    for n in range(8):
        make_history(published(f"MORE-{n}"))
        Step.objects.filter(campaign__key=f"MORE-{n}").update(edited_by=marketer)

    assert count_queries(client, "/campaigns/") == few <= 15


# --- one campaign


def test_the_page_shows_the_flow_with_its_numbers(client, marketer):
    make_history(published(goal=[{"field": "lead.stage", "op": "in", "value": ["sql", "won"]}]))

    page = client.get("/campaigns/DEEP/")

    assert "10 minutes after that" in part(page, "step-welcome")
    assert "Mail “Your first call”" in part(page, "step-welcome")
    assert "4 reached 2 sent 1 clicked 50 % 1 goal after it 1 waits for it 1 held outside the sending hours (1); next in" in part(
        page, "step-welcome", "</div> </li>"
    ).replace("wait s", "waits")
    assert "only if Email clicked did not happen" in part(page, "step-limits")
    assert "Tell the owner: Read both mails" in part(page, "step-tell-sales")
    assert "Goal Stage is one of Sales qualified or Closed won" in words(page)


def test_the_page_costs_the_same_with_few_and_many_people(client, marketer):
    campaign = published()
    make_history(campaign)
    client.get("/campaigns/DEEP/?show=held")
    few = {show: count_queries(client, f"/campaigns/DEEP/?show={show}") for show in ("held", "unsent", "refused")}
    for _ in range(6):
        make_history(campaign)

    assert {show: count_queries(client, f"/campaigns/DEEP/?show={show}") for show in few} == few
    assert max(few.values()) <= 25


def test_what_differs_from_live_is_said_in_words_with_its_author(client, marketer):
    campaign = published()
    campaign.steps.filter(key="welcome").update(subject="Your very first call", edited_by=marketer)
    campaign.steps.filter(key="tell-sales").delete()
    Campaign.objects.update(reentry="always", edited_by=make_marketer("max"))

    page = client.get("/campaigns/DEEP/?review")

    text = words(page)
    assert "3 changes not live (1 yours)" in text
    assert "now: very" in text
    assert "removed, still live" in part(page, "step-tell-sales")
    assert "changed, not live" in part(page, "step-welcome")
    assert "Each time, though never twice at once" in text
    assert "Live: everybody once" in text


def test_a_draft_is_published_and_a_changed_one_is_not(client, marketer):
    campaign = published()
    campaign.steps.filter(key="welcome").update(subject="Other")
    looked = seen(client)
    campaign.steps.filter(key="welcome").update(subject="Other still")

    stale = client.post("/campaigns/DEEP/publish/", {"seen": looked})
    fresh = client.post("/campaigns/DEEP/publish/", {"seen": seen(client)}, follow=True)

    campaign.refresh_from_db()
    assert (stale.status_code, campaign.live.number, campaign.live.published_by) == (422, 2, marketer)
    assert "has changed since you looked" in words(stale)
    assert "v2 is live" in words(fresh)


def test_problems_stand_beside_their_step_and_nothing_is_published(client, marketer):
    campaign = published()
    campaign.steps.filter(key="welcome").update(body="Hi {{ lead.nmae }}")
    campaign.steps.filter(key="limits").update(subject="")

    page = client.get("/campaigns/DEEP/?review")
    answer = client.post("/campaigns/DEEP/publish/", {"seen": seen(client, query="discard")})

    campaign.refresh_from_db()
    assert "subject" in part(page, "step-limits")
    assert "must be mended" in words(page)
    assert (answer.status_code, campaign.live.number) == (422, 1)


def test_an_unknown_variable_is_told_beside_its_step(client, marketer):
    campaign = published()
    campaign.steps.filter(key="welcome").update(body="Hi {{ lead.nmae }}")

    assert "did you mean name?" in part(client.get("/campaigns/DEEP/"), "step-welcome")


def test_a_campaign_nobody_can_read_still_has_its_page(client, marketer):
    Campaign.objects.create(
        key="ODD", name="Odd", trigger=["what"], audience=[{"scroe": 1}], reentry={"afterr": 1}, goal=[{"event": "x y"}]
    )

    page = client.get("/campaigns/ODD/")

    assert page.status_code == 200
    assert "cannot be read" in words(page)
    assert client.get("/campaigns/").status_code == 200


def test_discarding_brings_back_what_is_live_and_keeps_the_pause(client, marketer):
    campaign = published(status="paused")
    campaign.steps.filter(key="welcome").update(subject="Other")

    client.post("/campaigns/DEEP/discard/", {"seen": seen(client, query="discard")})

    campaign.refresh_from_db()
    assert campaign.status == "paused"
    assert campaign.steps.get(key="welcome").subject == "Your first call"
    assert "not live" not in words(client.get("/campaigns/DEEP/"))


# --- pause and resume


def test_pausing_says_what_waits_and_keeps_it(client, marketer):
    campaign = published()
    make_history(campaign)

    asked = words(client.get("/campaigns/DEEP/?pause"))
    client.post("/campaigns/DEEP/pause/", {"waiting": "keep"})

    campaign.refresh_from_db()
    assert "3 people are in the middle of it and wait there" in asked
    assert "1 mail waits to be sent. What becomes of it?" in asked
    assert campaign.status == "paused"
    assert Message.objects.filter(state="scheduled").count() == 1
    client.post("/campaigns/DEEP/resume/")
    campaign.refresh_from_db()
    assert campaign.status == "active"


def test_pausing_can_cancel_what_waits_and_the_runs_go_on_with_the_next_step(client, marketer):
    campaign = published()
    held = make_history(campaign)[4]

    client.post("/campaigns/DEEP/pause/", {"waiting": "cancel"})

    held.refresh_from_db()
    message = held.messages.get()
    assert (message.state, message.reason) == ("canceled", "canceled by Mia Marketer when pausing")
    assert (held.state, held.next_step, held.log[-1]["what"]) == ("active", "limits", "canceled")
    assert held.due_at > timezone.now() + timedelta(days=2)


def test_nothing_is_canceled_when_the_campaign_was_not_active(client, marketer):
    campaign = published(status="paused")
    make_history(campaign)

    client.post("/campaigns/DEEP/pause/", {"waiting": "cancel"})

    assert not Message.objects.filter(state="canceled").exists()


def test_pausing_without_an_answer_asks_again(client, marketer):
    published()

    assert client.post("/campaigns/DEEP/pause/", {"waiting": "what"}).status_code == 422
    assert Campaign.objects.get().status == "active"


# --- receipts


def test_receipts_say_who_why_and_when_next(client, marketer):
    campaign = published()
    make_history(campaign)
    make_enrollment(campaign=campaign, lead=make_lead(name="Too late"), state="refused", reason="too_old")

    held, unsent, refused = (
        part(client.get(f"/campaigns/DEEP/?show={show}"), "receipts", "</section>") for show in ("held", "unsent", "refused")
    )

    assert "Person 4 now Outside the sending hours welcome possible in" in held
    assert "Person 3 now No consent to this topic welcome" in unsent
    assert "Too late now What started it is too long ago" in refused
    assert "Waiting 1 Not sent 1 Did not enter 1" in held


def test_receipts_are_filtered_by_reason_and_go_on_with_older_ones(client, marketer):
    campaign = published()
    for n in range(30):
        run = make_enrollment(campaign=campaign, lead=make_lead(name=f"Person {n:02}"), state="completed")
        make_message(run=run, state="skipped", reason="no_consent" if n % 10 else "no_address")

    first = client.get("/campaigns/DEEP/?show=unsent&reason=no_consent")
    older = re.search(r'href="([^"]*before=\d+)#receipts"', first.content.decode())[1].replace("&amp;", "&")
    second = client.get(older)

    assert first.content.decode().count("No consent to this topic <code") == 25
    assert second.content.decode().count("No consent to this topic <code") == 2
    assert client.get("/campaigns/DEEP/?show=nothing&before=x&reason=" + "x" * 300).status_code == 200


def test_a_schedule_shows_when_it_fired(client, marketer):
    campaign = published(trigger={"schedule": "0 10 * * tue"})
    Slot.objects.create(campaign=campaign, at=timezone.now(), state="done", enrolled=7, refused={"once": 2})

    text = words(client.get("/campaigns/DEEP/"))

    assert "Starts every Tuesday at 10:00" in text
    assert "Done, 7 entered, 2 once" in text


# --- writing, looking, testing


def test_the_words_of_a_step_are_saved_in_the_draft_only(client, marketer):
    campaign = published()

    answer = client.post("/campaigns/DEEP/steps/welcome/", {"subject": "New", "body": "Hello", "lead": "ada@example.com"})

    step = campaign.steps.get(key="welcome")
    assert answer.url == "/campaigns/DEEP/steps/welcome/?lead=ada%40example.com"
    assert (step.subject, step.body, step.edited_by) == ("New", "Hello", marketer)
    assert campaign.live.document["steps"][0]["message"]["subject"] == "Your first call"


def test_saving_the_same_words_signs_nothing(client, marketer):
    campaign = published()
    step = campaign.steps.get(key="welcome")

    client.post("/campaigns/DEEP/steps/welcome/", {"subject": step.subject, "body": step.body})

    step.refresh_from_db()
    assert step.edited_by is None


def test_a_mistake_in_a_template_stands_beside_its_field(client, marketer):
    published()

    answer = client.post("/campaigns/DEEP/steps/welcome/", {"subject": "Hi {{ lead.nmae }}", "body": "{% if %}"})

    assert answer.status_code == 422
    assert "did you mean name?" in words(answer)
    assert "Hi {{ lead.nmae }}" in answer.content.decode()


def test_notes_to_staff_have_their_form_too(client, marketer):
    campaign = published()

    client.post("/campaigns/DEEP/steps/tell-sales/", {"text": "Call them"})

    assert campaign.steps.get(key="tell-sales").text == "Call them"
    assert b"iframe" not in client.get("/campaigns/DEEP/steps/tell-sales/").content


def test_the_preview_is_filled_in_for_the_chosen_lead_and_nothing_is_saved(client, marketer):
    published()
    ada = make_lead(name="Ada Lovelace", email="ada@example.com", company=make_company())
    before = Message.objects.count(), Enrollment.objects.count()

    saved = client.get("/campaigns/DEEP/steps/welcome/preview/?lead=ada@example.com")
    typed = client.post(
        "/campaigns/DEEP/steps/welcome/preview/", {"lead": str(ada.uid), "subject": "S", "body": "Dear **{{ lead.name }}**"}
    )
    text = client.post(
        "/campaigns/DEEP/steps/welcome/preview/", {"lead": "ada@example.com", "subject": "S", "body": "Dear **x**", "part": "text"}
    )

    assert "Hi Ada" in saved.content.decode()
    assert re.search(r"Dear &lt;strong.*?&gt;Ada Lovelace&lt;/strong&gt;", typed.content.decode()), typed.content.decode()
    assert "<pre" in text.content.decode()
    assert (Message.objects.count(), Enrollment.objects.count()) == before
    assert Step.objects.get(key="welcome").subject == "Your first call"


def test_the_preview_shows_what_started_the_run(client, marketer):
    published()
    lead = make_lead(email="ada@example.com")
    make_event(lead=lead, type="DOWNLOADED_API_DOCS", properties={"page": "webhooks"})

    answer = client.post("/campaigns/DEEP/steps/welcome/preview/", {"lead": lead.email, "subject": "S", "body": "About {{ event.page }}"})

    assert "About webhooks" in answer.content.decode()


def test_a_mail_that_cannot_be_made_says_why_in_the_frame(client, marketer):
    published()
    make_lead(email="ada@example.com")

    answer = client.post(
        "/campaigns/DEEP/steps/welcome/preview/", {"lead": "ada@example.com", "subject": "S", "body": "Order {{ event.order }}"}
    )

    assert answer.status_code == 200
    assert "give it a default" in words(answer)


def test_the_frame_is_sandboxed_and_only_ours_may_show_it(client, marketer):
    published()
    make_lead(name="<script>alert(1)</script>")

    answer = client.get("/campaigns/DEEP/steps/welcome/preview/")

    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "<script" not in answer.content.decode()


def test_without_any_lead_the_frame_says_so(client, marketer):
    published()

    assert "There is no lead with an address yet" in words(client.get("/campaigns/DEEP/steps/welcome/preview/"))


def test_a_test_mail_goes_to_the_marketer_alone_and_counts_for_nothing(client, marketer, settings):
    published()
    make_lead(name="Ada Lovelace", email="ada@example.com")
    with mail_server() as server:
        settings.MAILERS = smtp_mailers(server.port)
        answer = client.post(
            "/campaigns/DEEP/steps/welcome/test/", {"subject": "Hi {{ lead.first_name }}", "body": "B", "lead": "ada@example.com"}
        )

    assert answer.status_code == 302
    [message] = server.messages
    assert (message["To"], message["Subject"]) == ("mia@leadstate.example", "[Test] Hi Ada")
    assert message["List-Unsubscribe"] is None
    assert not Message.objects.exists()
    assert Step.objects.get(key="welcome").subject == "Hi {{ lead.first_name }}"


def test_a_test_mail_the_server_refuses_says_why(client, marketer, settings):
    published()
    make_lead()
    with mail_server() as server:
        settings.MAILERS = smtp_mailers(server.port)
        server.on_rcpt = "550 5.1.1 no such user"
        answer = client.post("/campaigns/DEEP/steps/welcome/test/", {"subject": "S", "body": "B"})

    assert answer.status_code == 422
    assert "no such user" in words(answer)


def test_who_has_no_address_gets_no_test_mail(client):
    published()
    make_lead()
    client.force_login(make_marketer(email=""))

    answer = client.post("/campaigns/DEEP/steps/welcome/test/", {"subject": "S", "body": "B"})

    assert answer.status_code == 422
    assert "has no mail address" in words(answer)
    assert not mail.outbox


def test_steps_are_moved_without_dragging(client, marketer):
    campaign = published()

    def move(key, to):
        answer = client.post(f"/campaigns/DEEP/steps/{key}/move/", {"to": to})
        assert answer.url == f"/campaigns/DEEP/#step-{key}"
        return list(campaign.steps.values_list("key", flat=True))

    assert move("limits", "earlier") == ["limits", "welcome", "tell-sales"]
    assert move("limits", "earlier") == ["limits", "welcome", "tell-sales"]
    assert move("welcome", "later") == ["limits", "tell-sales", "welcome"]
    assert move("welcome", "sideways") == ["limits", "tell-sales", "welcome"]
    assert "Order of the steps" in words(client.get("/campaigns/DEEP/?review"))
    assert "1 change not live (1 yours)" in words(client.get("/campaigns/DEEP/"))


# --- dry run


def test_a_dry_run_shows_the_plan_and_writes_nothing(client, marketer):
    published()
    lead = make_lead(name="Ada Lovelace", email="ada@example.com", timezone="Asia/Tokyo")
    make_consent(email=lead.email)

    asked = client.get("/campaigns/DEEP/dry-run/")
    answer = client.post("/campaigns/DEEP/dry-run/", {"lead": lead.email, "start": "event", "properties": json.dumps({"page": "x"})})

    text = words(answer)
    assert "It plays what is live" in words(asked)
    assert "Ada Lovelace in API deep dive, started by Downloaded API docs" in text
    assert "Asia/Tokyo" in text
    assert "Your first call" in text
    assert "completed" in text
    assert not Enrollment.objects.exists()
    assert not Message.objects.exists()


def test_a_dry_run_by_hand_and_its_mistakes(client, marketer):
    published()
    lead = make_lead()

    by_hand = client.post("/campaigns/DEEP/dry-run/", {"lead": lead.email, "start": "hand"})
    nobody = client.post("/campaigns/DEEP/dry-run/", {"lead": "nobody@example.com"})
    broken = client.post("/campaigns/DEEP/dry-run/", {"lead": lead.email, "properties": "[1]"})

    assert "started by hand" in words(by_hand)
    assert "No consent to this topic" in words(by_hand)
    assert (nobody.status_code, broken.status_code) == (422, 422)
    assert "Nobody we know" in words(nobody)
    assert "as a mapping" in words(broken)


def test_a_campaign_never_published_cannot_be_played(client, marketer):
    Campaign.objects.create(key="NEW", name="New", trigger={"event": "X"})

    assert "was never published" in words(client.post("/campaigns/NEW/dry-run/", {"lead": make_lead().email, "start": "hand"}))


# --- the admin form and back


def test_the_form_lists_steps_on_one_line_and_leads_back(client, marketer):
    campaign = published()
    address = reverse("admin:campaigns_campaign_change", args=[campaign.pk])

    page = client.get(f"{address}?next=/campaigns/DEEP/").content.decode()

    assert "welcome: 10m later, Mail “Your first call”" in page
    assert "/campaigns/DEEP/steps/welcome/" in page
    assert "Back without saving" in page
    assert 'name="steps-0-body"' not in page


def test_a_new_campaign_leads_to_its_page(client, marketer):
    topic = Topic.objects.create(key="newsletter", name="Best practices")
    form = {"name": "X", "key": "FRESH", "message_class": "marketing", "topic": topic.pk, "trigger": '{"event": "SIGNED_UP"}',
            "audience": "[]", "reentry": '"once"', "goal": "[]", "exits": "[]", "window": "{}", "cap": "{}", "priority": "50",
            "steps-TOTAL_FORMS": "0", "steps-INITIAL_FORMS": "0", "versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}  # fmt: skip

    wrong = client.post(reverse("admin:campaigns_campaign_add") + "?next=/campaigns/", form | {"key": "a/b"})
    right = client.post(reverse("admin:campaigns_campaign_add") + "?next=/campaigns/", form)

    assert wrong.status_code == 200
    assert "is no key" in words(wrong)
    assert right.url == "/campaigns/FRESH/"


def test_pages_carry_no_inline_style_or_script(client, marketer):
    make_campaign(name="<script>alert(1)</script>", key="ODD")
    published()

    for address in (
        "/campaigns/",
        "/campaigns/ODD/",
        "/campaigns/DEEP/?review",
        "/campaigns/DEEP/steps/welcome/",
        "/campaigns/DEEP/dry-run/",
    ):
        answer = client.get(address)
        page = answer.content.decode()
        assert " style=" not in page
        assert "<script>alert" not in page
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
