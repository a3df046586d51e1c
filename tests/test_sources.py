"""Sources: keys made, shown once, changed and revoked; what arrived, what became of it, what to do about it."""

import json
import re
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads import tail
from leads.intake import drain, drain_all
from leads.models import Delivery, Source, digest_key
from leads.models.claims import MAX_CLAIMS
from leads.type_uses import Use, uses_by_type
from tests.browser import colleague
from tests.factories import make_campaign, make_lead, make_source, make_version

pytestmark = pytest.mark.django_db

RULES = {
    "scoring": {
        "derive": [{"from": "PAGE_VIEWED", "when": [{"field": "event.path", "op": "is", "value": "/pricing"}], "as": "VIEWED_PRICING"}],
        "rules": [
            {"key": "viewed-pricing", "name": "Viewed pricing", "event": "VIEWED_PRICING", "points": 10},
            {
                "key": "big-team",
                "name": "Big team",
                "event": "SIGNED_UP",
                "points": 20,
                "when": [{"field": "event.seats", "op": "gte", "value": 50}],
            },
        ],
    },
    "gates": [
        {"key": "hot", "name": "Ready for sales", "from": "cold", "to": "mql", "match": "any", "conditions": [{"event": "DEMO_REQUESTED"}]}
    ],
}


@pytest.fixture
def admin(client):
    user = colleague("admin")
    client.force_login(user)
    return user


def post(client, key, body, path="/api/events", **headers):
    return client.post(path, json.dumps(body), content_type="application/json", headers={"authorization": f"Bearer {key}", **headers})


def text_of(answer):
    """The words of a page, without its markup."""
    body = answer.content.decode().split("<main", 1)[-1]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace("&#x27;", "'").replace("&quot;", '"').replace("&amp;", "&")


# --- who may see them ---


@pytest.mark.parametrize(
    "path",
    ["", "new/", "{pk}/", "{pk}/tail/", "{pk}/first-event/", "{pk}/first-event/waiting/", "{pk}/revoke/", "{pk}/deliveries/{receipt}/"],
)
@pytest.mark.parametrize(("who", "status"), [(None, 302), ("rep", 403), ("marketer", 403), ("admin", 200)])
def test_only_admins_see_keys(client, path, who, status):
    source, key = make_source()
    post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
    if who:
        client.force_login(colleague(who))

    answer = client.get("/sources/" + path.format(pk=source.pk, receipt=Delivery.objects.get().receipt))

    assert answer.status_code == status


@pytest.mark.parametrize("path", ["save/", "revoke/", "deliveries/{receipt}/retry/"])
def test_marketing_changes_no_key(client, path):
    source, key = make_source()
    post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
    client.force_login(colleague("marketer"))

    answer = client.post(f"/sources/{source.pk}/" + path.format(receipt=Delivery.objects.get().receipt), {"name": "Mine"})

    source.refresh_from_db()
    assert answer.status_code == 403
    assert (source.name == "Mine", source.revoked_at) == (False, None)


# --- making one ---


def key_in(answer):
    return re.search(r"ls[sbr]_[\w-]{32}", answer.content.decode())[0]


@pytest.mark.parametrize(("scope", "prefix"), [("server", "lss_"), ("browser", "lsb_"), ("read", "lsr_")])
def test_a_new_key_is_shown_once_with_the_curl_line_filled_in(client, admin, scope, prefix):
    answer = client.post("/sources/new/", {"name": "Website", "scope": scope})

    source = Source.objects.get(name="Website")
    key = key_in(answer)
    assert answer.status_code == 200
    assert key.startswith(prefix)
    assert source.key_digest == digest_key(key)
    assert f"Authorization: Bearer {key}" in text_of(answer)
    assert "http://testserver/api/" in text_of(answer)
    assert "no-store" in answer["Cache-Control"]
    for again in ("", "first-event/"):
        assert key not in client.get(f"/sources/{source.pk}/{again}").content.decode()
    assert key not in client.get("/sources/").content.decode()
    assert "YOUR_KEY" in text_of(client.get(f"/sources/{source.pk}/first-event/"))


def test_sending_the_form_again_makes_no_second_key_and_says_why(client, admin):
    client.post("/sources/new/", {"name": "Website", "scope": "server"})

    again = client.post("/sources/new/", {"name": "Website", "scope": "server"})

    assert again.status_code == 422
    assert "There is a source with this name already" in text_of(again)
    assert Source.objects.filter(name="Website").count() == 1


def test_a_browser_key_is_made_with_its_origins_and_trusted_types(client, admin):
    fields = {
        "allowed_origins": "https://WWW.example.com/\nhttp://localhost:3000\nhttps://a.example:443",
        "allowed_types": "payment succeeded",
    }

    client.post("/sources/new/", {"name": "Website", "scope": "browser", **fields})

    source = Source.objects.get(name="Website")
    assert source.allowed_origins == ["https://www.example.com", "http://localhost:3000", "https://a.example"]
    assert source.allowed_types == ["PAYMENT_SUCCEEDED"]


def test_a_server_key_needs_no_origins_and_keeps_none(client, admin):
    client.post("/sources/new/", {"name": "Shop", "scope": "server", "allowed_origins": "https://shop.example"})

    assert Source.objects.get(name="Shop").allowed_origins == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "required"),
        ("name", "leadstate", "name already"),
        ("scope", "root", "valid choice"),
        ("allowed_origins", "www.example.com", "is no origin"),
        ("allowed_origins", "ftp://example.com", "is no origin"),
        ("allowed_origins", "https://example.com/shop", "Leave the path away"),
        ("allowed_origins", "https://u:p@example.com", "is no origin"),
        ("allowed_origins", "https://[::1", "is no origin"),
        ("allowed_types", "EMAIL_CLICKED", "recorded by Leadstate itself"),
        ("allowed_types", "SIGNED_UP", "needs no permission"),
    ],
)
def test_a_form_that_can_not_be_used_says_what_cures_it(client, admin, field, value, words):
    answer = client.post("/sources/new/", {"name": "Website", "scope": "browser", field: value})

    assert answer.status_code == 422
    assert words in text_of(answer)
    assert not Source.objects.filter(name="Website").exists()


# --- changing one ---


def test_a_rename_and_new_origins_are_live_at_once(client, admin):
    source, key = make_source(scope="browser", name="Old")
    event = {"userId": "u", "eventType": "PAYMENT_SUCCEEDED"}
    before = post(client, key, event)

    answer = client.post(
        f"/sources/{source.pk}/save/",
        {"name": "New", "allowed_origins": "https://a.example", "allowed_types": "PAYMENT_SUCCEEDED"},
        headers={"hx-request": "true"},
    )
    stranger = post(client, key, event, origin="https://b.example")

    source.refresh_from_db()
    assert answer.status_code == 200
    assert "Saved" in text_of(answer)
    assert 'hx-swap-oob="true">New</h1>' in answer.content.decode()
    assert source.name == "New"
    assert before.json()["code"] == "trusted_type"
    assert post(client, key, event).status_code == 200
    assert stranger.json()["code"] == "origin_not_allowed"


def test_without_javascript_saving_leads_back_to_the_page(client, admin):
    source, _ = make_source(name="Old")

    answer = client.post(f"/sources/{source.pk}/save/", {"name": "New"}, follow=True)

    assert answer.redirect_chain == [(f"/sources/{source.pk}/", 302)]
    assert "Saved, live." in text_of(answer)


@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}])
def test_a_name_that_is_taken_is_refused_and_the_old_one_stays(client, admin, headers):
    make_source(name="Taken")
    source, _ = make_source(name="Mine")

    answer = client.post(f"/sources/{source.pk}/save/", {"name": "Taken"}, headers=headers)

    source.refresh_from_db()
    assert answer.status_code == 422
    assert "name already" in text_of(answer)
    assert source.name == "Mine"
    assert answer.content.decode().startswith("<!DOCTYPE") == (not headers)


def test_a_key_is_revoked_after_one_question_and_refused_at_once(client, admin):
    source, key = make_source(name="Website")
    assert post(client, key, {"userId": "u", "eventType": "SIGNED_UP"}).status_code == 200

    asked = client.get(f"/sources/{source.pk}/revoke/")
    still = post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
    done = client.post(f"/sources/{source.pk}/revoke/", follow=True)
    refused = post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})

    assert "Revoke the key of Website" in text_of(asked)
    assert still.status_code == 200
    assert "The key of Website is revoked" in text_of(done)
    assert "Revoked" in text_of(done)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
    assert source.deliveries.count() == 2


@pytest.mark.parametrize("path", ["save/", "revoke/", "first-event/"])
def test_the_built_in_source_is_nobodys_to_change(client, admin, path):
    built_in = Source.built_in()

    answer = (
        client.post(f"/sources/{built_in.pk}/{path}", {"name": "Mine"})
        if path != "first-event/"
        else client.get(f"/sources/{built_in.pk}/{path}")
    )

    assert answer.status_code == 404
    assert client.get(f"/sources/{built_in.pk}/").status_code == 200


# --- the list ---


def test_a_fresh_list_teaches_the_next_step(client, admin):
    page = text_of(client.get("/sources/"))

    assert "New source" in page
    assert "watch your first event arrive" in page


def test_the_list_tells_how_each_source_is_doing(client, admin):
    now = timezone.now()
    make_source(name="Busy", last_seen_at=now)
    make_source(name="Asleep", last_seen_at=now - timedelta(days=3))
    make_source(name="Unused")
    make_source(name="Gone", revoked_at=now)
    broken, _ = make_source(name="Broken", last_seen_at=now)
    Delivery.objects.create(source=broken, door="events", state="failed", error="ValueError: no")
    busy = Source.objects.get(name="Busy")
    Delivery.objects.create(source=busy, door="events", state="processed", stored=7, rejected=[{"code": "required"}])
    Delivery.objects.create(source=busy, door="events", state="processed", stored=5)

    rows = {row.source.name: row for row in tail.source_rows(now)}
    page = text_of(client.get("/sources/"))

    assert {name: row.state for name, row in rows.items()} == {
        "Busy": "receiving",
        "Asleep": "quiet",
        "Unused": "waiting",
        "Gone": "revoked",
        "Broken": "failing",
        "leadstate": "built-in",
    }
    assert (rows["Busy"].events, rows["Busy"].rejected, rows["Broken"].failed) == (12, 1, 1)
    assert list(rows)[-2:] == ["leadstate", "Gone"]
    for words in ("12", "1 rejected", "1 failed", "Quiet", "Never used", "Revoked"):
        assert words in page


def test_events_of_yesterday_don_t_count_for_today(client):
    source, key = make_source()
    with time_machine.travel(timezone.now() - timedelta(days=2), tick=False):
        post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
        drain_all()
    post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
    drain_all()

    assert tail.last_day(timezone.now()) == {source.pk: (1, 0)}


# --- the tail ---


@pytest.fixture
def model():
    make_version(**RULES)
    make_campaign(name="Deep dive", trigger={"event": "DOWNLOADED_API_DOCS"})


def test_the_tail_shows_events_leads_and_the_rules_that_matched(client, admin, model):
    source, key = make_source()
    make_lead(email="ada@example.com", name="Ada Lovelace")
    events = [
        {"email": "ada@example.com", "eventType": "Page Viewed", "metadata": {"path": "/pricing"}},
        {"email": "ada@example.com", "eventType": "SIGNED_UP", "metadata": {"seats": 3}},
        {"email": "ada@example.com", "eventType": "DEMO_REQUESTED"},
        {"email": "ada@example.com", "eventType": "DOWNLOADED_API_DOCS"},
        {"email": "ada@example.com", "eventType": "SOMETHING_ELSE"},
    ]
    post(client, key, events)
    drain_all()

    page = text_of(client.get(f"/sources/{source.pk}/"))

    assert "Processed" in page
    assert "Ada Lovelace" in page
    assert "+10 Viewed pricing" in page
    assert "No points: the conditions of Big team did not hold" in page
    assert "No rule uses this type; gate Ready for sales does" in page
    assert "No rule uses this type; campaign Deep dive does" in page
    assert re.search(r"SOMETHING_ELSE Ada Lovelace No rule uses this type (?!;)", page)


def test_the_types_seen_tell_what_uses_them(client, admin, model):
    source, key = make_source()
    post(client, key, [{"userId": "u", "eventType": name} for name in ("PAGE_VIEWED", "DEMO_REQUESTED", "DEMO_REQUESTED", "ODD")])
    drain_all()

    rows = {row.name: row for row in tail.types_seen(source)}

    assert {name: row.count for name, row in rows.items()} == {"PAGE_VIEWED": 1, "DEMO_REQUESTED": 2, "ODD": 1}
    assert rows["DEMO_REQUESTED"].uses == [Use("gate", "Ready for sales")]
    assert rows["PAGE_VIEWED"].uses == [Use("type", "VIEWED_PRICING")]
    assert "Nothing uses it yet" in text_of(client.get(f"/sources/{source.pk}/"))


def test_paused_campaigns_say_so_and_archived_ones_are_silent(model):
    make_campaign(name="Sleeping", status="paused", trigger={"event": "SIGNED_UP"})
    make_campaign(name="Gone", status="archived", trigger={"event": "SIGNED_UP"})
    make_campaign(name="Goal", trigger={"stage": "sql"}, goal=[{"any": [{"event": "PAID"}]}])

    uses = uses_by_type()

    assert uses["SIGNED_UP"] == [Use("rule", "Big team"), Use("campaign", "Sleeping (paused)")]
    assert uses["PAID"] == [Use("campaign", "Goal")]


def test_rejected_messages_are_shown_with_code_and_cure(client, admin):
    source, key = make_source(scope="browser")
    signed = {"type": "track", "userId": "u", "event": "CONTRACT_SIGNED", "messageId": "m-9"}
    post(client, key, {"batch": [signed]}, "/v1/batch")
    post(
        client,
        key,
        {"batch": [{"type": "track", "userId": "u", "event": "SIGNED_UP"}, {"type": "track", "event": "SIGNED_UP"}]},
        "/v1/batch",
    )
    post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
    drain_all()

    page = text_of(client.get(f"/sources/{source.pk}/"))
    filtered = text_of(client.get(f"/sources/{source.pk}/?show=rejected"))

    assert "trusted_type Message 0 (m-9): a browser key may not send CONTRACT_SIGNED" in page
    assert "identity_required Message 1: nobody is named" in page
    assert "Partly taken" in page
    assert page.count("Processed") == 1
    assert "Processed" not in filtered.split("Event types seen")[0]
    assert "trusted_type" in filtered


@pytest.fixture
def failed(client, monkeypatch):
    """A source with one failed delivery, and one that went well before it."""
    source, key = make_source(name="Shop")
    post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
    drain_all()

    def fail(*args, **kwargs):
        raise ValueError("the moon is in the wrong house")

    with monkeypatch.context() as patch:
        patch.setattr("leads.intake.automate", fail)
        post(client, key, {"userId": "u", "eventType": "DEMO_REQUESTED"})
        drain()
    return source


def test_a_failure_is_told_in_words_with_what_helps(client, admin, failed):
    page = text_of(client.get(f"/sources/{failed.pk}/?show=failed"))

    assert "Failed" in page
    assert "Its events are stored; only points and campaigns wait." in page
    assert "ValueError: the moon is in the wrong house" in page
    assert "Next try" in page
    assert "Points wait for the next try" in page
    assert "SIGNED_UP" not in page.split("Event types seen")[0]


def test_a_failed_delivery_is_tried_again_now(client, admin, failed):
    delivery = failed.deliveries.get(state="failed")
    assert delivery.due_at > timezone.now()

    answer = client.post(f"/sources/{failed.pk}/deliveries/{delivery.receipt}/retry/", headers={"hx-request": "true"})
    drain_all()
    again = client.post(f"/sources/{failed.pk}/deliveries/{delivery.receipt}/retry/", follow=True)

    delivery.refresh_from_db()
    assert "Trying again" in text_of(answer)
    assert delivery.state == "processed"
    assert "Nothing to try again" in text_of(again)


def test_a_delivery_that_was_given_up_waits_for_people_and_is_read_again_when_they_say_so(client, admin):
    source, key = make_source()
    post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
    delivery = Delivery.objects.get()
    Delivery.objects.update(claim_count=MAX_CLAIMS)
    assert drain_all() == 0

    page = text_of(client.get(f"/sources/{source.pk}/?show=failed"))
    client.post(f"/sources/{source.pk}/deliveries/{delivery.receipt}/retry/")
    drain_all()

    delivery.refresh_from_db()
    assert "Given up" in page
    assert f"stopped {MAX_CLAIMS} times" in page
    assert delivery.state == "processed"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("OperationalError: database is locked", "The database was busy"),
        ("ModelError: rule x", "The published scoring model could not be worked out"),
        ("KeyError: 'x'", "Something broke"),
    ],
)
def test_each_kind_of_error_has_its_own_words(error, words):
    assert words in tail.cure_of(Delivery(error=error))


def test_a_delivery_no_worker_comes_for_says_so(client, admin):
    source, key = make_source()
    with time_machine.travel(timezone.now() - timedelta(minutes=5), tick=False):
        post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})

    assert "Waiting long" in text_of(client.get(f"/sources/{source.pk}/"))


def test_the_tail_is_fetched_again_only_when_it_changed(client, admin):
    source, key = make_source()
    with time_machine.travel("2026-03-01T12:00:10Z", tick=False) as clock:
        page = client.get(f"/sources/{source.pk}/").content.decode()
        address = re.search(r'hx-get="(/sources/\d+/tail/[^"]+)"', page)[1].replace("&amp;", "&")
        same = client.get(address)
        post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
        waiting = client.get(address)
        drain_all()
        done = client.get(re.search(r'hx-get="(/sources/\d+/tail/[^"]+)"', waiting.content.decode())[1].replace("&amp;", "&"))
        clock.shift(120)
        later = client.get(re.search(r'hx-get="(/sources/\d+/tail/[^"]+)"', done.content.decode())[1].replace("&amp;", "&"))

    assert (same.status_code, same.content) == (204, b"")
    assert "Waiting" in text_of(waiting)
    assert "Processed" in text_of(done)
    assert "2 min" in text_of(later)
    assert b"<html" not in waiting.content


def test_a_large_delivery_shows_its_first_events_and_counts_the_rest(client, admin):
    source, key = make_source()
    post(client, key, [{"userId": f"u{n}", "eventType": "SIGNED_UP"} for n in range(40)] + [{"userId": "x"}] * 9)
    drain_all()

    page = text_of(client.get(f"/sources/{source.pk}/"))

    assert page.split("Event types seen")[0].count(" SIGNED_UP ") == tail.SHOWN
    assert "and 35 more" in page
    assert "and 4 more rejected" in page


def test_the_pages_cost_the_same_with_one_delivery_and_with_many(client, admin, model):
    source, key = make_source()

    def count(path):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        return len(queries)

    def fill(times):
        for n in range(times):
            post(client, key, [{"userId": f"u{n}{k}", "eventType": "PAGE_VIEWED", "metadata": {"path": "/pricing"}} for k in range(6)])
            make_source(last_seen_at=timezone.now())
        drain_all()

    fill(1)
    client.get(f"/sources/{source.pk}/")
    few = [count(path) for path in ("/sources/", f"/sources/{source.pk}/", f"/sources/{source.pk}/tail/")]
    fill(tail.DELIVERIES + 5)
    many = [count(path) for path in ("/sources/", f"/sources/{source.pk}/", f"/sources/{source.pk}/tail/")]

    assert many == few
    assert few[0] <= 10
    assert few[1] <= 25
    assert few[2] <= 15


# --- one delivery ---


def test_one_delivery_shows_its_body_and_what_went_wrong(client, admin, failed):
    delivery = failed.deliveries.get(state="failed")

    page = text_of(client.get(f"/sources/{failed.pk}/deliveries/{delivery.receipt}/"))

    assert str(delivery.receipt) in page
    assert '"eventType": "DEMO_REQUESTED"' in page
    assert "Trace of the last try" in page
    assert "Try again now" in page


def test_a_body_is_shown_as_text_whatever_it_is(client, admin):
    source, _ = make_source()
    bodies = [b'{"userId": "<script>alert(1)</script>", "eventType": "x"}', b'{"userId": "u", "eventType": "x"}\n{"broken', b""]
    for body in bodies:
        delivery = Delivery.objects.create(source=source, door="ndjson", body=body, state="processed")
        answer = client.get(f"/sources/{source.pk}/deliveries/{delivery.receipt}/")
        assert answer.status_code == 200
        assert b"<script>alert" not in answer.content


def test_a_delivery_is_found_under_its_own_source_only(client, admin):
    source, _ = make_source()
    other, key = make_source()
    post(client, key, {"userId": "u", "eventType": "SIGNED_UP"})
    receipt = Delivery.objects.get().receipt

    assert client.get(f"/sources/{source.pk}/deliveries/{receipt}/").status_code == 404
    client.post(f"/sources/{source.pk}/deliveries/{receipt}/retry/")
    assert client.get(f"/sources/{other.pk}/deliveries/{receipt}/").status_code == 200


# --- the first event ---


def waits(answer):
    return b'hx-trigger="every 2s"' in answer.content


def test_the_wizard_waits_says_what_is_wrong_and_ends_with_the_lead(client, admin, model):
    source, key = make_source(scope="browser")
    address = f"/sources/{source.pk}/first-event/waiting/"

    nothing = client.get(address)
    unchanged = client.get(f"{address}?seen=nothing")
    post(client, key, {"batch": [{"type": "track", "event": "SIGNED_UP"}]}, "/v1/batch")
    refused = client.get(address)
    post(client, key, {"userId": "u", "eventType": "VIEWED_PRICING"})
    stored = client.get(address)
    drain_all()
    arrived = client.get(address)

    assert waits(nothing)
    assert unchanged.status_code == 204
    assert "Waiting for your first event" in text_of(nothing)
    assert "identity_required" in text_of(refused)
    assert "It is processed in a moment" in text_of(stored)
    assert waits(stored)
    assert not waits(arrived)
    assert "Your first event arrived" in text_of(arrived)
    assert "+10 Viewed pricing" in text_of(arrived)
    assert f'href="{source.events.get().lead.get_absolute_url()}"' in arrived.content.decode()


def test_the_wizard_of_a_read_key_waits_for_a_request(client, admin):
    source, key = make_source(scope="read")
    address = f"/sources/{source.pk}/first-event/waiting/"

    before = client.get(address)
    client.get("/api/leads?email=ada@example.com", headers={"authorization": f"Bearer {key}"})
    after = client.get(address)

    assert waits(before)
    assert "Your first request arrived" in text_of(after)
    assert not waits(after)


def test_names_are_shown_as_text_never_as_markup(client, admin):
    source, key = make_source(name="<script>alert(1)</script>")
    post(client, key, {"userId": "u", "eventType": "SIGNED_UP", "traits": {"name": "<script>alert(2)</script>"}})
    drain_all()

    for path in ("", f"{source.pk}/", f"{source.pk}/first-event/", f"{source.pk}/revoke/"):
        answer = client.get(f"/sources/{path}")
        assert b"<script>alert" not in answer.content
        assert b" style=" not in answer.content
        assert "unsafe" not in answer["Content-Security-Policy"]
