"""A rep's morning, through the doors: log in, look at today, accept, reject, call, move on the board, note."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import Client

from crm import playbook, sweep
from crm.verify import verify
from leads.models import Activity, Lead, Task
from tests.factories import make_rep, make_source

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 6, 8, 9, 5, tzinfo=UTC)


def post_event(key, *, user, event, **traits):
    """What the product tells over its API."""
    answer = Client(headers={"Authorization": f"Bearer {key}"}).post(
        "/api/events",
        {"userId": user, "email": f"{user}@{user}-works.example", "eventType": event, "traits": traits},
        content_type="application/json",
    )
    assert answer.status_code == 200
    sweep.run_everything_due()


def heading(client):
    return client.get("/today/").content.decode().split('<h1 tabindex="-1">')[1].split("</h1>")[0]


def task_of(name):
    return Task.objects.get(lead__name=name)


def test_a_morning_of_a_rep(client, settings):
    settings.WORKING_HOURS = "mon-fri 09:00-17:00"
    with time_machine.travel(MONDAY, tick=False) as clock:
        playbook.apply_shipped(active=False)
        _, key = make_source()
        rep = make_rep(username="rita", first_name="Rita", last_name="Rep")

        # Over night nothing; at nine two people ask for a demo.
        post_event(key, user="ada", event="DEMO_REQUESTED", name="Ada Lovelace", title="CTO")
        post_event(key, user="bob", event="DEMO_REQUESTED", name="Bob Ray", title="Student")
        clock.shift(timedelta(minutes=25))

        # Rita logs in; the page she wanted waits behind the log-in.
        asked = client.get("/today/")
        into = client.post(asked.url, {"username": "rita", "password": "a-long-password"})
        assert (into.status_code, into.url) == (302, "/today/")
        page = client.get("/today/").content.decode()
        assert heading(client) == "2 leads need a call today"
        assert "3 h 35 min left" in page
        assert page.index("Ada Lovelace") < page.index("Bob Ray")

        # Ada is hers; the clock stops.
        accepted = client.post(f"/tasks/{task_of('Ada Lovelace').pk}/accept/", follow=True)
        assert b"Ada Lovelace is yours. The clock has stopped." in accepted.content
        assert task_of("Ada Lovelace").touched_at == MONDAY + timedelta(minutes=25)

        # Bob is a student: back to marketing, where what he did before does not lift him again.
        rejected = client.post(f"/tasks/{task_of('Bob Ray').pk}/reject/", {"reason": "too-early", "note": "Writes a thesis"}, follow=True)
        assert b"Bob Ray went back to Marketing qualified." in rejected.content
        sweep.run_everything_due()
        bob = Lead.objects.get(name="Bob Ray")
        assert (bob.stage_id, bob.owner, bob.former_owner) == ("mql", None, rep)
        assert heading(client) == "Nobody waits for your call"

        # She calls Ada, and writes down what was said.
        ada = Lead.objects.get(name="Ada Lovelace")
        called = client.post(
            f"{ada.get_absolute_url()}write/talk/",
            {"talk-kind": "call", "talk-outcome": "interested", "talk-text": "Wants it by July"},
            follow=True,
        )
        assert b"Wants it by July" in called.content
        assert Activity.objects.get(kind="call").by_user == rep

        # On the board she moves her to where she is now.
        clock.shift(timedelta(minutes=20))
        board = client.get("/").content.decode()
        assert "Ada Lovelace" in board
        client.post("/board/move/", {"lead": f"{ada.uid}.{ada.stage_seq}", "stage": "won"}, follow=True)
        ada.refresh_from_db()
        assert (ada.stage_id, ada.owner) == ("won", rep)
        assert task_of("Ada Lovelace").done_at

        # And leaves a note for the colleagues.
        noted = client.post(f"{ada.get_absolute_url()}write/note/", {"note-text": "Contract is with legal"}, follow=True)
        assert b"Contract is with legal" in noted.content

        # The day is done, the company knows whose it is, and the books are right.
        company = client.get(f"/companies/{ada.company_id}/").content.decode()
        assert "was handed to Rita Rep" in company
        assert "Everything is done" in client.get("/today/").content.decode()
        sweep.run_everything_due()
        assert [finding.invariant.name for finding in verify() if finding.broken] == []
