"""The leads as a table: what it shows in which order, page by page, and what is done to several at once."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from campaigns.models import Enrollment, Message
from leads.gates import move_by_hand
from leads.lead_filters import PAGE, SORTS
from leads.models import Event, Lead, LeadSearch, Notification, Reason, Source, Stage, Task, User
from leads.views import lead_list
from tests.factories import make_campaign, make_company, make_enrollment, make_lead, make_message, make_rep, make_source, make_transition
from tests.test_pages import count_queries

pytestmark = pytest.mark.django_db


def names(client, query=""):
    page = client.get(f"/leads/?{query}")
    assert page.status_code == 200
    return [str(lead) for lead in page.context["page"].leads]


def chosen(*leads):
    return [f"{lead.uid}.{lead.stage_seq}" for lead in leads]


def said(answer):
    return " ".join(re.sub(r"<[^>]+>", " ", str(message)).strip() for message in answer.context["messages"])


# --- what it shows -------------------------------------------------------------------------------


def test_the_list_is_for_colleagues():
    stranger, nobody = Client(), Client()
    nobody.force_login(User.objects.create_user("norah"))

    assert stranger.get("/leads/").status_code == 302
    assert nobody.get("/leads/").status_code == 403


def test_known_leads_the_warmest_first_with_a_link_each(client, rep):
    make_lead(name="Cold")
    hot = make_lead(name="Hot", engagement=90, company=make_company(name="Acme"), owner=rep, stage_id="sql")
    make_lead(name="Gone", merged_into=hot)
    make_lead(name="Visitor", email="")

    page = client.get("/leads/").content.decode()

    assert names(client) == ["Hot", "Cold"]
    assert f'href="{hot.get_absolute_url()}"' in page
    assert all(word in page for word in ("Acme", "Rita Rep", "Sales qualified", ">90</span>"))


def test_filters_live_in_the_address_and_are_lifted_one_by_one(client, rep):
    source, _ = make_source(name="Shop")
    ada = make_lead(name="Ada", owner=rep, stage_id="mql", engagement=50, first_source=source, company=make_company(name="Acme"))
    make_lead(name="Bob")
    make_lead(name="Eve", email="")
    LeadSearch.objects.create(lead=ada, text="ada +49 30 acme")

    for query in ("q=ADA", "stage=mql", "owner=me", f"owner={rep.pk}", "score=50", f"source={source.pk}", "company=acm"):
        assert names(client, query) == ["Ada"], query
    assert names(client, "owner=nobody") == ["Bob"]
    assert names(client, "kind=anonymous") == ["Eve"]
    assert sorted(names(client, "kind=all")) == ["Ada", "Bob", "Eve"]

    page = client.get(f"/leads/?stage=mql&owner=me&score=50&source={source.pk}&company=acm&sort=name").content.decode()
    assert all(text in page for text in ("Stage: Marketing qualified", "Owner: me", "Score at least 50", "Source: Shop", "Company: acm"))
    assert f'href="?owner=me&amp;score=50&amp;source={source.pk}&amp;company=acm&amp;sort=name"' in page


def test_unreadable_filters_are_ignored(client, rep):
    make_lead(name="Ada")

    query = "owner=%F0%9F%92%A9&score=x&sort=password&after=nonsense&before=1&source=99999999999&stage=..&kind=x&q=" + "x" * 200

    assert names(client, query) == ["Ada"]


@pytest.mark.parametrize("sort", SORTS)
def test_every_head_sorts_both_ways_and_what_is_missing_comes_last(client, rep, sort):
    now = timezone.now()
    zoe = make_rep(first_name="Zoe", last_name="Zorn")
    make_lead(
        name="bea", company=make_company(name="beta"), stage_id="mql", engagement=20, owner=rep, last_event_at=now - timedelta(hours=2)
    )
    make_lead(name="Ann", company=make_company(name="Alpha"), engagement=10, last_event_at=now - timedelta(days=2), owner=rep)
    make_lead(name="Cid", company=make_company(name="Gamma"), stage_id="sql", engagement=30, owner=zoe, last_event_at=now)
    make_lead(name="none")
    for name, days in (("Ann", 3), ("bea", 2), ("Cid", 1), ("none", 0)):
        Lead.objects.filter(name=name).update(created_at=now - timedelta(days=days))

    rising, falling = names(client, f"sort={sort}"), names(client, f"sort=-{sort}")

    assert set(rising) == set(falling) == {"Ann", "bea", "Cid", "none"}
    if sort in {"company", "active", "owner"}:
        assert rising[-1] == falling[-1] == "none"
        assert (rising[0], falling[0]) in {("Ann", "Cid"), ("bea", "Cid")}
    else:
        assert rising == falling[::-1]
    page = client.get(f"/leads/?sort={sort}").content.decode()
    assert page.count('aria-sort="ascending"') == 1


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS)])
def test_pages_by_key_show_everybody_once_and_lead_back(client, rep, sort, monkeypatch):
    monkeypatch.setattr("leads.lead_filters.PAGE", 4)
    companies = [make_company(name=name) for name in ("Alpha", "beta")]
    for n in range(14):
        company = companies[n % 2] if n % 3 else None
        make_lead(
            name=f"L{n % 5}",
            company=company,
            engagement=n % 3,
            owner=rep if n % 4 else None,
            last_event_at=timezone.now() if n % 2 else None,
        )
    whole = list(Lead.objects.values_list("pk", flat=True))
    seen, query, forth = [], f"sort={sort}", []
    while True:
        context = client.get(f"/leads/?{query}").context
        forth.append([lead.pk for lead in context["page"].leads])
        seen += forth[-1]
        if not context["later"]:
            break
        query = context["later"]

    back = []
    while True:
        context = client.get(f"/leads/?{query}").context
        back.append([lead.pk for lead in context["page"].leads])
        if not context["earlier"]:
            break
        query = context["earlier"]

    assert sorted(seen) == sorted(whole) and len(seen) == len(set(seen))
    assert len(forth) == 4
    assert back[::-1] == forth


def test_a_page_that_began_at_a_lead_who_is_gone_begins_anew(client, rep):
    make_lead(name="Ada")

    answer = client.get("/leads/?after=00000000-0000-0000-0000-000000000000&sort=name")

    assert (answer.status_code, answer.url) == (302, "/leads/?sort=name")


def test_an_empty_list_says_how_leads_get_here_and_a_filtered_one_how_to_widen_it(client, rep):
    fresh = client.get("/leads/").content.decode()
    make_lead(name="Ada")
    filtered = client.get("/leads/?q=nobody").content.decode()

    assert "Nobody is known yet" in fresh and "/leads/import/" in fresh
    assert "Nobody fits" in filtered


def test_names_are_text_never_markup(client, rep):
    make_lead(name="<script>alert(1)</script>", title='"><b>', company=make_company(name="<i>x</i>"))

    page = client.get("/leads/").content.decode()

    assert "<script>alert" not in page and "<i>x</i>" not in page
    assert " style=" not in page


def test_htmx_gets_the_part_it_asks_for_and_the_address_people_share(client, rep):
    make_lead(name="Ada")

    typing = client.get("/leads/?q=&stage=&sort=name", headers={"HX-Request": "true", "HX-Target": "leads-live"})
    sorting = client.get("/leads/?sort=name", headers={"HX-Request": "true", "HX-Target": "leads-page"})

    assert typing["HX-Replace-Url"] == "/leads/?sort=name"
    assert sorting["HX-Push-Url"] == "/leads/?sort=name"
    assert b"leads-filter" not in typing.content and b"leads-filter" in sorting.content
    assert b"<html" not in typing.content + sorting.content


def test_the_list_costs_at_most_ten_queries_however_many_leads_there_are(client, rep):
    def add(count):
        for n in range(count):
            owner = make_rep() if n % 20 == 0 else rep
            make_lead(owner=owner, company=make_company(), stage_id=["cold", "mql", "sql", "won", "lost"][n % 5], engagement=n)

    def costs():
        first = client.get("/leads/?score=1&owner=me&company=company")
        later = first.context["later"] or f"after={first.context['page'].leads[0].uid}"
        return [count_queries(client, f"/leads/?{query}") for query in ("", "sort=owner&q=example", later)]

    add(20)
    client.get("/leads/")
    few = costs()
    add(480)
    many = costs()

    assert max(few + many) <= 10, (few, many)
    assert few == many


# --- what is done to several ---------------------------------------------------------------------


def test_leads_are_handed_to_a_colleague_who_is_told_once(client, rep):
    zoe = make_rep(first_name="Zoe", last_name="Zorn")
    ada, bob, hers = make_lead(owner=rep), make_lead(), make_lead(owner=zoe)
    move = make_transition(lead=ada)
    task = Task.objects.create(lead=ada, kind="handoff", title="x", owner=rep, transition=move)

    answer = client.post("/leads/give/", {"lead": chosen(ada, bob, hers), "owner": zoe.pk, "view": "sort=name"}, follow=True)

    assert answer.redirect_chain == [("/leads/?sort=name", 302)]
    assert "2 leads are now Zoe Zorn’s." in said(answer)
    assert set(Lead.objects.values_list("owner", flat=True)) == {zoe.pk}
    ada.refresh_from_db()
    task.refresh_from_db()
    assert (ada.former_owner, task.owner) == (rep, zoe)
    assert Notification.objects.get(user=zoe).title == "2 leads are yours now"
    assert Event.objects.filter(type="LEAD_EDITED").count() == 2


@pytest.mark.parametrize(
    ("data", "owner", "told"),
    [
        ({"owner": "me"}, "rita", "1 lead is now yours."),
        ({"owner": "nobody"}, None, "1 lead is now nobody’s."),
        ({"owner": ""}, "other", "Choose who is to own them."),
        ({"owner": "999999"}, "other", "Choose a colleague"),
        ({"owner": "me", "lead": []}, "other", "Tick at least one lead first."),
    ],
)
def test_owners_are_chosen_from_reps(client, rep, data, owner, told):
    lead = make_lead(owner=make_rep(username="other"))

    answer = client.post("/leads/give/", {"lead": chosen(lead)} | data, follow=True)

    lead.refresh_from_db()
    assert (lead.owner.username if lead.owner else None) == owner
    assert told in said(answer)


def test_a_row_s_own_button_takes_that_row_alone(client, rep):
    ada, bob = make_lead(), make_lead()

    client.post("/leads/give/", {"lead": chosen(ada), "take": str(bob.uid), "owner": ""})

    assert list(Lead.objects.filter(owner=rep)) == [bob]


def test_leads_are_moved_one_by_one_and_the_result_is_told(client, rep):
    first, second, raced, there = make_lead(name="A"), make_lead(name="B"), make_lead(name="C"), make_lead(name="D", stage_id="mql")
    data = {"lead": chosen(first, second, raced, there), "stage": "mql", "view": "stage=cold"}
    move_by_hand(raced, Stage.objects.get(key="sql"), by_user=make_rep())

    answer = client.post("/leads/stage/", data, follow=True)

    assert "2 moved to Marketing qualified, 1 was moved by somebody else, 1 was in Marketing qualified already." in said(answer)
    assert set(Lead.objects.filter(stage="mql").values_list("name", flat=True)) == {"A", "B", "D"}
    first.refresh_from_db()
    assert (first.owner, first.transitions.get().actor) == (rep, rep)


def test_moves_of_one_go_are_undone_together(client, rep):
    leads = [make_lead(), make_lead()]
    answer = client.post("/leads/stage/", {"lead": chosen(*leads), "stage": "mql", "view": "sort=name"}, follow=True)
    moves = re.search(r'name="moves" value="([\d,]+)"', answer.content.decode())[1]

    undone = client.post("/leads/undo/", {"moves": moves, "view": "sort=name"}, follow=True)

    assert set(Lead.objects.values_list("stage", flat=True)) == {"cold"}
    assert "2 leads are back where they were." in said(undone)


def test_a_reason_is_asked_for_where_sales_has_agreed_on_some(client, rep):
    leads = [make_lead(name="A"), make_lead(name="B")]
    Reason.objects.create(key="no-budget", name="No budget", asked_for="lost")

    asked = client.post("/leads/stage/", {"lead": chosen(*leads), "stage": "lost"})
    still = set(Lead.objects.values_list("stage", flat=True))
    moved = client.post("/leads/stage/", {"lead": chosen(*leads), "stage": "lost", "reason": "no-budget"}, follow=True)

    assert (asked.status_code, still) == (422, {"cold"})
    assert b"Why do 2 leads move?" in asked.content and b"No budget" in asked.content
    assert "2 moved to Closed lost." in said(moved)
    assert leads[0].transitions.get().reason.key == "no-budget"


def test_moving_nobody_or_nowhere_is_answered_in_words(client, rep):
    lead = make_lead()

    nobody = client.post("/leads/stage/", {"stage": "mql"}, follow=True)
    nowhere = client.post("/leads/stage/", {"lead": chosen(lead), "stage": ""})

    assert "Tick at least one lead first." in said(nobody)
    assert nowhere.status_code == 422


def test_campaigns_of_the_chosen_leads_are_stopped(client, rep):
    campaign = make_campaign()
    ada, bob, eve = make_lead(), make_lead(), make_lead()
    runs = [make_enrollment(campaign=campaign, lead=lead) for lead in (ada, bob, eve)]
    message = make_message(run=runs[0])

    answer = client.post("/leads/stop-campaigns/", {"lead": chosen(ada, bob), "view": "owner=me"}, follow=True)
    again = client.post("/leads/stop-campaigns/", {"lead": chosen(ada)}, follow=True)

    states = [Enrollment.objects.get(pk=run.pk).state for run in runs]
    assert states == ["exited", "exited", "active"]
    assert Message.objects.get(pk=message.pk).state == "canceled"
    assert Enrollment.objects.get(pk=runs[0].pk).reason == "stopped by Rita Rep"
    assert answer.redirect_chain == [("/leads/?owner=me", 302)]
    assert "2 campaign runs stopped." in said(answer)
    assert "Nothing to stop" in said(again)


@pytest.mark.parametrize("address", ["/leads/give/", "/leads/stage/", "/leads/stop-campaigns/", "/leads/undo/"])
def test_changes_are_posted_by_colleagues_and_lead_back_to_the_list_only(client, rep, address):
    lead = make_lead()
    stranger = Client()

    answer = client.post(
        address, {"lead": chosen(lead), "stage": "mql", "owner": "me", "moves": "1", "view": "//evil.example/?sort=name&x=1"}
    )

    assert client.get(address).status_code == 405
    assert stranger.post(address, {}).url.startswith("/login/")
    assert answer.url.startswith("/leads/")
    assert "evil" not in answer.url


def test_a_page_is_as_long_as_its_forms_can_carry():
    assert PAGE <= 100
    assert lead_list.HEADS.keys() == set(SORTS)
    assert Source.objects.count() == 1
