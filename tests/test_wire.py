"""Requests of real clients, captured on the wire and replayed byte for byte."""

import base64
import gzip
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from leads.intake import drain_all
from leads.models import Delivery, Event, Identity, Lead
from tests.factories import make_source

pytestmark = pytest.mark.django_db

WIRE = Path(__file__).parent / "wire"
CAPTURED_KEY = "WRITEKEY123"
# Written by the machine that carries the request, not by the client.
CARRIED = {"host", "content-length", "connection"}


def replay(client, name, key):
    """Send a capture's requests with our key in the place of theirs; returns the answers."""
    return [send(client, request, key) for request in json.loads((WIRE / f"{name}.json").read_text())]


def send(client, request, key):
    headers = {field.lower(): value for field, value in request["headers"].items() if field.lower() not in CARRIED}
    if "authorization" in headers:
        assert base64.b64decode(headers["authorization"].split()[1]).decode() == f"{CAPTURED_KEY}:"
        headers["authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    body = json.dumps(request["body"]).replace(CAPTURED_KEY, key).encode() if request["body"] else b""
    if headers.get("content-encoding") == "gzip":
        body = gzip.compress(body)
    return client.generic(request["method"], request["path"], body, content_type=headers.pop("content-type", ""), headers=headers)


def sent_at(name):
    """A moment after the capture was sent."""
    last = json.loads((WIRE / f"{name}.json").read_text())[-1]
    return datetime.fromisoformat(last["body"]["sentAt"]) + timedelta(seconds=1)


ALL_KINDS = ["IDENTIFIED", "TRIAL_STARTED", "PAGE_VIEWED", "SCREEN_VIEWED", "GROUPED", "ALIASED", "VIEWED"]


@pytest.mark.parametrize("name", ["segment_python", "segment_python_gzip", "segment_node"])
def test_a_server_client_is_understood_and_a_repeat_changes_nothing(client, name):
    _, key = make_source()

    with time_machine.travel(sent_at(name), tick=False):
        [first] = replay(client, name, key)
        drain_all()
        [again] = replay(client, name, key)
        drain_all()

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["success"] is True
    assert first.json()["rejected"] == []
    assert first.json()["messageIds"] == again.json()["messageIds"]
    assert set(Event.objects.values_list("type", flat=True)) == set(ALL_KINDS)
    assert Event.objects.count() == 7
    repeat = Delivery.objects.get(receipt=again.json()["receipt"])
    assert (repeat.stored, repeat.duplicates, repeat.state) == (0, 7, "processed")
    lead = Lead.objects.get(merged_into=None)
    keys = set(Identity.objects.filter(lead=lead).values_list("kind", "value"))
    assert keys == {("user_id", "user-1"), ("email", "jane@acme.io"), ("anonymous_id", "anon-9")}
    assert b"203.0.113.5" not in b"".join(bytes(delivery.body) for delivery in Delivery.objects.all())


@pytest.mark.parametrize("name", ["segment_browser", "segment_browser_batch"])
def test_the_browser_client_is_understood(client, name):
    _, key = make_source(scope="browser", allowed_origins=["http://127.0.0.1:8971"])

    with time_machine.travel(sent_at(name), tick=False):
        for answer in replay(client, name, key):
            if answer.request["REQUEST_METHOD"] == "OPTIONS":
                assert answer.status_code == 204
                assert "authorization" in answer["Access-Control-Allow-Headers"]
            else:
                assert answer.status_code == 200
                assert answer.json()["rejected"] == []
            assert answer["Access-Control-Allow-Origin"] == "http://127.0.0.1:8971"
        drain_all()

    assert set(Event.objects.values_list("type", flat=True)) == {"PAGE_VIEWED", "IDENTIFIED", "CLICKED", "GROUPED", "ALIASED"}
    page = Event.objects.get(type="PAGE_VIEWED")
    assert page.properties["path"] == "/index.html"
    lead = Lead.objects.get(merged_into=None)
    assert (lead.email, lead.unconfirmed_email) == ("", "j@a.io")
