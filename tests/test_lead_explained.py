"""What a lead's page explains: what is missing and until when, the score's course, why it is what it is, and what would be if."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import time_machine

from leads.intake import record_now
from leads.models import Lead
from tests.factories import make_company, make_lead, make_rep, make_transition, make_version

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
NOW = datetime(2026, 2, 2, 11, 0, tzinfo=UTC)
PRICING = {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"}
RULES = [
    {"key": "pricing", "name": "Viewed pricing", "event": "VIEWED_PRICING", "points": 10, "limit": {"times": 2, "per": "day"}},
    {"key": "docs", "name": "Downloaded the docs", "event": "DOWNLOADED_DOCS", "points": 20, "expires_after": "30d"},
    {"key": "team", "name": "Team plan", "event": "PLAN_CHOSEN", "points": 15, "when": [{"field": "event.seats", "op": "gte", "value": 5}]},
]
HOT = {"key": "hot", "name": "Ready for sales", "from": ["cold", "mql"], "to": "sql", "conditions": [{"score": {"at_least": 40}}, PRICING]}


@pytest.fixture
def rep(client):
    user = make_rep(username="rita", first_name="Rita", last_name="Rep")
    client.force_login(user)
    return user


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def text_of(answer):
    """What a page says, without markup."""
    assert answer.status_code == 200, answer.status_code
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", answer.content.decode())))


def page_of(client, lead, query=""):
    return text_of(client.get(f"{lead.get_absolute_url()}{query}"))


def record(*types, email="ada@acme.example", at=NOW, **message):
    """These types happened, a minute apart, the last one at `at`."""
    stamps = [(at - timedelta(minutes=n)).isoformat() for n in reversed(range(len(types)))]
    return record_now([{"type": name, "email": email, "timestamp": stamp, **message} for name, stamp in zip(types, stamps, strict=True)])[
        -1
    ].lead


# --- what is missing ------------------------------------------------------------------------------


def test_each_condition_tells_its_value_and_what_completes_it(client, rep):
    make_version(scoring={"rules": RULES}, gates=[HOT])

    page = page_of(client, record("VIEWED_PRICING", "VIEWED_PRICING"))

    assert "Score at least 40 20. Needs 20 more points" in page
    assert "2 of 3 in 7 days" in page
    assert "Needs “Viewed pricing” once more" in page
    assert "any one is enough" in page


def test_a_group_within_a_gate_is_shown_as_a_group(client, rep):
    conditions = [{"event": "DEMO_REQUESTED"}, {"any": [PRICING, {"all": [{"event": "SIGNED_UP"}, {"score": {"at_least": 40}}]}]}]
    make_version(gates=[HOT | {"match": "all", "conditions": conditions}])

    answer = client.get(record("SIGNED_UP").get_absolute_url())

    page = text_of(answer)
    assert "Ready for sales · 0 of 2" in page
    assert page.index("Any one of these") < page.index("“Viewed pricing” at least 3 times") < page.index("All of these")
    assert answer.content.decode().count('<ul class="checks">') == 3


def test_a_gate_that_leads_back_says_when(client, rep):
    idle = {"key": "quiet", "name": "Went quiet", "from": "mql", "to": "cold", "conditions": [{"idle_for": "30d"}]}
    stay = {"key": "stale", "name": "Stayed too long", "from": "mql", "to": "lost", "conditions": [{"in_stage_for": "60d"}]}
    made = {"key": "left", "name": "Left", "from": "mql", "to": "cold", "conditions": [{"event": "ACCOUNT_CLOSED"}]}
    make_version(gates=[HOT, idle, stay, made])
    lead = record("SIGNED_UP")
    make_transition(lead=lead, to="mql")
    record("SIGNED_UP", at=NOW + timedelta(seconds=1))

    page = page_of(client, lead)

    assert "Back to Cold when nothing happens for 30 days, that is until 4 Mar (in" in page
    assert "On to Closed lost after 60 days in this stage, that is 3 Apr (in" in page
    assert "Back to Cold when Account closed Left" in page


def test_a_lead_that_is_closed_says_what_would_open_it_again(client, rep):
    make_version(gates=[HOT, {"key": "churn", "name": "Churned", "from": "won", "to": "lost", "conditions": [{"event": "CANCELED"}]}])

    page = page_of(client, make_lead(stage_id="won", company=make_company()))

    assert "On to Closed lost when Canceled Churned" in page
    assert "What is missing for" not in page


def test_an_excluded_lead_says_which_condition_excludes_it(client, rep):
    exclude = [
        {
            "any": [
                {"field": "lead.email", "op": "ends_with", "value": "@rival.example"},
                {"field": "lead.email", "op": "ends_with", "value": "@acme.example"},
            ]
        }
    ]
    make_version(scoring={"rules": RULES, "exclude": exclude}, gates=[HOT])
    lead = record("SIGNED_UP", traits={"email": "ada@acme.example"})
    Lead.objects.filter(pk=lead.pk).update(excluded=True)

    page = page_of(client, lead)

    assert "Excluded from scoring because email ends with “@acme.example”: nothing counts" in page
    assert "What is missing for" not in page


def test_an_excluded_lead_has_a_page_when_no_condition_holds_any_more(client, rep):
    make_version(gates=[HOT])

    assert "Excluded from scoring: nothing counts" in page_of(client, make_lead(excluded=True))
