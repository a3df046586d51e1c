"""What stands around the pages: who may open which, the rail, search and go, the bell, the profile, the log-in."""

import json
import re
from datetime import date, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from campaigns.models import Campaign
from leads.access import access_of
from leads.models import LeadSearch, Notification, User, Workspace
from leads.notifications import notification
from leads.search import index_leads
from tests.factories import make_company, make_lead, make_rep

pytestmark = pytest.mark.django_db

# Open to everybody, and why.
PUBLIC = {
    "login/": "who is not logged in yet",
    "logout/": "ends only one's own session",
    "admin": "leads on to the admin",
    "healthz": "load balancers",
    "c/<str:token>": "links in mails; the token is the key",
    "u/<str:token>": "unsubscribing must not need a log-in",
    "confirm/<str:token>/": "links in mails; the token is the key",
    "api/docs": "how to talk to us",
    "api/openapi.json": "how to talk to us",
}
# Doors for machines ask for a source's key, not for a session.
MACHINES = ("api/", "v1/", "^(?:api|v1)/")
EXAMPLES = {"uuid": "00000000-0000-0000-0000-000000000000", "int": "1", "str": "x", "slug": "x", "part": "rules"}


def walk(patterns, before=""):
    """(route, view) of every address below these patterns."""
    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield route, pattern.callback


def pages():
    """(route, view) of what people with a log-in use; the admin guards itself."""
    for route, view in walk(get_resolver().url_patterns):
        if not (route.startswith(("admin/", *MACHINES)) or route.rstrip("/") in {name.rstrip("/") for name in PUBLIC}):
            yield route, view


def example(route):
    """An address the route fits."""
    return "/" + re.sub(r"<(\w+):\w+>", lambda match: EXAMPLES[match[1]], route)


def person(*, group="", **fields):
    user = User.objects.create_user(f"{group or 'nobody'}{User.objects.count()}", **fields)
    if group:
        user.groups.add(Group.objects.get(name=group))
    return user


def logged_in(user):
    client = Client()
    client.force_login(user)
    return client


def tell(user, *, about, lead=None):
    row = notification(
        Notification.Channel.IN_APP, about=about, title=f"News {about}", body="Why", lead=lead, user=user, now=timezone.now()
    )
    row.save()
    return row


# --- who may open what --------------------------------------------------------------------------
def test_every_page_declares_who_may_open_it():
    silent = [route for route, view in pages() if not access_of(view)]

    assert not silent


def test_the_walk_sees_the_pages():
    routes = [route for route, _ in pages()]

    assert {"", "profile/", "notifications/", "go/", "leads/<uuid:uid>/"} <= set(routes)


def test_nobody_sees_a_page_without_a_login(client):
    for route, _ in pages():
        answers = [client.get(example(route)), client.post(example(route))]
        assert {answer.status_code for answer in answers} <= {302, 405}, route
        assert any(answer.status_code == 302 and answer.url.startswith("/login/") for answer in answers), route


@pytest.mark.parametrize(
    ("group", "closed"), [("", {"rep", "marketer", "admin"}), ("Sales", {"marketer", "admin"}), ("Marketing", {"admin"})]
)
def test_the_ladder(group, closed):
    client = logged_in(person(group=group))

    for route, view in pages():
        if access_of(view) in closed:
            codes = {client.get(example(route)).status_code, client.post(example(route)).status_code}
            assert codes <= {403, 405}, route


def test_admins_stand_on_top():
    client = logged_in(person(group="Admin"))

    for route, view in pages():
        if access_of(view) == "admin" and "<" not in route:
            assert client.get(example(route)).status_code in {200, 405}, route


def test_a_stranger_among_the_users_can_become_somebody_else():
    page = logged_in(person()).get("/")

    assert page.status_code == 403
    assert b"Log in as somebody else" in page.content


def test_an_expired_session_takes_the_whole_page_to_the_login(client):
    answer = client.get("/notifications/bell/", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/today/?owner=me"})

    assert answer.headers["HX-Redirect"] == "/login/?next=/today/%3Fowner%3Dme"


# --- groups -------------------------------------------------------------------------------------
def codenames(group):
    rows = Permission.objects.filter(group__name=group)
    return set(rows.values_list("content_type__app_label", "content_type__model").distinct())


def test_groups_come_with_their_permissions():
    sales, marketing, admin = codenames("Sales"), codenames("Marketing"), codenames("Admin")

    assert not sales
    assert {("leads", "scoringrule"), ("campaigns", "campaign"), ("leads", "lead")} <= marketing
    assert not marketing & {("leads", "user"), ("leads", "source"), ("auth", "group")}
    assert {("leads", "user"), ("leads", "source"), ("auth", "group"), ("axes", "accessattempt")} | marketing <= admin


def test_permissions_are_granted_once_however_often():
    before = Permission.objects.filter(group__name="Admin").count()

    import_module("leads.migrations.0003_group_permissions").grant(apps, None)

    assert Permission.objects.filter(group__name="Admin").count() == before


def test_marketing_has_no_users_and_no_keys_in_the_admin():
    marketer, admin = logged_in(person(group="Marketing", is_staff=True)), logged_in(person(group="Admin", is_staff=True))

    for address in ("/admin/leads/user/", "/admin/leads/source/", "/admin/auth/group/"):
        assert marketer.get(address).status_code == 403, address
        assert admin.get(address).status_code == 200, address
    assert marketer.get("/admin/leads/scoringrule/").status_code == 200


def test_an_admin_does_not_make_superusers():
    boss, other = User.objects.create_superuser("boss"), person(group="Sales")
    client = logged_in(person(group="Admin", is_staff=True))

    own = client.get(reverse("admin:leads_user_change", args=[other.pk])).content.decode()

    assert 'name="is_superuser"' not in own
    assert 'name="user_permissions"' not in own
    assert client.post(reverse("admin:leads_user_change", args=[boss.pk]), {"username": "boss"}).status_code == 403
    assert client.get(reverse("admin:auth_user_password_change", args=[boss.pk])).status_code == 403
    assert client.post(reverse("admin:leads_user_delete", args=[boss.pk]), {"post": "yes"}).status_code == 403


# --- the rail -----------------------------------------------------------------------------------
def rail_of(client, address="/profile/"):
    page = client.get(address).content.decode()
    return page.split('<nav class="rail-nav"')[1].split("</nav>")[0]


def test_the_rail_shows_what_one_may_open():
    sales = rail_of(logged_in(person(group="Sales")))
    marketing = rail_of(logged_in(person(group="Marketing", is_staff=True)))
    admin = rail_of(logged_in(person(group="Admin", is_staff=True)))

    assert all(f">{name}</span>" in sales for name in ("Board", "Today", "Leads", "Companies"))
    assert not any(f">{name}</span>" in sales for name in ("Scoring", "Campaigns", "Sources", "Mailbox", "Admin"))
    assert all(f">{name}</span>" in marketing for name in ("Scoring", "Campaigns", "Mailbox", "Admin"))
    assert ">Sources</span>" not in marketing
    assert ">Sources</span>" in admin


@pytest.mark.parametrize("address", ["/", "/today/", "/leads/", "/companies/"])
def test_the_rail_says_where_one_is(address):
    rail = rail_of(logged_in(make_rep()), address)

    assert re.findall(r'href="([^"]*)" aria-current="page"', rail) == [address]


def test_a_page_costs_the_shell_four_queries(django_assert_max_num_queries):
    client = logged_in(make_rep())
    client.get("/profile/")

    with django_assert_max_num_queries(5):  # session, user, groups, unread; and the profile's own row
        client.get("/profile/")


def test_pages_carry_the_rules_for_htmx_and_no_inline_code():
    page = logged_in(make_rep()).get("/notifications/").content.decode()
    rules = json.loads(re.search(r"name=\"htmx-config\" content='([^']*)'", page)[1])

    assert (rules["allowEval"], rules["allowScriptTags"], rules["includeIndicatorStyles"], rules["selfRequestsOnly"]) == (
        False,
        False,
        False,
        True,
    )
    assert {"code": "422", "swap": True} in rules["responseHandling"]
    assert page.count("hx-headers") == 1
    assert " style=" not in page
    assert page.count("<script") == page.count("<script src=")


# --- search and go ------------------------------------------------------------------------------
def names(answer):
    return re.findall(r'class="cut" title="([^"]*)"', answer.content.decode())


def find(client, q):
    return names(client.get("/go/", {"q": q}, headers={"HX-Request": "true"}))


def test_leads_companies_campaigns_and_pages_are_found():
    lead = make_lead(name="Ada Lovelace", company=make_company(name="Acme Engines", domain="acme.example"), phone="+49 30 1234")
    index_leads([lead])
    Campaign.objects.create(key="ACME-WELCOME", name="Acme welcome", trigger={"event": "SIGNED_UP"})
    rep, marketer = logged_in(make_rep()), logged_in(person(group="Marketing"))

    assert find(rep, "lovel") == ["Ada Lovelace"]
    assert find(rep, "1234") == ["Ada Lovelace"]
    assert find(rep, "ACME") == ["Ada Lovelace", "Acme Engines"]
    assert find(marketer, "acme") == ["Ada Lovelace", "Acme Engines", "Acme welcome"]
    assert find(rep, "toda") == ["Today"]
    assert find(rep, "scor") == []
    assert find(rep, "password") == ["Profile"]


def test_visitors_and_merged_people_are_not_found():
    survivor = make_lead(name="Bob")
    merged, visitor = make_lead(name="Bob Old", merged_into=survivor), make_lead(name="Bobby", email="")
    for row in (survivor, merged, visitor):
        LeadSearch.objects.create(lead=row, text=row.name.lower())

    assert find(logged_in(make_rep()), "bob") == ["Bob"]


def test_without_a_word_all_pages_are_offered():
    assert {"Board", "Today", "Notifications", "Profile"} <= set(find(logged_in(make_rep()), ""))


@pytest.mark.parametrize("q", ["%", "_", "x" * 300, "\x00", "💩", "<b>"])
def test_strange_searches_find_nothing_and_break_nothing(q):
    make_company()
    answer = logged_in(make_rep()).get("/go/", {"q": q})

    assert answer.status_code == 200
    assert b"<b>" not in answer.content


def test_without_javascript_it_is_a_page():
    page = logged_in(make_rep()).get("/go/?q=nobody-like-that").content.decode()

    assert "<title>Search" in page
    assert "Nothing is called “nobody-like-that”" in page


def test_search_costs_the_same_with_few_and_many(django_assert_max_num_queries):
    index_leads([make_lead(name=f"Ada {n}", company=make_company(name=f"Ada {n}")) for n in range(30)])
    client = logged_in(make_rep())
    client.get("/profile/")

    with django_assert_max_num_queries(7):
        assert len(find(client, "ada")) == 12


# --- the bell -----------------------------------------------------------------------------------
def test_the_bell_counts_what_is_unread():
    rep, other = make_rep(), make_rep()
    for n in range(3):
        tell(rep, about=f"a{n}")
    tell(other, about="b")

    fragment = logged_in(rep).get("/notifications/bell/").content.decode()

    assert ">3<span" in fragment
    assert 'id="bar-count" hx-swap-oob="true">3<' in fragment
    assert "<html" not in fragment


def test_many_are_told_short():
    rep = make_rep()
    for n in range(101):
        tell(rep, about=str(n))

    assert "99+" in logged_in(rep).get("/notifications/bell/").content.decode()


def test_a_notification_leads_on_and_is_read_then():
    rep, lead = make_rep(), make_lead()
    told = tell(rep, about="x", lead=lead)
    client = logged_in(rep)

    assert f"/notifications/{told.pk}/" in client.get("/notifications/").content.decode()
    assert client.get(f"/notifications/{told.pk}/").url == lead.get_absolute_url()
    told.refresh_from_db()
    assert told.read_at is not None


def test_the_news_of_others_are_not_mine():
    told = tell(make_rep(), about="x")
    client = logged_in(make_rep())

    assert client.get(f"/notifications/{told.pk}/").status_code == 404
    client.post("/notifications/read/")
    told.refresh_from_db()
    assert told.read_at is None


def test_all_are_marked_read_at_once():
    rep = make_rep()
    tell(rep, about="1")
    tell(rep, about="2")
    client = logged_in(rep)

    assert client.get("/notifications/read/").status_code == 405
    page = client.post("/notifications/read/", follow=True).content.decode()

    assert not Notification.objects.unread(rep).exists()
    assert "Mark all read" not in page


def test_notifications_cost_the_same_with_one_and_with_many(django_assert_max_num_queries):
    rep = make_rep()
    for n in range(60):
        tell(rep, about=str(n), lead=make_lead(company=make_company()))
    client = logged_in(rep)
    client.get("/profile/")

    with django_assert_max_num_queries(7):
        page = client.get("/notifications/").content.decode()
    assert "Page 1 of 2" in page


def test_an_empty_bell_says_what_it_is_for():
    assert "Nothing to tell yet" in logged_in(make_rep()).get("/notifications/").content.decode()


# --- the profile --------------------------------------------------------------------------------
def test_a_colleague_changes_their_profile():
    rep = make_rep()
    tomorrow = date.today() + timedelta(days=1)

    answer = logged_in(rep).post(
        "/profile/",
        {"first_name": "Rita", "last_name": "Rep", "timezone": "Europe/Berlin", "away_until": tomorrow.isoformat(), "theme": "dark"},
        follow=True,
    )

    rep.refresh_from_db()
    assert (str(rep), rep.timezone, rep.away_until, rep.theme) == ("Rita Rep", "Europe/Berlin", tomorrow, "dark")
    assert "Saved " in answer.content.decode()
    assert '<html lang="en" data-bs-theme="dark"' in answer.content.decode()


def test_what_does_not_fit_is_told_beside_its_field_and_nothing_is_saved():
    rep = make_rep(first_name="Rita")

    answer = logged_in(rep).post("/profile/", {"first_name": "Eve", "timezone": "Mars/Base", "away_until": "soon", "theme": "pink"})

    rep.refresh_from_db()
    page = answer.content.decode()
    assert (answer.status_code, rep.first_name) == (422, "Rita")
    assert page.count("is-invalid") >= 2
    assert "Enter a valid date" in page
    assert "Eve</span>" not in page  # the shell shows what is saved


def test_a_profile_is_only_ones_own():
    rep = make_rep()

    logged_in(rep).post("/profile/", {"theme": "light", "is_superuser": "on", "username": "root", "is_staff": "on"})

    rep.refresh_from_db()
    assert (rep.theme, rep.is_superuser, rep.is_staff) == ("light", False, False)
    assert rep.username != "root"


def test_a_password_is_changed_and_the_session_stays():
    rep = make_rep()
    client, elsewhere = logged_in(rep), logged_in(rep)
    new = "correct-horse-battery"

    weak = client.post("/profile/password/", {"old_password": "a-long-password", "new_password1": "short", "new_password2": "short"})
    wrong = client.post("/profile/password/", {"old_password": "guess", "new_password1": new, "new_password2": new})
    right = client.post("/profile/password/", {"old_password": "a-long-password", "new_password1": new, "new_password2": new})

    rep.refresh_from_db()
    assert (weak.status_code, wrong.status_code, right.status_code) == (422, 422, 302)
    assert rep.check_password(new)
    assert client.get("/profile/").status_code == 200
    assert elsewhere.get("/profile/").status_code == 302


def test_the_theme_is_chosen_from_the_menu():
    rep = make_rep()
    client = logged_in(rep)

    quick = client.post("/profile/theme/", {"theme": "dark"}, headers={"HX-Request": "true"})
    plain = client.post("/profile/theme/", {"theme": "light", "next": "/today/"})
    foreign = client.post("/profile/theme/", {"theme": "light", "next": "https://evil.example/"})
    client.post("/profile/theme/", {"theme": "pink"})

    rep.refresh_from_db()
    assert (quick.status_code, json.loads(quick.headers["HX-Trigger"])) == (204, {"theme": {"theme": "dark"}})
    assert (plain.url, foreign.url, rep.theme) == ("/today/", "/profile/", "light")


# --- times --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("own", "shown"), [("Asia/Tokyo", "21:00:00 JST"), ("", "07:00:00 EST"), ("Mars/Base", "12:00:00 UTC")])
def test_times_are_shown_in_the_zone_of_whoever_looks(own, shown):
    Workspace.objects.create(pk=1, timezone="America/New_York")
    rep = make_rep(timezone=own)
    told = tell(rep, about="x")
    Notification.objects.filter(pk=told.pk).update(created_at="2026-01-05T12:00:00Z")

    page = logged_in(rep).get("/notifications/").content.decode()

    assert shown in page
    assert timezone.get_current_timezone_name() == "UTC"


def test_machines_cost_no_session(client, django_assert_num_queries):
    with django_assert_num_queries(1):
        client.get("/healthz")


# --- the log-in ---------------------------------------------------------------------------------
def test_too_many_wrong_passwords_lock_the_login_for_a_while(client):
    make_rep(username="rita")
    cache.clear()

    answers = [client.post("/login/", {"username": "rita", "password": f"guess {n}"}) for n in range(5)]
    right = client.post("/login/", {"username": "rita", "password": "a-long-password"})

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    assert right.status_code == 429
    assert "15 minutes" in right.content.decode()
    assert client.post("/login/", {"username": "other", "password": "x"}).status_code == 200


def test_the_login_leads_back_to_where_one_wanted_to_go(client):
    make_rep(username="rita")

    asked = client.get("/today/?owner=me")
    answer = client.post(asked.url, {"username": "rita", "password": "a-long-password", "next": "/today/?owner=me"})

    assert asked.url == "/login/?next=/today/%3Fowner%3Dme"
    assert answer.url == "/today/?owner=me"


def test_error_pages_need_no_database(django_assert_num_queries):
    from crm.views import server_error

    with django_assert_num_queries(0):
        assert server_error(RequestFactory().get("/")).status_code == 500
