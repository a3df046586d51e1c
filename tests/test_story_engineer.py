"""An engineer's first event: from an empty database to a lead on the board, following what the pages say."""

import json
import re
import shlex
from html import unescape

import pytest

from leads.intake import drain_all
from leads.models import Delivery, Lead, Source
from tests.browser import colleague

pytestmark = pytest.mark.django_db


def shown(answer, id):
    """The text of a snippet as somebody copies it."""
    return unescape(re.search(rf'<pre id="{id}"[^>]*>(.*?)</pre>', answer.content.decode(), re.S)[1])


def run_curl(client, line):
    """Do what curl does with a line: the header, the body, its content type."""
    words = shlex.split(line)
    assert words[0] == "curl"
    name, _, value = words[words.index("-H") + 1].partition(": ")
    url = words[1].removeprefix("http://testserver")
    return client.post(url, words[words.index("-d") + 1], content_type="application/x-www-form-urlencoded", headers={name: value})


def test_an_engineers_first_event(client):
    client.force_login(colleague("admin"))
    assert not Lead.objects.exists()

    # The empty page leads to the form, the form to a key that is shown once.
    empty = client.get("/sources/")
    assert b"Connect what people use" in empty.content
    form = client.get(re.search(r'class="btn btn-primary" href="([^"]+)"', empty.content.decode())[1])
    made = client.post(re.search(r'action="(/sources/[^"]+)"', form.content.decode())[1], {"name": "Our product", "scope": "server"})
    source = Source.objects.get(name="Our product")
    key = re.search(r'id="key" value="([^"]+)"', made.content.decode())[1]
    assert b"Waiting for your first event" in made.content
    assert key not in client.get(f"/sources/{source.pk}/first-event/").content.decode()

    # The wizard asks for itself while nothing has come.
    poll = re.search(r'hx-get="(/sources/[^"]+)"', made.content.decode())[1]
    assert client.get(poll).status_code == 204

    # Without the key the line is refused, and nothing arrives.
    assert run_curl(client, shown(client.get(f"/sources/{source.pk}/first-event/"), "snippet-curl")).status_code == 401

    # The line as it was shown works at once; the engineer asks for the receipt.
    line = shown(made, "snippet-curl")
    assert key in line
    told = run_curl(client, line)
    assert (told.status_code, told.json()["accepted"]) == (200, 1)
    pending = client.get(f"/api/receipts/{told.json()['receipt']}", headers={"authorization": f"Bearer {key}"})
    assert pending.json()["status"] == "pending"
    assert b"is stored. It is processed in a moment" in client.get(poll).content
    assert b"Waiting" in client.get(f"/sources/{source.pk}/").content

    drain_all()

    # The wizard celebrates and leads to the person; the tail tells the same.
    arrived = client.get(poll)
    lead = Lead.objects.get()
    assert b"Your first event arrived" in arrived.content
    assert b"hx-trigger" not in arrived.content
    assert lead.get_absolute_url().encode() in arrived.content
    tail = client.get(f"/sources/{source.pk}/").content.decode()
    assert "DEMO_REQUESTED" in tail
    assert "No rule uses this type" in tail
    assert told.json()["receipt"] in client.get(f"/sources/{source.pk}/deliveries/{told.json()['receipt']}/").content.decode()
    assert lead.email == "ada@example.com"
    assert b"ada@example.com" in client.get(lead.get_absolute_url()).content


@pytest.mark.parametrize("scope", ["server", "browser"])
def test_the_snippet_in_python_sends_the_same_event_as_curl(client, scope, monkeypatch):
    client.force_login(colleague("admin"))
    made = client.post("/sources/new/", {"name": "Our product", "scope": scope})
    sent = []

    class Answer:
        def read(self):
            return sent[-1].content

    def urlopen(request):
        headers = {"authorization": request.get_header("Authorization")}
        url = request.full_url.removeprefix("http://testserver")
        sent.append(client.post(url, request.data, content_type="application/x-www-form-urlencoded", headers=headers))
        return Answer()

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    exec(shown(made, "snippet-python"), {})
    run_curl(client, shown(made, "snippet-curl"))

    assert sent[0].status_code == 200
    bodies = [json.loads(bytes(delivery.body)) for delivery in Delivery.objects.order_by("pk")]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    key = re.search(r'id="key" value="([^"]+)"', made.content.decode())[1]
    assert f'"Bearer {key}"' in shown(made, "snippet-javascript")
