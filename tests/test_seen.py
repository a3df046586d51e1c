"""What events have looked like: types, properties, examples; nothing private; a stream of events writes nothing."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads import seen
from leads.intake import drain_all
from leads.masking import example_of, is_private
from leads.models import DerivedType, Event, ScoringVersion, SeenProperty
from leads.publishing import publish
from leads.vocabulary import SHIPPED_TYPES
from tests.factories import make_source

pytestmark = pytest.mark.django_db


@pytest.fixture
def post(client, django_capture_on_commit_callbacks):
    """Posts events and lets the worker take them in; returns the statements of the second part."""
    _, key = make_source()

    def post(*events):
        headers = {"Authorization": f"Bearer {key}"}
        assert client.post("/api/events", json.dumps(list(events)), content_type="application/json", headers=headers).status_code == 200
        with CaptureQueriesContext(connection) as queries, django_capture_on_commit_callbacks(execute=True):
            drain_all()
        return [query["sql"] for query in queries if "leads_seenproperty" in query["sql"]]

    return post


def event(name="Viewed pricing", email="ada@acme.example", **properties):
    return {"email": email, "eventType": name, "metadata": properties}


def found(event_type):
    return {row.path: (row.kind, row.examples) for row in SeenProperty.objects.filter(type=event_type)}


def test_types_and_properties_are_noted_with_examples(post):
    post(event(plan="team", seats=5, trial=True, tags=["a", "b"], page={"path": "/pricing"}))
    post(event(plan="pro", seats=5))

    assert found("VIEWED_PRICING") == {
        "": ("", []),
        "event.plan": ("text", ["team", "pro"]),
        "event.seats": ("number", [5]),
        "event.trial": ("flag", [True]),
        "event.tags": ("text", ["a"]),
        "event.page.path": ("text", ["/pricing"]),
    }


def test_of_many_events_alike_the_first_few_tell_and_one_with_a_new_name_always_does(post):
    begin = timezone.now() - timedelta(hours=1)
    alike = [
        event("Clicked", place=n if n < seen.ENOUGH else "late") | {"timestamp": (begin + timedelta(seconds=n)).isoformat()}
        for n in range(seen.ENOUGH + 5)
    ]

    post(*alike, event("Clicked", place=1, color="red"))

    assert found("CLICKED") == {"": ("", []), "event.place": ("number", [0, 1, 2]), "event.color": ("text", ["red"])}


def test_traits_of_people_and_companies_are_noted_without_the_known_fields(post):
    post({"email": "ada@acme.example", "eventType": "SIGNED_UP", "traits": {"title": "CTO", "seats": 3, "company": {"employees": 40}}})

    assert found("") == {"lead.traits.seats": ("number", [3]), "company.employees": ("number", [40])}


def test_derived_types_are_seen_with_the_properties_of_what_they_come_from(post):
    DerivedType.objects.create(source_type="PAGE_VIEWED", derived_type="VIEWED_PRICING", when=[])
    publish()

    post(event("Page viewed", path="/pricing"))

    assert "event.path" in found("VIEWED_PRICING")
    assert set(seen.seen_types()) == {"PAGE_VIEWED", "VIEWED_PRICING"}


def test_several_kinds_of_values_are_told(post):
    post(event(plan="team"))
    post(event(plan=7))

    assert found("VIEWED_PRICING")["event.plan"] == ("mixed", ["team", 7])


@pytest.mark.parametrize(
    ("key", "value", "example"),
    [
        ("plan", "team", "team"),
        ("contact", "ada@acme.example", "a***@acme.example"),
        ("email", "ada@acme.example", "a***@acme.example"),
        ("firstName", "Ada", None),
        ("phone", 4915112345678, None),
        ("number", 4915112345678, None),
        ("callback", "+49 151 1234567", None),
        ("api_token", "x", None),
        ("ref", "9f86d081884c7d659a2feaa0c55ad015", None),
        ("ref", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", None),
        ("url", "https://acme.example/pricing?email=ada@acme.example#top", "https://acme.example/pricing"),
        ("url", "https://acme.example/reset/9f86d081884c7d659a2feaa0c55ad015", None),
        ("path", "/pricing", "/pricing"),
        ("version", "2026-11-01", "2026-11-01"),
        ("message", "Call me", None),
        ("reason", "write to ada@acme.example please", None),
        ("document", "x" * 90, "x" * 39 + "…"),
        ("seats", 5, 5),
        ("trial", True, True),
        ("tags", [["a"]], None),
        ("nothing", {}, None),
    ],
)
def test_an_example_tells_nobody_who_somebody_is(key, value, example):
    assert example_of(key, value) == example


def test_private_names_are_known_by_their_words():
    assert [is_private(name) for name in ("userEmail", "last-name", "IP", "plan", "seats", "document")] == [True] * 3 + [False] * 3


def test_a_steady_stream_writes_nothing_and_reads_nothing(post):
    with time_machine.travel(timezone.now(), tick=False) as clock:
        first = post(event(plan="team"))
        again = [post(event(plan="team")) for _ in range(3)]
        clock.shift(timedelta(minutes=11))
        later = post(event(plan="team"))

        assert len(first) == 3
        assert again == [[], [], []]
        assert len(later) == 2
        assert SeenProperty.objects.get(path="").last_at == timezone.now()


def test_the_statements_of_a_group_do_not_grow(post):
    few = post(event(plan="team"))
    seen.forget()
    SeenProperty.objects.all().delete()
    many = post(*(event(f"Type {n}", **{f"p{n}_{m}": m for m in range(9)}) for n in range(100)))

    assert len(few) == len(many) == 3
    assert SeenProperty.objects.count() == seen.MAX_WRITTEN


def test_another_process_adds_to_what_is_there(post):
    post(event(plan="team"))
    seen.forget()
    post(event(plan="pro"))

    assert found("VIEWED_PRICING")["event.plan"] == ("text", ["team", "pro"])


def test_types_and_properties_are_bounded(post, monkeypatch):
    monkeypatch.setattr(seen, "MAX_TYPES", 3)
    monkeypatch.setattr(seen, "MAX_PROPERTIES", 5)

    post(event(**{f"p{n}": n for n in range(9)}))
    post(*(event(f"Type {n}") for n in range(5)))
    silent = post(*(event(f"Other {n}") for n in range(5)))
    silent += post(event(**{f"q{n}": n for n in range(9)}))

    assert SeenProperty.objects.filter(path="").count() == 3
    assert SeenProperty.objects.filter(type="VIEWED_PRICING").count() == 5
    assert silent == []


def test_a_failing_note_loses_no_event(post, monkeypatch):
    monkeypatch.setattr(SeenProperty.objects, "bulk_create", lambda *args, **kwargs: 1 / 0)

    post(event(plan="team"))

    assert not SeenProperty.objects.exists()
    assert Event.objects.count() == 1


def test_the_shipped_types_are_those_of_the_documentation():
    text = (Path(__file__).parent.parent / "docs/events.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE)) == set(SHIPPED_TYPES)
    assert ScoringVersion.live() is None
