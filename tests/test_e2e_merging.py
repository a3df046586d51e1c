"""Merging in a browser: by mouse, by keyboard alone, at phone width, without JavaScript, in light and dark."""

import pytest

from leads.merging import merge_by_hand
from leads.models import Lead, LeadSearch, Merge, MergeReview
from tests.browser import PHONE, assert_accessible, colleague
from tests.factories import make_company, make_lead

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

LONG = "Wilhelmina-Alexandra von und zu Hohenlohe-Waldenburg-Schilling"


@pytest.fixture
def people(browser_page):
    acme = make_company(name="Acme")
    found = [
        make_lead(name=LONG, title="CTO", company=acme, stage_id="mql", phone="+49 30 1"),
        make_lead(name="Bea", company=acme),
        make_lead(name="Cid"),
    ]
    for lead in found:
        LeadSearch.objects.create(lead=lead, text=f"{lead.name} {lead.email}".lower())
    MergeReview.objects.create(low=found[0], high=found[1], why="SIGNED_UP named both by email")
    MergeReview.objects.create(low=found[1], high=found[2], why="SIGNED_UP named both by email")
    return found


def test_a_rep_decides_on_pairs_and_takes_it_back(browser_page, people):
    page = browser_page("rep")
    page.goto("/leads/")
    page.get_by_role("link", name="2 pairs may be one person").click()
    page.wait_for_url("**/leads/reviews/")
    assert_accessible(page)

    page.get_by_role("button", name=f"Same person: keep {LONG}").click()
    page.get_by_text(f"Bea is part of {LONG} now.").wait_for()
    page.get_by_role("heading", name="1 pair of leads may be one person").wait_for()
    assert Lead.objects.get(name="Bea").merged_into == people[0]
    assert page.evaluate("document.activeElement.tagName") == "H1"
    assert_accessible(page)

    page.locator(".toast-line").filter(has_text="Bea is part").get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back: Bea is a lead of their own again.").wait_for()
    page.get_by_role("heading", name="2 pairs of leads may be one person").wait_for()
    assert Lead.objects.get(name="Bea").merged_into is None

    page.locator("section").filter(has_text="Cid").get_by_role("button", name="Two people: keep apart").click()
    page.get_by_text("stay two people").wait_for()
    page.get_by_role("heading", name="1 pair of leads may be one person").wait_for()
    assert MergeReview.objects.get(high=people[2]).state == "kept"


def test_by_keyboard_alone_in_the_dark_a_pair_is_chosen_by_hand_merged_and_taken_apart(browser_page, people):
    page = browser_page("rep", dark=True)
    page.goto(people[2].get_absolute_url())
    page.get_by_role("link", name="Merge with somebody").press("Enter")
    page.wait_for_url("**/merge/")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.type("wilhelm")
    page.get_by_role("link", name=LONG).wait_for()
    assert_accessible(page)
    page.get_by_role("link", name=LONG).press("Enter")
    page.wait_for_url(f"**/merge/{people[0].uid}/")
    assert_accessible(page)

    page.get_by_role("button", name="Same person: keep Cid").press("Enter")
    page.wait_for_url(f"**{people[2].get_absolute_url()}")
    page.get_by_text(f"{LONG} is part of Cid now.").wait_for()
    merge = Merge.objects.get()
    assert (merge.absorbed, merge.survivor) == (people[0], people[2])
    assert_accessible(page)

    page.locator("#merges summary").press("Enter")
    page.get_by_role("button", name=f"Take {LONG} apart").press("Enter")
    page.wait_for_url(f"**{people[0].get_absolute_url()}")
    page.get_by_text("is a lead of their own again").wait_for()
    assert not Lead.objects.exclude(merged_into=None).exists()


def test_on_a_phone_nothing_is_wider_than_the_screen(browser_page, people):
    page = browser_page("rep", viewport=PHONE, touch=True)
    merge_by_hand(people[0], make_lead(name=LONG[::-1]), by_user=colleague("rep"))
    for address in (
        "/leads/reviews/",
        f"/leads/{people[0].uid}/merge/?q=a",
        f"/leads/{people[0].uid}/merge/{people[1].uid}/",
        people[0].get_absolute_url(),
    ):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
        assert_accessible(page)
    page.goto("/leads/reviews/")
    heights = page.locator(".pair-answers .btn").evaluate_all("buttons => buttons.map(button => button.offsetHeight)")
    assert min(heights) >= 44


def test_without_javascript_it_works_too(browser_page, people):
    page = browser_page("rep", javascript=False)
    page.goto(people[1].get_absolute_url())
    page.get_by_role("link", name="Compare the two").first.click()
    page.get_by_role("button", name=f"Same person: keep {LONG}").click()
    page.get_by_text(f"Bea is part of {LONG} now.").wait_for()

    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back: Bea").wait_for()
    assert page.url.endswith(people[1].get_absolute_url())

    page.goto(f"/leads/{people[1].uid}/merge/")
    page.fill("[name=q]", "cid")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Cid").click()
    page.get_by_role("button", name="Two people: keep apart").click()
    page.wait_for_url("**/leads/reviews/")
    page.get_by_text("Bea and Cid stay two people.").wait_for()
