"""A marketer changes a weight in its form, publishes it on the page, and a rep sees it on the board."""

import json
import re

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from leads.intake import drain_all
from leads.models import Lead, ScoringRule, ScoringVersion, User
from tests.factories import make_rep, make_source

pytestmark = pytest.mark.django_db


@pytest.fixture
def playbook():
    from crm.playbook import apply_shipped

    return apply_shipped(active=False)


def make_marketer():
    mia = User.objects.create_user("mia", first_name="Mia", is_staff=True)
    mia.groups.add(Group.objects.get(name="Marketing"))
    return mia


def view_pricing(client, key, email):
    """The product tells that somebody looked at the prices, and the worker takes it in."""
    events = [
        {"email": email, "eventType": "SIGNED_UP"},
        {"email": email, "eventType": "Viewed pricing"},
    ]
    body = json.dumps(events)
    answer = client.post("/api/events", body, content_type="application/json", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    drain_all()
    return Lead.objects.get(email=email)


def card(client, lead):
    """What the lead's card on the board says."""
    html = client.get("/").content.decode()
    assert f'id="lead-{lead.pk}"' in html
    piece = html.split(f'id="lead-{lead.pk}"')[1].split("</li>")[0]
    return re.sub(r"<[^>]+>", " ", piece)


def test_a_changed_weight_is_published_and_seen_on_the_board(client, playbook):
    _, key = make_source()
    before = view_pricing(client, key, "ada@example.com")
    rule = ScoringRule.objects.get(key="viewed-pricing")

    # She opens the scoring page, follows the rule's link to its form, changes the weight, and is back.
    client.force_login(make_marketer())
    page = client.get("/scoring/").content.decode()
    address = re.search(r'href="(/scoring/rules/viewed-pricing/)"', page)[1]
    assert "+10 points, expires after 90 days" in client.get(address).content.decode()
    form = {
        "name": rule.name,
        "key": rule.key,
        "event": rule.event,
        "points": "25",
        "expires_after_0": "90",
        "expires_after_1": "d",
        "g0": "all",
    }
    saved = client.post(address, form)
    assert saved.url == "/scoring/#rules-viewed-pricing"

    # Nothing has happened yet: the bar says what would.
    page = client.get("/scoring/?review").content.decode()
    assert "1 change not live" in page
    assert "(1 yours)" in page
    still = view_pricing(client, key, "bob@example.com")

    # She publishes.
    seen = re.search(r'name="seen" value="(\w+)"', page)[1]
    client.post(reverse("leads:scoring-publish"), {"seen": seen, "note": "Pricing views count more"})
    assert ScoringVersion.live().note == "Pricing views count more"
    after = view_pricing(client, key, "cleo@example.com")

    # What came before keeps its points, what comes now has the new weight, and a rep sees it.
    assert [before.score, still.score, after.score] == [10, 10, 25]
    client.force_login(make_rep())
    assert " 25 " in f" {' '.join(card(client, after).split())} "
    assert " 10 " in f" {' '.join(card(client, before).split())} "
