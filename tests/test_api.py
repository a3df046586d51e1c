"""The doors that take events in: keys, limits, receipts, and an answer for everything."""

import base64
import gzip
import json
import tracemalloc
import uuid
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads.doors import forget_keys
from leads.intake import drain_all
from leads.models import Delivery, Event, Source
from tests.factories import make_source

pytestmark = pytest.mark.django_db

GOOD = {"userId": "jane", "eventType": "Viewed Pricing", "metadata": {"plan": "team"}}
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def key():
    return make_source()[1]


def post(client, path, body, key=None, content_type="application/json", **headers):
    """Post a body, given as bytes or as something to encode, with a Bearer key."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    if key:
        headers.setdefault("authorization", f"Bearer {key}")
    return client.post(path, raw, content_type=content_type, headers=headers)


def assert_refused(response, status, code):
    assert response.status_code == status, response.content
    body = response.json()
    assert set(body) == {"code", "message"}
    assert body["code"] == code
    assert body["message"]
    assert not Delivery.objects.exists()


# --- the answer ---


def test_one_event_is_answered_once_it_is_stored(client, key):
    response = post(client, "/api/events", GOOD, key)

    assert response.status_code == 200
    delivery = Delivery.objects.get()
    assert response.json() == {
        "success": True,
        "receipt": str(delivery.receipt),
        "accepted": 1,
        "messageIds": [str(uuid.uuid5(delivery.receipt, "0"))],
        "rejected": [],
    }
    assert json.loads(bytes(delivery.body)) == GOOD
    assert (delivery.state, delivery.door, delivery.historical, delivery.message_count) == ("pending", "events", False, 1)


def test_a_list_is_taken_without_its_bad_messages(client, key):
    response = post(client, "/api/events", [GOOD, {"userId": "x"}, {**GOOD, "messageId": "m-2"}], key)

    body = response.json()
    assert response.status_code == 200
    assert body["accepted"] == 2
    assert body["messageIds"][1] == "m-2"
    assert [(reject["index"], reject["messageId"], reject["code"]) for reject in body["rejected"]] == [(1, None, "required")]
    assert Delivery.objects.get().rejected == body["rejected"]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/x-ndjson; charset=utf-8"])
def test_lines_are_taken_without_the_broken_ones(client, key, content_type):
    lines = b"\n".join([json.dumps(GOOD).encode(), b'{"userId":', b"", json.dumps(GOOD).encode()])

    response = post(client, "/api/events", lines, key, content_type=content_type)

    assert response.status_code == 200
    assert response.json()["accepted"] == 2
    assert [(reject["index"], reject["code"]) for reject in response.json()["rejected"]] == [(1, "invalid_json")]
    drain_all()
    assert Event.objects.count() == 2


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/json"])
def test_the_raw_body_is_read_whatever_the_content_type(client, key, content_type):
    assert post(client, "/api/events", GOOD, key, content_type=content_type).status_code == 200


@pytest.mark.parametrize(
    ("paths", "body", "type"),
    [
        ("track t", {"event": "Trial Started"}, "TRIAL_STARTED"),
        ("identify i", {"traits": {"plan": "pro"}}, "IDENTIFIED"),
        ("page p", {"name": "Pricing"}, "PAGE_VIEWED"),
        ("screen s", {"name": "Home"}, "SCREEN_VIEWED"),
        ("group g", {"groupId": "acme"}, "GROUPED"),
        ("alias a", {"previousId": "anon"}, "ALIASED"),
        ("batch b import", {"batch": [{"type": "track", "event": "Trial Started", "userId": "u"}]}, "TRIAL_STARTED"),
    ],
)
def test_every_path_of_the_segment_api_answers_with_and_without_a_slash(client, key, paths, body, type):
    for path in paths.split():
        for slash in ("", "/"):
            response = post(client, f"/v1/{path}{slash}", {"userId": "u", **body}, key)

            assert response.status_code == 200, path
            assert response.json()["accepted"] == 1
    drain_all()
    assert set(Event.objects.values_list("type", flat=True)) == {type}
    assert set(Delivery.objects.values_list("historical", flat=True)) == ({True, False} if "import" in paths else {False})


def test_a_parsable_body_of_the_segment_api_is_200_even_when_nothing_in_it_is_good(client, key):
    for path, body in [("track", None), ("track", {}), ("batch", {"batch": {}}), ("batch", {"batch": [5]}), ("batch", [])]:
        response = post(client, f"/v1/{path}", body, key)

        assert response.status_code == 200, path
        assert response.json()["accepted"] == 0
        receipt = client.get(f"/api/receipts/{response.json()['receipt']}", headers={"authorization": f"Bearer {key}"})
        assert receipt.json()["status"] == "processed"
        assert receipt.json()["rejected"] == response.json()["rejected"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b"{", "invalid_json"),
        (b"\xff", "invalid_utf8"),
        (b"[]", "empty_batch"),
        (b"null", "expected_object"),
        ({}, "required"),
        ({"userId": "u"}, "required"),
        ({"eventType": "E"}, "identity_required"),
        ([{}, {}], "required"),
        ({**GOOD, "userId": "undefined"}, "illegal_identity"),
        ({**GOOD, "eventType": "EMAIL_CLICKED"}, "reserved_type"),
        (b'{"userId": "u", "eventType": "E", "metadata": {"x": NaN}}', "invalid_number"),
        (b"[" * 100_000, "too_deep"),
        (b'{"userId": "u", "eventType": "E", "metadata": {"x": ' + b"9" * 4301 + b"}}", "number_too_long"),
    ],
)
def test_nothing_valid_is_400_and_nothing_is_stored(client, key, body, code):
    assert_refused(post(client, "/api/events", body, key), 400, code)


# --- keys ---


def basic(name):
    return "Basic " + base64.b64encode(f"{name}:".encode()).decode()


def test_a_key_comes_as_bearer_as_basic_or_in_the_body(client, key):
    assert post(client, "/api/events", GOOD, key).status_code == 200
    assert post(client, "/api/events", GOOD, authorization=f"bearer {key}").status_code == 200
    assert post(client, "/api/events", GOOD, authorization=basic(key)).status_code == 200
    assert post(client, "/api/events", {**GOOD, "writeKey": key}).status_code == 200
    assert post(client, "/v1/batch", {"batch": [], "writeKey": key, "x": "\ud800"}).status_code == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer nope", "Basic", "Basic %%%", "Basic bm9wZTo=", "Basic //8=", "Digest x", "lss_x", "Bearer \xff"]
)
def test_an_unknown_key_is_401(client, key, authorization):
    response = post(client, "/api/events", GOOD, authorization=authorization)

    assert_refused(response, 401, "invalid_credentials")
    assert_refused(post(client, f"/api/events?writeKey={key}", GOOD), 401, "invalid_credentials")
    assert_refused(post(client, "/api/events", {**GOOD, "writeKey": 5}), 401, "invalid_credentials")
    assert_refused(post(client, "/api/events", b"{"), 401, "invalid_credentials")


def test_the_built_in_source_has_no_key(client):
    assert Source.built_in().key_digest is None
    assert_refused(post(client, "/api/events", {**GOOD, "writeKey": ""}), 401, "invalid_credentials")


def test_a_revoked_key_stops_working(client, key):
    assert post(client, "/api/events", GOOD, key).status_code == 200

    Source.objects.exclude(key_digest=None).update(revoked_at=timezone.now())
    forget_keys()  # what five seconds do by themselves

    assert post(client, "/api/events", GOOD, key).status_code == 401


def test_keys_are_stored_as_digests_only(key):
    source = Source.objects.exclude(key_digest=None).get()

    assert key not in str(source.__dict__)
    assert source.key_prefix == key[:8]


def test_a_read_key_cannot_post(client):
    _, key = make_source(scope="read")

    assert_refused(post(client, "/api/events", GOOD, key), 403, "insufficient_scope")


def test_last_seen_is_written_once_a_minute(client, key, django_assert_num_queries):
    post(client, "/api/events", GOOD, key)
    assert Source.objects.exclude(key_digest=None).get().last_seen_at

    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 3) as queries:
        post(client, "/api/events", GOOD, key)
    assert sum(query["sql"].startswith("INSERT") for query in queries) == 1


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head"])
@pytest.mark.parametrize("path", ["/api/events", "/v1/batch/"])
def test_other_methods_are_405(client, key, method, path):
    response = getattr(client, method)(path, headers={"authorization": f"Bearer {key}"})

    assert response.status_code == 405
    assert response["Allow"] == "POST, OPTIONS"
    assert method == "head" or response.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/v1/", "/v1/dance", "/api/leads/not-a-uid", "/api/receipts/5"])
def test_what_is_not_there_is_404_as_json(client, path):
    for response in (client.get(path), client.post(path, b"{}", content_type="application/json")):
        assert response.status_code == 404
        assert set(response.json()) == {"code", "message"}


# --- sizes and gzip ---


def padded(size):
    """A batch of `size` bytes."""
    body = json.dumps({"batch": [{"type": "track", "userId": "u", "event": "E"}]}).encode()
    return body + b" " * (size - len(body))


def test_a_body_has_at_most_one_mebibyte(client, key):
    assert post(client, "/v1/batch", padded(1024 * 1024), key).status_code == 200
    Delivery.objects.all().delete()
    assert_refused(post(client, "/v1/batch", padded(1024 * 1024 + 1), key), 413, "body_too_large")


def test_an_import_has_at_most_eight(client, key):
    assert post(client, "/v1/import", padded(8 * 1024 * 1024), key).status_code == 200
    Delivery.objects.all().delete()
    assert_refused(post(client, "/v1/import", padded(8 * 1024 * 1024 + 1), key), 413, "body_too_large")


def test_gzip_is_read(client, key):
    body = gzip.compress(json.dumps(GOOD).encode(), mtime=0)

    assert post(client, "/api/events", body, key, **{"content-encoding": "gzip"}).status_code == 200
    assert post(client, "/api/events", body[:], key, content_type="application/x-www-form-urlencoded", **{"content-encoding": "GZIP"})
    assert json.loads(bytes(Delivery.objects.first().body)) == GOOD


def test_a_gzip_bomb_is_refused_without_being_unpacked(client, key):
    bomb = gzip.compress(b"[" + b" " * 100_000_000, mtime=0)
    tracemalloc.start()

    response = post(client, "/v1/batch", bomb, key, **{"content-encoding": "gzip"})

    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert_refused(response, 413, "decompressed_too_large")


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (gzip.compress(b'{"a": 1}', mtime=0)[:-5], "gzip", 400, "invalid_gzip"),
        (b"not gzip", "gzip", 400, "invalid_gzip"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzip", 400, "invalid_gzip"),
        (gzip.compress(b"{}", mtime=0) + b"garbage", "gzip", 400, "invalid_gzip"),
        (b"", "gzip", 400, "empty_body"),
        (b"{}", "br", 415, "unsupported_encoding"),
    ],
)
def test_bad_encodings(client, key, body, encoding, status, code):
    assert_refused(post(client, "/api/events", body, key, **{"content-encoding": encoding}), status, code)


def from_wire(client, key, body, **environ):
    """Post as a server hands it on that did not see the end of the body, or its length."""
    headers = {"authorization": f"Bearer {key}"}
    return client.generic(
        "POST", "/api/events", b"", content_type="application/json", headers=headers, **{"wsgi.input": BytesIO(body)}, **environ
    )


def test_a_cut_body_is_refused(client, key):
    assert_refused(from_wire(client, key, json.dumps(GOOD).encode(), CONTENT_LENGTH="999"), 400, "unreadable_body")


def test_a_body_in_chunks_is_read(client, key):
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}

    assert_refused(from_wire(client, key, b" " * 50_000_000, **chunked), 413, "body_too_large")
    assert from_wire(client, key, json.dumps(GOOD).encode(), **chunked).json()["accepted"] == 1


# --- browsers ---


def test_a_browser_may_post_from_its_sites(client):
    _, key = make_source(scope="browser", allowed_origins=["https://www.example.com"])

    asked = client.options("/v1/t", headers={"origin": "https://www.example.com", "access-control-request-method": "POST"})
    posted = post(client, "/v1/t", {"anonymousId": "a", "event": "E"}, key, origin="https://www.example.com")

    assert asked.status_code == 204
    assert asked["Access-Control-Allow-Origin"] == "https://www.example.com"
    assert {"authorization", "content-type"} <= set(asked["Access-Control-Allow-Headers"].split(", "))
    assert posted.status_code == 200
    assert posted["Access-Control-Allow-Origin"] == "https://www.example.com"
    assert "Origin" in posted["Vary"]


def test_other_sites_are_refused(client):
    _, key = make_source(scope="browser", allowed_origins=["https://www.example.com"])

    asked = client.options("/v1/t", headers={"origin": "https://evil.example"})
    posted = post(client, "/v1/t", {"anonymousId": "a", "event": "E"}, key, origin="https://evil.example")

    assert asked.status_code == 204
    assert "Access-Control-Allow-Origin" not in asked
    assert_refused(posted, 403, "origin_not_allowed")


def test_without_browser_keys_no_site_is_allowed(client, key):
    assert "Access-Control-Allow-Origin" not in client.options("/v1/t", headers={"origin": "https://www.example.com"})


def test_a_browser_key_cannot_send_trusted_types_or_consent(client):
    _, key = make_source(scope="browser")

    body = [{"anonymousId": "a", "eventType": name} for name in ("Contract Signed", "Viewed")] + [
        {"anonymousId": "a", "eventType": "Subscribed", "email": "a@b.io", "consent": {"newsletter": "granted"}}
    ]
    response = post(client, "/api/events", body, key)

    assert [reject["code"] for reject in response.json()["rejected"]] == ["trusted_type", "consent_not_allowed"]
    assert response.json()["accepted"] == 1


# --- ip addresses ---


@pytest.mark.parametrize("path", ["/v1/batch", "/api/events"])
def test_ip_addresses_are_not_kept(client, key, path, settings):
    message = {
        **GOOD,
        "type": "track",
        "event": "E",
        "ip": "203.0.113.5",
        "context": {"ip": "203.0.113.6"},
        "properties": {"ip": "203.0.113.7"},
    }
    body = {"batch": [message]} if path == "/v1/batch" else message

    assert post(client, path, body, key).json()["accepted"] == 1
    drain_all()

    assert b"203.0.113" not in bytes(Delivery.objects.get().body)
    assert "203.0.113" not in json.dumps(Event.objects.values_list("properties", "traits").get())

    settings.STORE_IP = True
    post(client, path, body, key)
    assert b"203.0.113" in bytes(Delivery.objects.latest("pk").body)


# --- repeating ---


def test_an_idempotency_key_makes_a_request_safe_to_repeat(client, key):
    body = [GOOD, {}]
    first = post(client, "/api/events", body, key, **{"idempotency-key": "k-1"})
    drain_all()
    again = post(client, "/api/events", body, key, **{"idempotency-key": "k-1"})
    other = post(client, "/api/events", [GOOD], key, **{"idempotency-key": "k-1"})

    assert again.json() == first.json()
    assert Delivery.objects.count() == 1
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_idempotency_keys_belong_to_their_source(client, key):
    post(client, "/api/events", GOOD, key, **{"idempotency-key": "k-1"})

    assert post(client, "/api/events", GOOD, make_source()[1], **{"idempotency-key": "k-1"}).status_code == 200
    assert Delivery.objects.count() == 2


def test_an_idempotency_key_is_free_again_after_seven_days(client, key):
    with time_machine.travel(NOW, tick=False) as clock:
        first = post(client, "/api/events", GOOD, key, **{"idempotency-key": "k-1"})
        clock.move_to(NOW + timedelta(days=7, seconds=-1))
        assert post(client, "/api/events", GOOD, key, **{"idempotency-key": "k-1"}).json() == first.json()
        clock.move_to(NOW + timedelta(days=7))
        assert post(client, "/api/events", GOOD, key, **{"idempotency-key": "k-1"}).json()["receipt"] != first.json()["receipt"]


def test_an_idempotency_key_has_a_form(client, key):
    assert_refused(post(client, "/api/events", GOOD, key, **{"idempotency-key": "k" * 201}), 400, "invalid_idempotency_key")


def test_the_same_message_is_stored_once_and_other_content_is_a_conflict(client, key):
    message = {**GOOD, "messageId": "m-1", "timestamp": "2026-03-01T10:00:00Z"}
    post(client, "/api/events", message, key)
    drain_all()
    response = post(client, "/api/events", [message, {**message, "userId": "joe"}], key)
    drain_all()

    receipt = client.get(f"/api/receipts/{response.json()['receipt']}", headers={"authorization": f"Bearer {key}"}).json()
    assert (receipt["stored"], receipt["duplicates"]) == (0, 1)
    assert [(reject["index"], reject["code"]) for reject in receipt["rejected"]] == [(1, "idempotency_conflict")]
    assert Event.objects.count() == 1


# --- receipts ---


def test_a_receipt_tells_what_became_of_a_delivery(client, key):
    headers = {"authorization": f"Bearer {key}"}
    told = post(client, "/api/events", [GOOD, {}], key).json()

    before = client.get(f"/api/receipts/{told['receipt']}", headers=headers)
    drain_all()
    after = client.get(f"/api/receipts/{told['receipt']}/", headers=headers)

    assert before.json() == {
        "status": "pending",
        "stored": 0,
        "duplicates": 0,
        "messageIds": told["messageIds"],
        "rejected": told["rejected"],
        "error": None,
    }
    assert after.json() == {**before.json(), "status": "processed", "stored": 1}
    assert Event.objects.get().message_id == told["messageIds"][0]


def test_a_receipt_is_for_the_key_that_sent_it(client, key):
    told = post(client, "/api/events", GOOD, key).json()
    path = f"/api/receipts/{told['receipt']}"

    assert client.get(path).status_code == 401
    assert client.get(path, headers={"authorization": f"Bearer {make_source()[1]}"}).status_code == 404
    assert client.get(path, headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert client.post(path, headers={"authorization": f"Bearer {key}"}).status_code == 405


# --- too much, or no database ---


def test_a_source_with_too_much_waiting_is_told_to_wait(client, key, settings):
    settings.MAX_BACKLOG = 2
    for _ in range(3):
        assert post(client, "/api/events", GOOD, key).status_code == 200

    response = post(client, "/api/events", GOOD, key)

    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert set(response.json()) == {"code", "message"}
    assert Delivery.objects.count() == 3
    assert post(client, "/api/events", GOOD, make_source()[1]).status_code == 200

    drain_all()
    forget_keys()  # what a second does by itself
    assert post(client, "/api/events", GOOD, key).status_code == 200


def test_without_a_database_the_answer_is_503(client, key):
    def broken(execute, sql, params, many, context):
        raise OperationalError("the connection is closed")

    with connection.execute_wrapper(broken):
        posted = post(client, "/api/events", GOOD, key)
        asked = client.options("/v1/t", headers={"origin": "https://www.example.com"})
        read = client.get("/api/leads?email=a@b.io", headers={"authorization": f"Bearer {key}"})

    for response in (posted, asked, read):
        assert response.status_code == 503
        assert int(response["Retry-After"]) > 0
        assert set(response.json()) == {"code", "message"}


# --- the command ---


def test_the_command_prints_a_key_that_works(client, capsys):
    call_command("source", "add", "website")

    key = capsys.readouterr().out.splitlines()[-1]
    assert post(client, "/api/events", GOOD, key).status_code == 200
    assert Source.objects.get(name="website").scope == "server"


def test_the_command_makes_browser_and_read_keys(client, capsys):
    call_command("source", "add", "shop", "--scope", "browser", "--origin", "https://shop.example/")
    call_command("source", "add", "reports", "--scope", "read")

    assert Source.objects.get(name="shop").allowed_origins == ["https://shop.example"]
    key = capsys.readouterr().out.splitlines()[-1]
    assert client.get("/api/leads?user_id=x", headers={"authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize("arguments", [["leadstate"], [""], ["x" * 81], ["x", "--scope", "admin"], ["x", "--origin", "https://a.example"]])
def test_the_command_refuses_what_makes_no_sense(arguments):
    with pytest.raises(CommandError):
        call_command("source", "add", *arguments)
    assert Source.objects.count() == 1


# --- anything at all ---

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
)
names = st.sampled_from(
    ["userId", "eventType", "event", "type", "metadata", "traits", "email", "timestamp", "messageId", "batch", "sentAt"]
)
junk = st.binary(max_size=200) | st.dictionaries(names, values, max_size=7).map(lambda value: json.dumps(value).encode())
PATHS = ["/api/events", "/v1/track", "/v1/identify", "/v1/page", "/v1/group", "/v1/alias", "/v1/batch", "/v1/import"]


@FUZZ
@given(body=junk, path=st.sampled_from(PATHS), encoding=st.sampled_from(["", "gzip"]), ndjson=st.booleans())
def test_no_bytes_break_a_door(client, body, path, encoding, ndjson):
    with transaction.atomic():
        _, key = make_source()
        content_type = "application/x-ndjson" if ndjson else "application/json"

        response = post(client, path, body, key, content_type=content_type, **({"content-encoding": encoding} if encoding else {}))

        assert response.status_code in {200, 400, 413}
        if response.status_code == 200:
            told = response.json()
            assert told["accepted"] == len(told["messageIds"]) == Delivery.objects.get(receipt=told["receipt"]).message_count
        transaction.set_rollback(True)


@FUZZ
@given(path=st.text(max_size=30), query=st.text(max_size=30))
def test_no_address_breaks_a_door(client, path, query):
    _, key = make_source(scope="read")

    response = client.get("/api/leads", {"email": query, "as_of": path}, headers={"authorization": f"Bearer {key}"})

    assert response.status_code in {200, 400}
