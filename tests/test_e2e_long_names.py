"""Names as long as people write them, in German: no page grows wider than its window, and what is cut can be read on hover."""

from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Campaign
from campaigns.tokens import unsubscribe_url
from crm.playbook import apply_shipped
from leads.models import Stage, Task, Topic
from tests.browser import DESKTOP, PHONE, TABLET, colleague
from tests.factories import make_company, make_enrollment, make_event, make_lead, make_message, make_source

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

PERSON = "Maximilian-Ferdinand von Hohenlohe-Waldenburg-Schillingsfürst"
FIRM = "Rindfleischetikettierungsüberwachungsaufgabenübertragung GmbH"
STAGE = "Vertriebsqualifiziertenbearbeitungswarteschlangenverwaltung"
TOPIC = "Produktneuigkeitenundveranstaltungshinweisbenachrichtigungen"
SOURCE = "Personenbezogenedatenübermittlungsschnittstellenverwaltung"

# Text that is cut off and has no title to tell the rest.
CUT = """[...document.querySelectorAll("main *")].filter((each) => each.checkVisibility() && each.clientWidth > 1
    && getComputedStyle(each).overflowX === "hidden" && each.scrollWidth > each.clientWidth + 1 && each.textContent.trim()
    && !each.closest("[title], .visually-hidden")).map((each) => each.className + ": " + each.textContent.trim().slice(0, 40))"""


@pytest.fixture
def addresses(db):
    """Every page that shows a name, by who looks at it; all names are long ones."""
    apply_shipped(active=True)
    Stage.objects.update(name=STAGE)
    Topic.objects.update(name=TOPIC)
    Campaign.objects.update(name=f"{TOPIC} {FIRM}")
    rep = colleague("rep")
    rep.first_name, rep.last_name = PERSON.split(" ", 1)
    rep.save()
    company = make_company(
        name=FIRM, domain="rindfleischetikettierungsueberwachung.example", value=Decimal(9_000), currency="EUR", owner=rep
    )
    source, _ = make_source(name=SOURCE)
    people = [make_lead(name=PERSON, title=TOPIC, company=company, owner=rep, stage_id=stage) for stage in ("mql", "sql", "won")]
    for lead in people:
        make_event(lead=lead, type="DOWNLOADED_API_DOCS", source=source)
        Task.objects.create(lead=lead, kind="handoff", title=f"{TOPIC} {PERSON}", owner=rep, due_at=timezone.now() + timedelta(hours=1))
    Task.objects.first().colleagues.add(*people[1:])
    campaign = Campaign.objects.get(key="API_DEEP_DIVE_SEQUENCE")
    mail = make_message(
        run=make_enrollment(campaign=campaign, lead=people[0]), state="skipped", reason="no_consent", ended_at=timezone.now()
    )
    step = campaign.steps.order_by("position").first()
    return {
        "rep": [
            *(reverse(f"leads:{name}") for name in ("board", "today", "list", "companies")),
            "/?owner=all&score=1&company=Rindfleisch",
            people[0].get_absolute_url(),
            reverse("leads:move", args=[people[0].uid]),
            reverse("leads:company", args=[company.pk]),
        ],
        "admin": [
            reverse("campaigns:list"),
            reverse("campaigns:campaign", args=[campaign.key]),
            reverse("campaigns:step", args=[campaign.key, step.key]),
            reverse("leads:scoring"),
            reverse("leads:sources"),
            reverse("leads:source", args=[source.pk]),
            reverse("leads:source-revoke", args=[source.pk]),
            reverse("leads:first-event", args=[source.pk]),
        ],
        None: [urlsplit(unsubscribe_url(mail)).path, reverse("api:docs")],
    }


@pytest.mark.parametrize("viewport", [PHONE, TABLET, DESKTOP], ids=["phone", "tablet", "desktop"])
def test_long_names_widen_no_page_and_can_be_read_where_they_are_cut(browser_page, addresses, viewport):
    wide, cut = [], {}

    for login, paths in addresses.items():
        page = browser_page(login, viewport=viewport)
        for path in paths:
            page.goto(path)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wide.append(path)
            if found := page.evaluate(CUT):
                cut[path] = found

    assert (wide, cut) == ([], {})


def test_the_box_that_saves_a_view_opens_within_the_window(browser_page, addresses):
    for viewport in (PHONE, TABLET, DESKTOP):
        page = browser_page("rep", viewport=viewport)
        page.goto("/?owner=all&score=1&stage=mql&company=Rindfleisch")
        page.get_by_text("Save view").click()

        box = page.get_by_label("Name of the view").bounding_box()

        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"]


def test_the_contents_of_the_api_are_readable_beside_a_narrow_rail(browser_page):
    page = browser_page(None, viewport=TABLET)
    page.goto(reverse("api:docs"))

    assert page.locator("[data-rail='narrow']").count() == 1
    assert page.locator(".api-contents").bounding_box()["width"] >= 200
