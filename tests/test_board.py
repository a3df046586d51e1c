"""The board: who is on it and where, what cards and columns say, how it refreshes, and moves by hand."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.models import Campaign
from crm import playbook
from leads import board as on_board
from leads.arrivals import describe_arrivals
from leads.intake import record_now
from leads.models import Lead, LeadSearch, Reason, SavedView, ScoringVersion, Stage, Task, Transition, User
from tests.factories import make_company, make_entry, make_event, make_lead, make_rep, make_source, make_transition, make_version

pytestmark = pytest.mark.django_db

STAGES = ["cold", "mql", "sql", "won", "lost"]


@pytest.fixture
def marketer(client):
    user = User.objects.create_user("mia", is_staff=True)
    user.groups.add(Group.objects.get(name="Marketing"))
    client.force_login(user)
    return user


def names_on(client, query=""):
    """The names of the cards, column by column."""
    context = client.get(f"/?{query}").context
    return {column.stage.key: [str(card.lead) for card in column.cards] for column in context["columns"] if column.cards}


def column_of(client, key, query=""):
    context = client.get(f"/?{query}").context
    return next(column for column in context["columns"] if column.stage.key == key)


def make_task(lead, *, hours, **fields):
    """A handoff whose clock runs out in so many hours."""
    now = timezone.now()
    return Task.objects.create(lead=lead, kind="handoff", title="Ready", due_at=now + timedelta(hours=hours), created_at=now, **fields)


def post(client, address, htmx=True, **values):
    headers = {"HX-Request": "true"} if htmx else {}
    return client.post(address, values, headers=headers)


def told(answer):
    """What the toast of an answer says."""
    return json.loads(answer.headers["HX-Trigger"])["toast"]


def seen(lead):
    """A card as the page names it."""
    return f"{lead.uid}.{lead.stage_seq}"


# --- who is on it


@pytest.mark.parametrize("address", ["/", "/board/live/", "/board/move/", "/board/more/"])
def test_the_board_is_for_colleagues(client, address):
    anonymous = client.get(address)
    client.force_login(User.objects.create_user("outsider"))
    outsider = client.get(address)

    assert anonymous.status_code == 302
    assert outsider.status_code == 403


def test_each_known_lead_is_in_its_column_with_what_matters(client, rep):
    company = make_company(name="Acme", value=Decimal(24_000), currency="EUR")
    make_lead(name="Ada Lovelace", title="CTO", company=company, owner=rep, engagement=70, fit=15, stage_id="sql")
    make_lead(name="", email="", stage_id="mql")

    page = client.get("/").content.decode()

    column = page.split('id="column-sql"')[1].split("</section>")[0]
    for words in ("Ada Lovelace", "Acme · CTO", ">85</span>", "Rita Rep", "€24k"):
        assert words in column
    assert "Visitor " not in page


def test_a_rep_sees_their_own_and_nobodys_until_they_choose(client, rep):
    make_lead(name="Mine", owner=rep, stage_id="mql")
    make_lead(name="Free", stage_id="mql")
    make_lead(name="Other", owner=make_rep(), stage_id="mql")

    assert set(names_on(client)["mql"]) == {"Mine", "Free"}
    assert names_on(client, "owner=me") == {"mql": ["Mine"]}
    assert names_on(client, "owner=nobody") == {"mql": ["Free"]}
    assert names_on(client, f"owner={rep.pk}") == {"mql": ["Mine"]}
    assert set(names_on(client, "owner=all")["mql"]) == {"Mine", "Free", "Other"}


def test_who_owns_no_leads_sees_everybodys(client, marketer):
    make_lead(name="Other", owner=make_rep(), stage_id="mql")

    assert names_on(client) == {"mql": ["Other"]}


def test_the_first_column_is_folded_to_its_count_until_opened(client, rep):
    make_lead(name="Early", stage_id="cold")

    folded, opened = column_of(client, "cold"), column_of(client, "cold", "cold=1")

    assert (folded.is_folded, folded.count, folded.cards) == (True, 1, [])
    assert [str(card.lead) for card in opened.cards] == ["Early"]


def test_won_and_lost_leave_after_30_days_unless_asked_for(client, rep):
    now = timezone.now()
    make_lead(name="Fresh", stage_id="won", stage_since=now - timedelta(days=29))
    make_lead(name="Old", stage_id="won", stage_since=now - timedelta(days=31))
    make_lead(name="Waiting", stage_id="sql", stage_since=now - timedelta(days=400))

    assert names_on(client) == {"sql": ["Waiting"], "won": ["Fresh"]}
    assert set(names_on(client, "closed=all")["won"]) == {"Fresh", "Old"}


def test_filters_narrow_the_board_and_what_is_unreadable_is_ignored(client, rep):
    source, _ = make_source(name="Web")
    acme = make_company(name="Acme GmbH", domain="acme.example")
    make_lead(name="Ada", stage_id="mql", company=acme, engagement=50, first_source=source)
    make_lead(name="Bob", stage_id="sql", engagement=10)

    assert names_on(client, "stage=sql") == {"sql": ["Bob"]}
    assert names_on(client, "score=50") == {"mql": ["Ada"]}
    assert names_on(client, f"source={source.pk}") == {"mql": ["Ada"]}
    assert names_on(client, "company=acme") == {"mql": ["Ada"]}
    assert names_on(client, "company=ACME.example") == {"mql": ["Ada"]}
    assert set(names_on(client, "owner=%F0%9F%92%A9&score=x&source=-1&stage=a%20b")) == {"mql", "sql"}


def test_visitors_are_filtered_in(client, rep):
    make_lead(name="Somebody", email="", stage_id="mql")
    make_lead(name="Known", stage_id="mql")

    assert names_on(client) == {"mql": ["Known"]}
    assert set(names_on(client, "visitors=1")["mql"]) == {"Known", "Somebody"}


def test_a_search_finds_by_every_word_among_everybodys_leads(client, rep):
    other = make_lead(name="Bob", owner=make_rep(), stage_id="cold")
    LeadSearch.objects.create(lead=other, text="bob bob@example.com +49 30 5551234 acme gmbh")

    for query in ("bob", "BOB@EXAMPLE", "5551234", "acme+bob"):
        assert names_on(client, f"q={query}") == {"cold": ["Bob"]}
    assert names_on(client, "q=bob+globex") == {}
    assert names_on(client, "q=bob&owner=me") == {}


def test_each_filter_is_a_chip_that_lifts_it(client, rep):
    page = client.get("/?q=ada&score=40&owner=me").content.decode()

    assert "Score at least 40" in page
    assert 'href="?q=ada&amp;owner=me"' in page
    assert "“ada”" in page


# --- order and pages


def test_the_order_is_the_clock_then_the_points_of_the_week_then_the_score(client, rep):
    version, now = make_version(scoring={"rules": []}), timezone.now()
    high = make_lead(name="High", stage_id="sql", fit=90)
    low = make_lead(name="Low", stage_id="sql", fit=5)
    rising = make_lead(name="Rising", stage_id="sql")
    make_entry(lead=rising, points=30, version=version)
    faded = make_lead(name="Faded", stage_id="sql")
    make_entry(lead=faded, points=60, version=version, at=now - timedelta(days=8))
    make_task(make_lead(name="Later", stage_id="sql"), hours=50)
    make_task(make_lead(name="Soon", stage_id="sql"), hours=1)
    make_task(low, hours=0, touched_at=now)

    assert names_on(client)["sql"] == ["Soon", "Later", "Rising", "High", "Faded", "Low"]
    assert str(high) == "High"


def test_more_cards_come_in_order_without_gaps_or_doubles(client, rep):
    version = make_version(scoring={"rules": []})
    for n in range(123):
        lead = make_lead(name=f"Lead {n}", stage_id="mql", fit=n % 7)
        if n % 5 == 0:
            make_entry(lead=lead, points=n % 3 + 1, version=version)
        if n % 11 == 0:
            make_task(lead, hours=n)
    column = column_of(client, "mql")
    found, after = [card.lead.pk for card in column.cards], column.after

    while after:
        page = client.get("/board/more/", {"column": "mql", "after": after}, headers={"HX-Request": "true"})
        column = page.context["column"]
        found += [card.lead.pk for card in column.cards]
        after = column.after if column.hidden else ""

    assert len(found) == 123
    assert found == list(on_board.in_order(Lead.objects.known(), now=timezone.now()).values_list("pk", flat=True))


def test_more_cards_are_a_page_without_javascript(client, rep):
    for _ in range(60):
        make_lead(stage_id="mql")
    after = column_of(client, "mql").after

    page = client.get("/board/more/", {"column": "mql", "after": after})
    bad = client.get("/board/more/", {"column": "mql", "after": "💩"})

    assert page.content.decode().count("data-card=") == 10
    assert "further down" in page.content.decode()
    assert '<a href="/?">Board</a>' in page.content.decode()
    assert (bad.status_code, bad.url) == (302, "/")


# --- columns


def test_a_company_counts_once_in_its_furthest_open_stage(client, rep):
    acme = make_company(value=Decimal(10_000), currency="EUR")
    make_lead(company=acme, stage_id="mql")
    make_lead(company=acme, stage_id="sql")
    make_lead(company=acme, stage_id="won")
    make_lead(company=make_company(value=Decimal(500), currency="USD"), stage_id="sql")
    make_lead(company=make_company(value=Decimal(700), currency="EUR"), stage_id="won")
    make_lead(value=Decimal(300), currency="EUR", stage_id="sql")

    columns = {column.stage.key: {m.currency: m.amount for m in column.values} for column in client.get("/").context["columns"]}

    assert columns == {"cold": {}, "mql": {}, "sql": {"EUR": 10_300, "USD": 500}, "won": {"EUR": 700}, "lost": {}}


def test_the_head_tells_the_average_time_in_the_stage(client, rep):
    now = timezone.now()
    make_lead(stage_id="mql", stage_since=now - timedelta(days=2))
    make_lead(stage_id="mql", stage_since=now - timedelta(days=6), currency="EUR")

    assert round(column_of(client, "mql").age / timedelta(days=1), 2) == 4
    assert "On average 4 d in this stage" in client.get("/").content.decode()


def test_an_empty_column_says_how_leads_get_there(client, rep):
    playbook.apply_shipped(active=False)
    make_lead(stage_id="mql")

    page = client.get("/").content.decode()

    assert "80 points" in page
    assert "“Viewed pricing” 3 times in 7d" in page
    assert "“Contract signed” and “Payment succeeded”" in page


def test_without_gates_an_empty_column_says_the_plain_truth():
    lost, cold = Stage.objects.get(key="lost"), Stage.objects.get(key="cold")

    assert describe_arrivals(lost, {}) == "Leads arrive when somebody moves them here."
    assert describe_arrivals(cold, {}) == "Everybody starts here."


def test_stages_are_shown_in_their_own_names(client, rep):
    Stage.objects.filter(key="mql").update(name="Interested")
    make_lead(stage_id="mql")

    page = client.get("/").content.decode()

    assert "Interested" in page
    assert "Marketing qualified" not in page


# --- cards


@time_machine.travel(datetime(2026, 5, 13, 12, tzinfo=UTC), tick=False)
def test_the_line_ends_at_the_score_and_the_arrow_follows_the_week(client, rep):
    version, now = make_version(scoring={"rules": []}), timezone.now()
    lead = make_lead(stage_id="sql")
    make_entry(lead=lead, points=40, version=version, at=now - timedelta(days=20))
    make_entry(lead=lead, points=10, version=version, at=now - timedelta(days=3))
    make_entry(lead=lead, points=-5, version=version, at=now - timedelta(days=1))

    card = column_of(client, "sql").cards[0]
    days = on_board.points_by_day([lead], now=now)[lead.pk]

    assert card.gained == 5
    assert on_board.levels(45, days, today=now.date()) == [40, 40, 40, 40, 40, 50, 50, 45, 45]
    assert "+5 in 7 days" in client.get("/").content.decode()


def test_a_flat_line_stays_inside_its_box():
    points = [tuple(map(float, point.split(","))) for point in on_board.draw_line([3, 3, 3, 9, -2]).split()]

    assert all(0 <= x <= 48 and 0 <= y <= 16 for x, y in points)
    assert {y for _, y in (map(float, p.split(",")) for p in on_board.draw_line([7] * 9).split())} == {14.0}


def test_a_running_clock_is_a_bar_with_words(client, rep):
    with time_machine.travel(datetime(2026, 5, 13, 10, tzinfo=UTC), tick=False):
        lead = make_lead(stage_id="sql", owner=rep)
        make_task(lead, hours=4, owner=rep)
    with time_machine.travel(datetime(2026, 5, 13, 13, 30, tzinfo=UTC), tick=False):
        client.force_login(rep)
        page = client.get("/").content.decode()

    assert "30 min left" in page
    assert 'class="clock is-urgent"' in page
    assert " style=" not in page


def test_a_card_says_that_a_colleague_was_won(client, rep):
    acme = make_company()
    make_lead(name="Grace", company=acme, stage_id="won")
    make_lead(name="Ada", company=acme, stage_id="mql")

    page = client.get("/").content.decode()

    assert "A colleague was won: Grace" in page
    assert "A colleague was won: Ada" not in page


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(4800, "EUR", "€4,800"), (24_400, "USD", "$24k"), (1_250_000, "CHF", "CHF 1.2M"), (999_999, "", "1.0M")],
)
def test_money_is_short(amount, currency, text):
    from leads.templatetags.words import money

    assert money(Decimal(amount), currency) == text


# --- queries


def count_queries(client, address):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def fill(count, *, owners, version):
    for n in range(count):
        owner = owners[n % len(owners)]
        company = make_company(value=100, currency="EUR") if n % 3 else None
        lead = make_lead(owner=owner, company=company, stage_id=STAGES[n % 5])
        make_entry(lead=lead, points=5, version=version)
        if n % 5 == 2:
            make_task(lead, hours=3, owner=owner)


def test_the_board_costs_at_most_15_queries_with_10_and_with_300_leads(client, rep):
    version, owners = make_version(scoring={"rules": []}), [rep, None, make_rep()]
    fill(10, owners=owners, version=version)
    client.get("/")
    few = count_queries(client, "/?owner=all&cold=1")
    fill(290, owners=owners, version=version)

    many = count_queries(client, "/?owner=all&cold=1")

    assert many == few
    assert many <= 15


# --- the first steps


def test_the_first_steps_offer_nobody_a_page_they_may_not_open(client, rep, marketer):
    asked = {}
    for user in (rep, marketer):
        client.force_login(user)
        asked[user.username] = client.get("/").content.decode()

    assert 'href="/sources/"' not in asked["rita"] + asked["mia"]
    assert asked["rita"].count("Somebody in the group") == 2, "the playbook is for Marketing, the source for Admin"
    assert asked["mia"].count("Somebody in the group") == 1


# --- refresh


def test_a_refresh_that_finds_nothing_new_answers_nothing(client, rep):
    with time_machine.travel(datetime(2026, 5, 13, 10, tzinfo=UTC), tick=False):
        client.force_login(rep)
        make_lead(stage_id="mql")
        state = client.get("/").context["seen"]
        same = client.get("/board/live/", {"seen": state})
        lead = make_lead(name="New", stage_id="mql")
        make_event(lead=lead)
        changed = client.get("/board/live/", {"seen": state})
        elsewhere = client.get("/board/live/", {"seen": changed.context["seen"].replace("-", "0-"), "owner": ""})

    assert (same.status_code, same.content) == (204, b"")
    assert changed.status_code == 200
    assert "New" in changed.content.decode()
    assert elsewhere.status_code == 204, "something was recorded, but nothing that this board shows"


def test_a_quiet_refresh_is_cheap(client, rep):
    make_lead(stage_id="mql")
    with time_machine.travel(datetime(2026, 5, 13, 10, tzinfo=UTC), tick=False):
        client.force_login(rep)
        state = client.get("/").context["seen"]
        with CaptureQueriesContext(connection) as queries:
            client.get("/board/live/", {"seen": state})

    assert len(queries) <= 8


def test_a_refresh_brings_as_many_cards_as_are_shown(client, rep):
    for _ in range(120):
        make_lead(stage_id="mql")

    first = client.get("/board/live/").content.decode()
    grown = client.get("/board/live/", {"shown": "mql:100"}).content.decode()
    odd = client.get("/board/live/", {"shown": "mql:x,sql"})

    assert first.count("data-card=") == 50
    assert grown.count("data-card=") == 100
    assert odd.status_code == 200


# --- moves


def test_a_card_is_moved_and_the_answer_is_the_board_with_undo(client, rep):
    playbook.apply_shipped(active=False)
    record_now([{"type": "NEWSLETTER_SIGNED_UP", "email": "ada@example.com", "traits": {"name": "Ada"}}])
    lead = Lead.objects.get()

    answer = post(client, "/board/move/", lead=seen(lead), stage="sql")

    lead.refresh_from_db()
    toast = told(answer)
    assert (lead.stage_id, lead.owner) == ("sql", rep)
    assert "Ada is now in Sales qualified. Not met yet: score at least 80 (0)" in toast["text"]
    assert toast["undo"] == f"/board/undo/?moves={lead.transitions.last().pk}"
    assert 'id="board"' in answer.content.decode()


def test_undo_puts_the_card_back(client, rep):
    lead = make_lead(name="Ada", stage_id="mql")
    post(client, "/board/move/", lead=seen(lead), stage="sql")
    move = lead.transitions.get()

    answer = post(client, "/board/undo/", moves=str(move.pk))

    lead.refresh_from_db()
    assert lead.stage_id == "mql"
    assert told(answer)["text"] == "Ada is back in Marketing qualified."
    assert lead.transitions.get(seq=2).undoes == move


def test_undoing_a_move_of_somebody_else_is_refused_in_words(client, rep):
    move = make_transition(lead=make_lead(stage_id="mql"), to="sql", actor=make_rep())

    answer = post(client, "/board/undo/", moves=str(move.pk))

    assert "Only your own last move can be taken back" in told(answer)["text"]
    assert told(answer)["level"] == "error"
    assert Transition.objects.count() == 1


def test_several_cards_move_together_and_come_back_together(client, rep):
    leads = [make_lead(stage_id="mql") for _ in range(3)]

    answer = post(client, "/board/move/", lead=[seen(lead) for lead in leads], stage="sql")
    there = Lead.objects.filter(stage="sql").count()
    moves = ",".join(str(pk) for pk in Transition.objects.values_list("pk", flat=True))
    back = post(client, "/board/undo/", moves=moves)

    assert (there, Lead.objects.filter(stage="mql").count()) == (3, 3)
    assert told(answer)["text"] == "3 leads are now in Sales qualified."
    assert told(back)["text"] == "3 leads are back where they were."


def test_losing_needs_a_reason_and_says_so_with_the_form(client, rep):
    Reason.objects.create(key="no-budget", name="No budget", asked_for="lost")
    Reason.objects.create(key="came-back", name="Came back", asked_for="reopen")
    lead = make_lead(stage_id="sql")

    refused = post(client, "/board/move/", lead=seen(lead), stage="lost")
    plain = post(client, "/board/move/", lead=seen(lead), stage="lost", htmx=False)
    wrong = post(client, "/board/move/", lead=seen(lead), stage="lost", reason="came-back")
    lead.refresh_from_db()
    still = lead.stage_id
    moved = post(client, "/board/move/", lead=seen(lead), stage="lost", reason="no-budget", note="Next year")

    lead.refresh_from_db()
    move = lead.transitions.get()
    assert [refused.status_code, plain.status_code, wrong.status_code, still] == [422, 422, 422, "sql"]
    assert "Choose a reason" in refused.content.decode()
    assert "<html" not in refused.content.decode()
    assert "<html" in plain.content.decode()
    assert (moved.status_code, lead.stage_id, move.reason.key, move.note) == (200, "lost", "no-budget", "Next year")


def test_leaving_won_needs_a_reason_other_moves_need_none(client, rep):
    Reason.objects.create(key="came-back", name="Came back", asked_for="reopen")
    won, open_lead = make_lead(stage_id="won"), make_lead(stage_id="sql")

    refused = post(client, "/board/move/", lead=seen(won), stage="mql")
    backwards = post(client, "/board/move/", lead=seen(open_lead), stage="mql")
    moved = post(client, "/board/move/", lead=seen(won), stage="mql", reason="came-back")

    assert [refused.status_code, backwards.status_code, moved.status_code] == [422, 200, 200]


def test_whoever_comes_second_is_told_what_happened(client, rep):
    lead = make_lead(name="Ada", stage_id="mql")
    stale = seen(lead)
    make_transition(lead=lead, to="won", actor=make_rep(first_name="Max", last_name="Quick"))

    answer = post(client, "/board/move/", lead=stale, stage="sql")

    lead.refresh_from_db()
    assert lead.stage_id == "won"
    assert told(answer) == {"text": "Not moved: Max Quick moved Ada to Closed won just now.", "undo": "", "level": "error"}
    assert 'id="board"' in answer.content.decode()


def test_moving_to_where_it_is_already_changes_nothing(client, rep):
    lead = make_lead(name="Ada", stage_id="sql")

    answer = post(client, "/board/move/", lead=seen(lead), stage="sql")

    assert told(answer)["text"] == "Ada is in Sales qualified already."
    assert not Transition.objects.exists()


def test_the_move_works_as_a_plain_form_and_keeps_the_filters(client, rep):
    lead = make_lead(name="Ada", stage_id="mql")

    form = client.get("/board/move/", {"lead": seen(lead), "view": "owner=me&score=40"})
    answer = post(client, "/board/move/", lead=seen(lead), stage="sql", view="score=40&owner=me", htmx=False)
    page = client.get(answer.url).content.decode()

    assert "Move Ada" in form.content.decode()
    assert (answer.status_code, answer.url) == (302, "/?owner=me&score=40")
    assert "Ada is now in Sales qualified." in page
    assert '<button class="toast-undo">Undo</button>' in page


@pytest.mark.parametrize("values", [{}, {"stage": "sql"}, {"lead": "x.y", "stage": "sql"}, {"lead": "x", "stage": "nowhere"}])
def test_nonsense_is_refused_with_the_form(client, rep, values):
    assert post(client, "/board/move/", **values).status_code == 422
    assert post(client, "/board/undo/", moves="💩").status_code == 200


def test_names_are_shown_as_text_never_as_markup(client, rep):
    lead = make_lead(name="<script>alert(1)</script>", stage_id="mql")

    board = client.get("/").content
    answer = post(client, "/board/move/", lead=seen(lead), stage="sql", htmx=False)
    after = client.get(answer.url).content

    assert b"<script>alert" not in board + after
    assert b"&lt;script&gt;alert(1)&lt;/script&gt; is now in" in after


# --- saved views


def test_a_view_is_saved_used_and_forgotten(client, rep):
    client.post("/board/views/", {"name": "Hot", "query": "score=60&owner=me&evil=1"})
    view = SavedView.objects.get(user=rep)
    page = client.get("/?owner=me&score=60").content.decode()
    client.post("/board/views/", {"name": "Hot", "query": "score=90"})
    view.refresh_from_db()
    newer = view.query
    client.post(f"/board/views/{view.pk}/forget/")

    assert (view.page, newer) == ("board", "score=90")
    assert 'href="?owner=me&amp;score=60" aria-current="true"' in page
    assert not SavedView.objects.exists()


def test_nobody_forgets_the_view_of_another(client, rep):
    view = SavedView.objects.create(user=make_rep(), page="board", name="Theirs")

    assert client.post(f"/board/views/{view.pk}/forget/").status_code == 404
    assert client.post("/board/views/", {"name": "", "query": ""}).status_code == 302
    assert SavedView.objects.count() == 1


# --- a fresh install


def test_the_playbook_is_applied_in_one_click_with_campaigns_paused(client, marketer):
    before = client.get("/").content.decode()

    answer = client.post("/playbook/apply/", follow=True)

    after = answer.content.decode()
    assert "Apply the playbook</button>" in before
    assert ScoringVersion.live().published_by == marketer
    assert set(Campaign.objects.values_list("status", flat=True)) == {"paused"}
    assert "Its campaigns are paused" in after
    assert "Apply the playbook</button>" not in after


def test_a_rep_does_not_apply_the_playbook(client, rep):
    page = client.get("/").content.decode()

    assert "Somebody in the group Marketing or Admin can do this" in page
    assert client.post("/playbook/apply/").status_code == 403
    assert not ScoringVersion.objects.exists()


def test_edits_are_not_overwritten_by_applying_again(client, marketer):
    playbook.apply_shipped(active=False)
    Stage.objects.filter(key="mql").update(name="Interested")

    page = client.post("/playbook/apply/", follow=True).content.decode()

    assert "Nothing was changed." in page
    assert Stage.objects.get(key="mql").name == "Interested"


def test_the_board_waits_for_the_first_event_and_sees_it(client, rep):
    waiting = client.get("/")
    record_now([{"type": "SIGNED_UP", "anonymousId": "a-1"}])
    visitor = client.get("/board/live/", {"seen": waiting.context["seen"]})
    record_now([{"type": "SIGNED_UP", "userId": "u-1", "email": "ada@example.com"}])
    known = client.get("/board/live/", {"seen": waiting.context["seen"]})

    assert "Waiting for your first event" in waiting.content.decode()
    assert visitor.status_code in (200, 204)
    assert 'id="column-mql"' in known.content.decode()
