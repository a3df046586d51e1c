"""/scoring/: the model in sentences, what is not live, publishing, discarding, and the way to the forms and back."""

import re

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from leads.conditions import Place
from leads.model_words import conditions_phrase, gate_sentence, limits_sentence, rule_sentence, span
from leads.models import FitRule, Gate, ScoringLimits, ScoringRule, ScoringVersion, Stage, User
from leads.publishing import publish
from tests.factories import make_rep

pytestmark = pytest.mark.django_db

STAGES = {"mql": "Marketing qualified", "sql": "Sales qualified", "won": "Closed won"}


def make_marketer(username="mia", **fields):
    user = User.objects.create_user(username, f"{username}@leadstate.example", "a-long-password", is_staff=True, **fields)
    user.groups.add(Group.objects.get(name="Marketing"))
    return user


@pytest.fixture
def marketer(client):
    user = make_marketer(first_name="Mia", last_name="Marketer")
    client.force_login(user)
    return user


def make_rule(key="viewed-pricing", **fields):
    values = {"name": "Viewed pricing", "event": "VIEWED_PRICING", "points": 10, "expires_after": "90d"} | fields
    return ScoringRule.objects.create(key=key, **values)


def make_gate(**fields):
    gate = Gate.objects.create(key="hot", name="Ready for sales", to=Stage.objects.get(key="sql"), **fields)
    gate.from_stages.add(Stage.objects.get(key="mql"))
    return gate


@pytest.fixture
def live(db):
    """A published model with one part of each kind."""
    make_rule()
    make_gate(conditions=[{"score": {"at_least": 80}}, {"event": "DEMO_REQUESTED"}])
    FitRule.objects.create(key="cto", name="Technical leader", points=15, when=[{"field": "lead.title", "op": "has_word", "value": "CTO"}])
    ScoringLimits.objects.create(pk=1, fit_max=40)
    return publish(note="First rules")


def words(page):
    """The text of a page on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())


def seen(client, query="review"):
    """The draft's fingerprint as the page shows it."""
    return re.search(r'name="seen" value="(\w+)"', client.get(f"/scoring/?{query}").content.decode())[1]


# --- sentences


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"points": 10, "expires_after": "90d"}, "+10 points, expires after 90 days"),
        ({"points": -1}, "−1 point"),
        ({"points": 2, "limit": {"times": 1, "per": "day"}}, "+2 points, at most once a day"),
        ({"points": 2, "limit": {"times": 3, "per": "half-year"}}, "+2 points, at most 3 times in half a year"),
        ({"points": 2, "limit": {"times": 3, "days": 10}}, "+2 points, at most 3 times in 10 days"),
        ({"points": 2, "when": [{"field": "event.plan", "op": "is", "value": "team"}]}, "+2 points if plan is “team”"),
        ({"points": 2, "when": [{"field": "event.plan", "op": "contain"}]}, "+2 points if (cannot be read:"),
    ],
)
def test_a_rule_reads_as_a_sentence(rule, sentence):
    assert rule_sentence(rule, {}).startswith(sentence)


def test_a_gate_reads_as_a_sentence():
    gate = {
        "from": ["mql", "lost"],
        "to": "sql",
        "conditions": [{"score": {"at_least": 80}}, {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d", "every": "30m"}],
    }

    assert gate_sentence(gate, STAGES) == (
        "Marketing qualified or lost → Sales qualified when any of: score is at least 80; "
        "Viewed pricing at least 3 times within 7 days, 30 minutes apart"
    )


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ({"field": "lead.stage", "op": "in", "value": ["sql", "won"]}, "stage is one of Sales qualified or Closed won"),
        ({"field": "company.employees", "op": "between", "value": [20, 2000]}, "company employees is between 20 and 2000"),
        ({"field": "lead.traits.trial", "op": "is", "value": True}, "trial is yes"),
        ({"field": "lead.phone", "op": "missing"}, "phone is not known"),
        ({"event": "EMAIL_CLICKED", "times": {"at_most": 0}}, "Email clicked did not happen"),
        ({"event": "EMAIL_CLICKED", "times": {"exactly": 1}, "since": "ever"}, "Email clicked exactly once at any time"),
        ({"not": {"campaign": {"trigger": "event"}}}, "is not in any campaign started by an event"),
        ({"campaign": "X", "status": "completed"}, "completed X"),
        ({"in_stage_for": "7d"}, "in the same stage for 7 days"),
        (
            {"any": [{"field": "lead.title", "op": "has_word", "value": "CTO"}, {"field": "lead.title", "op": "has_word", "value": "VP"}]},
            "title has the word “CTO” or “VP”",
        ),
        ({"all": [{"score": {"at_least": 5}}, {"not": {"fit": {"at_least": 2}}}]}, "score is at least 5 and not (fit is at least 2)"),
    ],
)
def test_a_condition_reads_as_a_phrase(condition, sentence):
    assert conditions_phrase([condition], Place.RUN, STAGES) == sentence


def test_limits_and_durations_read_as_words():
    assert limits_sentence({"fit_max": 40, "floor": 0}, {}) == "Fit counts at most 40 points. Engagement never falls below 0."
    assert limits_sentence({}, {}) == "No limits."
    assert [span("90d"), span("1h"), span("90m"), span("soon")] == ["90 days", "1 hour", "90 minutes", "soon"]


# --- the page


def test_the_page_is_for_marketers(client):
    assert client.get("/scoring/").status_code == 302
    client.force_login(make_rep())
    assert client.get("/scoring/").status_code == 403
    assert client.post("/scoring/publish/").status_code == 403
    assert client.post("/scoring/discard/").status_code == 403
    client.force_login(make_marketer())
    assert client.get("/scoring/").status_code == 200


def test_an_empty_model_teaches_the_next_step(client, marketer):
    text = words(client.get("/scoring/"))

    assert "There are no rules yet" in text
    assert "not live" not in text


def test_what_is_live_stands_there_in_sentences(client, marketer, live):
    text = words(client.get("/scoring/"))

    assert "Viewed pricing : +10 points, expires after 90 days" in text
    assert "Marketing qualified → Sales qualified when any of: score is at least 80; Demo requested" in text
    assert "Technical leader : +15 points while title has the word “CTO”" in text
    assert "Fit counts at most 40 points." in text
    assert "Version 1 is live" in text
    assert "First rules" in text
    assert "changes not live" not in text


def test_the_bar_counts_changes_and_whose_they_are(client, marketer, live):
    ScoringRule.objects.update(points=25, edited_by=marketer)
    make_rule("signed-up", name="Signed up", event="SIGNED_UP", edited_by=make_marketer("max"))
    FitRule.objects.all().delete()

    page = client.get("/scoring/?review")

    text = words(page)
    assert "3 changes not live (1 yours)" in text
    assert "Live: +10 points, expires after 90 days" in text
    assert '<del><span class="visually-hidden">was: </span>+10</del>' in page.content.decode()
    assert '<ins><span class="visually-hidden">now: </span>+25</ins>' in page.content.decode()
    assert "Removed in the draft" in text


def test_who_removed_a_rule_in_the_admin_is_known(client, marketer, live):
    rule = ScoringRule.objects.get()
    address = reverse("admin:leads_scoringrule_delete", args=[rule.pk])

    answer = client.post(f"{address}?next=/scoring/", {"post": "yes"})

    assert answer.url == "/scoring/"
    assert "1 change not live (1 yours)" in words(client.get("/scoring/"))


def test_another_order_of_gates_is_a_change(client, marketer, live):
    second = Gate.objects.create(key="late", to=Stage.objects.get(key="sql"), conditions=[{"event": "X"}], position=2)
    second.from_stages.add(Stage.objects.get(key="cold"))
    publish()
    Gate.objects.filter(key="hot").update(position=9)

    text = words(client.get("/scoring/?review"))
    assert "1 change not live" in text
    assert "Order of the gates" in text


# --- publish


def test_a_marketer_publishes_with_a_note(client, marketer, live):
    ScoringRule.objects.update(points=25)

    answer = client.post("/scoring/publish/", {"seen": seen(client), "note": "Pricing counts more"}, follow=True)

    version = ScoringVersion.live()
    assert (version.number, version.published_by, version.note) == (2, marketer, "Pricing counts more")
    assert version.document["scoring"]["rules"][0]["points"] == 25
    assert "Version 2 is live" in words(answer)
    assert "changes not live" not in words(answer)


def test_a_draft_that_changed_meanwhile_is_not_published(client, marketer, live):
    ScoringRule.objects.update(points=25)
    looked = seen(client)
    ScoringRule.objects.update(points=9000)

    answer = client.post("/scoring/publish/", {"seen": looked, "note": "Mine"})

    assert answer.status_code == 422
    assert "has changed since you looked" in words(answer)
    assert 'value="Mine"' in answer.content.decode()
    assert ScoringVersion.objects.count() == 1


def test_what_is_wrong_with_the_draft_stands_beside_its_line_and_nothing_is_published(client, marketer, live):
    Gate.objects.update(conditions=[{"scroe": {"at_least": 80}}])

    page = client.get("/scoring/?review").content.decode()
    answer = client.post("/scoring/publish/", {"seen": seen(client, "discard")})

    line = page.split('id="gates-hot"')[1].split("</li>")[0]
    assert "did you mean score?" in line
    assert "1 thing must be mended" in " ".join(page.split())
    assert 'name="note"' not in page
    assert answer.status_code == 422
    assert ScoringVersion.objects.count() == 1


def test_the_first_version_is_published_from_the_page(client, marketer):
    make_rule()

    client.post("/scoring/publish/", {"seen": seen(client)})

    assert ScoringVersion.live().number == 1


# --- discard


def test_discarding_asks_once_and_brings_back_what_is_live(client, marketer, live):
    ScoringRule.objects.update(points=25)
    Gate.objects.all().delete()

    asked = words(client.get("/scoring/?discard"))
    client.post("/scoring/discard/", {"seen": seen(client, "discard")})

    assert "Throw these changes away?" in asked
    assert ScoringRule.objects.get().points == 10
    assert Gate.objects.get().to_id == "sql"
    assert "changes not live" not in words(client.get("/scoring/"))


def test_a_draft_that_changed_meanwhile_is_not_discarded(client, marketer, live):
    ScoringRule.objects.update(points=25)

    answer = client.post("/scoring/discard/", {"seen": "0123456789abcdef"})

    assert answer.status_code == 422
    assert ScoringRule.objects.get().points == 25


def test_a_version_that_names_a_stage_that_is_gone_is_not_brought_back(client, marketer, live):
    Gate.objects.all().delete()
    ScoringVersion.objects.update(document={"gates": [{"key": "g", "from": "mql", "to": "hot", "conditions": [{"event": "X"}]}]})

    answer = client.post("/scoring/discard/", {"seen": seen(client, "discard")})

    assert answer.status_code == 422
    assert "there is no stage" in words(answer).replace("There", "there")


# --- to the form and back


def test_every_line_leads_to_its_form_and_back(client, marketer, live):
    page = client.get("/scoring/").content.decode()

    addresses = re.findall(r'href="(/scoring/(?:rules|fit|idle|derive|limits|exclude|gates)/[^"/]+/)"', page)
    forms = {address: client.get(address) for address in addresses}

    assert len([address for address in forms if not address.endswith("/new/")]) == 5
    assert len([address for address in forms if address.endswith("/new/")]) == 5
    assert {answer.status_code for answer in forms.values()} == {200}
    assert all("Back without saving" in answer.content.decode() for answer in forms.values())


def test_the_admin_forms_still_lead_back_when_asked(client, marketer, live):
    page = client.get(f"{reverse('admin:leads_scoringrule_change', args=[ScoringRule.objects.get().pk])}?next=/scoring/")

    assert "Back without saving" in page.content.decode()


def test_saving_a_form_leads_back_to_the_line_and_only_to_pages_of_ours(client, marketer, live):
    rule = ScoringRule.objects.get()
    address = reverse("admin:leads_scoringrule_change", args=[rule.pk])
    form = {"name": "Viewed pricing", "key": "viewed-pricing", "event": "VIEWED_PRICING", "when": "[]", "points": "25"}

    back = client.post(f"{address}?next=/scoring/%23rules-viewed-pricing", form)
    more = client.post(f"{address}?next=/scoring/", form | {"_continue": "1"})
    away = client.post(f"{address}?next=https://evil.example/", form)

    assert back.url == "/scoring/#rules-viewed-pricing"
    assert "next=%2Fscoring%2F" in more.url
    assert away.url == reverse("admin:leads_scoringrule_changelist")


def test_saving_a_form_without_a_change_signs_nothing(client, marketer, live):
    rule = ScoringRule.objects.get()
    form = {"name": "Viewed pricing", "key": rule.key, "event": rule.event, "when": "[]", "points": "10", "expires_after": "90d"}
    form["initial-when"] = "[]"  # as the form itself sends it

    client.post(reverse("admin:leads_scoringrule_change", args=[rule.pk]), form)

    rule.refresh_from_db()
    assert rule.edited_by is None


# --- cost and safety


def count_queries(client, address):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def test_the_page_costs_the_same_however_big_the_model_is(client, marketer, live):
    ScoringRule.objects.update(points=11)
    client.get("/scoring/")
    few = count_queries(client, "/scoring/")
    for n in range(30):
        make_rule(f"rule-{n}", edited_by=make_marketer(f"m{n}") if n % 10 == 0 else marketer)
    publish()
    ScoringRule.objects.update(points=12)

    assert count_queries(client, "/scoring/") == few <= 27


def test_the_page_has_no_inline_style_or_script_and_shows_names_as_text(client, marketer, live):
    ScoringRule.objects.update(name="<script>alert(1)</script>")

    answer = client.get("/scoring/?review")

    page = answer.content.decode()
    assert "<script>alert" not in page
    assert " style=" not in page
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
