"""Companies: how warm they are together, and who looks after them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.company_page import change_owner, entries_of, measure_heat
from leads.handoff import hand_over
from leads.models import Company, Notification, Reason, Task, User
from leads.todos import accept, claim, reject
from tests.factories import make_company, make_entry, make_lead, make_rep, make_transition, make_version

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 6, 8, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(MONDAY, tick=False) as traveller:
        yield traveller


def hand(*leads):
    transitions = [make_transition(lead=lead) for lead in leads]
    with transaction.atomic():
        hand_over(transitions=transitions, now=timezone.now())
    for lead in leads:
        lead.refresh_from_db()


def names(client, query=""):
    """The names on the list, in order."""
    page = client.get(f"/companies/?{query}").content.decode()
    return [part.split("</a>")[0].rpartition(">")[2] for part in page.split('class="company-link cut"')[1:]]


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def count_queries(client, address):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


# --- who may ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("address", ["/companies/", "/companies/{pk}/"])
def test_companies_are_for_colleagues(client, address):
    address = address.format(pk=make_company().pk)

    nobody = client.get(address)
    client.force_login(User.objects.create_user("stranger"))
    stranger = client.get(address)
    client.force_login(make_rep())
    rep = client.get(address)

    assert nobody.url.startswith("/login/")
    assert (stranger.status_code, rep.status_code) == (403, 200)


@pytest.mark.parametrize("verb", ["owner", "value"])
def test_only_colleagues_change_them_and_by_post(client, verb):
    company = make_company()
    address = f"/companies/{company.pk}/{verb}/"

    nobody = client.post(address, {"value": "1", "currency": "EUR"})
    client.force_login(make_rep())

    assert nobody.url.startswith("/login/")
    assert client.get(address).status_code == 405
    assert fresh(company).value is None


# --- the list --------------------------------------------------------------------------------------
def test_the_warmest_together_come_first(client, rep):
    busy, hot, cold = make_company(name="Busy"), make_company(name="Hot"), make_company(name="Cold")
    for _ in range(3):
        make_lead(company=busy, engagement=40)
    make_lead(company=hot, engagement=90)

    page = client.get("/companies/").content.decode()

    assert names(client) == ["Busy", "Hot", "Cold"]
    assert ">120</span>" in page
    assert "warmest 40" in page
    assert cold.leads.count() == 0


def test_anonymous_and_merged_people_do_not_count(client, rep):
    company = make_company(name="Acme")
    lead = make_lead(company=company, engagement=10)
    make_lead(company=company, engagement=50, email="")
    make_lead(company=company, engagement=70, merged_into=lead)

    page = client.get("/companies/").content.decode()

    assert ">10</span>" in page
    assert 'data-unit="person">1</td>' in page


def test_the_furthest_stage_is_the_nearest_to_the_money(client, rep):
    for stages in (["cold", "sql", "lost"], ["lost"], ["sql", "won"]):
        company = make_company(name="-".join(stages))
        for stage in stages:
            make_lead(company=company, stage_id=stage)

    page = client.get("/companies/?sort=name").content.decode()

    rows = [row.split("</tr>")[0] for row in page.split('scope="row"')[1:]]
    assert ["Sales qualified" in row for row in rows] == [True, False, False]
    assert ["Closed lost" in row for row in rows] == [False, True, False]
    assert ["Closed won" in row for row in rows] == [False, False, True]


def test_search_and_owner_live_in_the_address(client, rep):
    make_company(name="Acme Labs", domain="acme.example", owner=rep)
    make_company(name="Zenith", domain="zen.example", owner=make_rep())
    make_company(name="Nova", domain="nova.example")

    assert names(client, "q=ACME") == ["Acme Labs"]
    assert names(client, "q=labs+acme") == ["Acme Labs"]
    assert names(client, "q=zen.example") == ["Zenith"]
    assert names(client, "owner=me") == ["Acme Labs"]
    assert names(client, "owner=nobody") == ["Nova"]
    assert names(client, "q=nothing") == []
    assert sorted(names(client, "owner=%F0%9F%92%A9&sort=x&after=--&q=" + "x" * 200)) == ["Acme Labs", "Nova", "Zenith"]


@pytest.mark.parametrize("sort", ["heat", "name"])
def test_every_company_is_on_exactly_one_page(client, rep, monkeypatch, sort):
    monkeypatch.setattr("leads.company_list.ROWS", 3)
    for number in range(8):
        make_lead(company=make_company(name=f"Firm {number % 3}", domain=f"f{number}.example"), engagement=number % 3)

    seen, query = [], f"sort={sort}"
    while query:
        page = client.get(f"/companies/?{query}").content.decode()
        seen += [int(part.split("/")[0]) for part in page.split('href="/companies/')[1:] if part[0].isdigit()]
        query = page.split('hx-get="?')[1].split('"')[0].replace("&amp;", "&") if 'hx-get="?' in page else ""

    assert sorted(seen) == sorted(Company.objects.values_list("pk", flat=True))


def test_more_rows_come_without_the_page_around_them(client, rep):
    make_company(name="Acme")

    page = client.get("/companies/", headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in page
    assert "<table" not in page
    assert "Acme" in page


def test_empty_lists_teach_the_next_step(client, rep):
    empty = client.get("/companies/").content
    filtered = client.get("/companies/?q=nobody").content
    end = client.get("/companies/?after=0.1").content

    assert b"Companies appear by themselves" in empty
    assert b"No company fits" in filtered
    assert b"That was the last one" in end


def test_the_list_costs_the_same_with_few_and_with_many(client, rep):
    make_lead(company=make_company(owner=rep))
    client.get("/companies/")
    few = count_queries(client, "/companies/")
    for n in range(30):
        company = make_company(owner=make_rep() if n % 10 == 0 else rep, value=n, currency="EUR")
        make_lead(company=company, stage_id=["cold", "mql", "sql"][n % 3], engagement=n)

    assert count_queries(client, "/companies/") == few
    assert few <= 10


# --- the page --------------------------------------------------------------------------------------
def test_the_page_shows_people_and_their_heat_together(client, rep):
    company = make_company(name="Acme", domain="acme.example", value=Decimal("12000"), currency="EUR")
    make_lead(name="Ada", title="CTO", company=company, engagement=70, fit=15, stage_id="sql", owner=rep)
    make_lead(name="Bob", company=company, engagement=20)

    page = client.get(f"/companies/{company.pk}/").content.decode()

    assert page.index(">Ada</a>") < page.index(">Bob</a>")
    assert ">105</span>" in page
    assert "2 people" in page
    assert "12,000 EUR" in page
    assert 'href="https://acme.example"' in page


def test_heat_is_summed_day_by_day_back_from_today():
    version, company = make_version(), make_company()
    first, second = make_lead(company=company), make_lead(company=company)
    make_entry(lead=first, points=30, version=version, at=MONDAY - timedelta(days=120))
    make_entry(lead=first, points=20, version=version, at=MONDAY - timedelta(days=10))
    make_entry(lead=second, points=5, version=version, at=MONDAY)
    make_entry(lead=make_lead(company=company, email=""), points=99, version=version, at=MONDAY)

    heat = measure_heat(company, now=MONDAY)

    assert heat.curve.scores[0] == 30
    assert heat.curve.scores[-12:-9] == [30, 50, 50]
    assert heat.curve.scores[-1] == 55
    assert heat.weeks[0] == (MONDAY.date(), 55)
    assert len(heat.weeks) == 13


def test_the_chart_has_a_table(client, rep):
    company = make_company()
    make_entry(lead=make_lead(company=company), points=30, version=make_version(), at=MONDAY - timedelta(days=10))

    page = client.get(f"/companies/{company.pk}/").content.decode()

    assert "Heat: up 30 in 30 days" in page
    assert "<polyline" in page
    assert "8 Jun 2026</th>" in page


def test_without_people_or_history_it_says_what_is_to_come(client, rep):
    company = make_company()
    empty = client.get(f"/companies/{company.pk}/").content.decode()
    make_lead(company=company)

    cold = client.get(f"/companies/{company.pk}/").content.decode()

    assert "Nobody of this company is known yet" in empty
    assert "Nothing to do right now" in empty
    assert "there is nothing to draw yet" in cold


def test_a_second_hot_person_joins_owner_and_task_and_it_shows(client, rep):
    company = make_company()
    ada, bea = make_lead(name="Ada", company=company), make_lead(name="Bea", company=company)
    hand(ada)
    hand(bea)

    page = client.get(f"/companies/{company.pk}/").content.decode()

    tasks, handoffs = page.split('id="tasks"')[1], page.split('id="handoffs"')[1].split("</section>")[0]
    assert fresh(bea).owner == fresh(ada).owner == rep
    assert "Ready for a demo: Ada" in tasks
    assert "joined by" in tasks
    assert "got ready too and joined the task for Ada, with Rita Rep" in handoffs
    assert "was handed to Rita Rep" in handoffs


def test_the_timeline_says_what_became_of_each_handoff(rep, clock):
    company = make_company()
    ada = make_lead(name="Ada", company=company)
    hand(ada)
    reason = Reason.objects.create(key="early", name="Too early", asked_for="reject")
    reject(Task.objects.get(), by_user=rep, reason=reason)
    clock.shift(timedelta(days=1))
    hand(fresh(ada))
    accept(Task.objects.get(done_at=None), by_user=rep)
    hand(make_lead(name="Bea", company=company))

    bea, again, first = entries_of(company)

    assert (bea.has_joined, bea.task) == (True, again.task)
    assert again.task.accepted_at
    assert first.task.rejected_for == reason


def test_tasks_are_claimed_and_done_from_the_page(client, rep):
    company = make_company()
    lead = make_lead(company=company)
    task = Task.objects.create(lead=lead, title="Call the office")
    address = f"/companies/{company.pk}/"

    claim(task, by_user=rep)
    page = client.get(address).content.decode()
    answer = client.post(f"/tasks/{task.pk}/done/", {"next": address})

    assert f'action="/tasks/{task.pk}/done/"' in page
    assert answer.url == address
    assert fresh(task).done_at


def test_the_page_costs_the_same_with_few_and_with_many(client, rep):
    company, version = make_company(owner=rep), make_version()
    address = f"/companies/{company.pk}/"

    def fill(times):
        for _ in range(times):
            lead = make_lead(company=company)
            make_entry(lead=lead, points=3, version=version)
            hand(lead)
            Task.objects.create(lead=lead, title="Call", owner=rep)

    fill(2)
    client.get(address)
    few = count_queries(client, address)
    fill(12)

    assert count_queries(client, address) == few
    assert few <= 20


def test_an_unknown_company_is_not_found(client, rep):
    assert client.get("/companies/999/").status_code == 404


# --- owner and value -------------------------------------------------------------------------------
def test_a_new_owner_takes_the_open_leads_along(client, rep):
    other = make_rep(first_name="Otto", last_name="Other")
    company = make_company(name="Acme", owner=rep)
    open_lead, won = make_lead(company=company, owner=rep), make_lead(company=company, owner=rep, stage_id="won")
    hand(open_lead)

    offered = client.get(f"/companies/{company.pk}/").content.decode()
    answer = client.post(f"/companies/{company.pk}/owner/", {"owner": other.pk, "with_leads": "on"}, follow=True)

    assert "Take its open lead along" in offered
    assert b"Acme is Otto Other&#x27;s now, with 1 lead." in answer.content
    assert fresh(company).owner == fresh(open_lead).owner == Task.objects.get().owner == other
    assert fresh(open_lead).former_owner == fresh(won).owner == rep
    assert Notification.objects.filter(user=other, title="Acme is yours now", body="Rita Rep gave it to you, with 1 lead.").count() == 1


def test_without_the_tick_the_leads_stay(client, rep):
    other = make_rep()
    company = make_company(owner=rep)
    lead = make_lead(company=company, owner=rep)

    client.post(f"/companies/{company.pk}/owner/", {"owner": other.pk})

    assert (fresh(company).owner, fresh(lead).owner) == (other, rep)


def test_a_company_can_be_nobodys_and_my_own_act_is_no_news(client, rep):
    company = make_company(name="Acme", owner=rep)

    answer = client.post(f"/companies/{company.pk}/owner/", {"owner": ""}, follow=True)
    client.post(f"/companies/{company.pk}/owner/", {"owner": rep.pk})

    assert b"Acme is nobody&#x27;s now." in answer.content
    assert fresh(company).owner == rep
    assert not Notification.objects.exists()


def test_only_sales_owns_and_whoever_left_stays_in_the_list(client, rep):
    gone = make_rep(is_active=False)
    company = make_company(owner=gone)

    refused = client.post(f"/companies/{company.pk}/owner/", {"owner": User.objects.create_user("mia").pk})
    page = client.get(f"/companies/{company.pk}/").content.decode()

    assert refused.status_code == 422
    assert b"Choose somebody of the group Sales" in refused.content
    assert f'<option value="{gone.pk}" selected>' in page


def test_giving_it_to_who_has_it_tells_nobody(rep):
    company = make_company(owner=rep)

    assert change_owner(company, rep, with_leads=True, by_user=make_rep()) == 0
    assert not Notification.objects.exists()


def test_the_value_is_saved_with_its_currency(client, rep):
    company = make_company()

    answer = client.post(f"/companies/{company.pk}/value/", {"value": "12000.50", "currency": "eur"}, headers={"HX-Request": "true"})

    assert (fresh(company).value, fresh(company).currency) == (Decimal("12000.50"), "EUR")
    assert "12,000.50 EUR" in answer.content.decode()
    assert "Value saved" in answer.headers["HX-Trigger"]


def test_a_value_can_be_forgotten(client, rep):
    company = make_company(value=5, currency="EUR")

    client.post(f"/companies/{company.pk}/value/", {"value": "", "currency": "EUR"})

    assert (fresh(company).value, fresh(company).currency) == (None, "")


@pytest.mark.parametrize(
    ("data", "cure"),
    [
        ({"value": "-1", "currency": "EUR"}, "0 or more"),
        ({"value": "5", "currency": ""}, "Say in which currency"),
        ({"value": "5", "currency": "€"}, "Three letters"),
        ({"value": "much", "currency": "EUR"}, "Enter a number"),
    ],
)
def test_a_wrong_value_is_told_with_the_cure_and_changes_nothing(client, rep, data, cure):
    company = make_company(value=7, currency="USD")

    answer = client.post(f"/companies/{company.pk}/value/", data)

    assert answer.status_code == 422
    assert cure in answer.content.decode()
    assert (fresh(company).value, fresh(company).currency) == (7, "USD")


def test_names_are_text(client, rep):
    company = make_company(name="<b>Bold</b>", traits={"<i>": "<u>x</u>"})

    both = client.get("/companies/").content + client.get(f"/companies/{company.pk}/").content

    assert b"<b>Bold" not in both
    assert b"<u>x" not in both
