"""The API's document against the API: every door is in it, and real requests and answers fit its schemas."""

import ast
import json
import re
import shlex
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from django.db import OperationalError
from django.urls import get_resolver

from campaigns.models import Message
from leads import openapi_operations
from leads.intake import drain_all
from leads.models import Lead, ScoringVersion
from leads.openapi import document
from leads.openapi_codes import CODES
from tests.factories import make_campaign, make_enrollment, make_lead, make_message, make_rep, make_source, make_transition, make_version

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parent.parent
TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
FORMATS = {"uuid": UUID, "date-time": datetime.fromisoformat}


# --- a small judge of JSON Schema ---


def problems(value, schema, at="$", *, closed=True):
    """Where a value breaks a schema; `closed`: an object has nothing that the schema does not name."""
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    found = []
    if "type" in schema and not fits(value, schema["type"]):
        return [f"{at} is not {schema['type']}: {value!r}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at} is not one of {schema['enum']}: {value!r}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{at} is not {schema['const']}: {value!r}")
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        found.append(f"{at} is too long")
    if schema.get("format") in FORMATS:
        FORMATS[schema["format"]](value)
    found += choices(value, schema, at, closed=closed) + parts(value, schema, at, closed=closed)
    return found


def fits(value, name):
    return isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in {"integer", "number"})


def choices(value, schema, at, *, closed):
    found = [problem for each in schema.get("allOf", []) for problem in problems(value, each, at, closed=False)]
    for name in ("anyOf", "oneOf"):
        if name in schema:
            tried = [problems(value, each, at, closed=closed and "properties" not in schema) for each in schema[name]]
            fitting = sum(not each for each in tried)
            if not fitting or (name == "oneOf" and fitting > 1):
                found.append(f"{at} fits {fitting} of {name}: {tried}")
    return found


def parts(value, schema, at, *, closed):
    found = []
    if isinstance(value, dict):
        found += [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
        known = schema.get("properties", {})
        for name, part in value.items():
            if name in known:
                found += problems(part, known[name], f"{at}.{name}", closed=closed)
            elif "additionalProperties" in schema:
                found += problems(part, schema["additionalProperties"], f"{at}.{name}", closed=closed)
            elif closed and known:
                found.append(f"{at}.{name} is not in the document")
    if isinstance(value, list) and "items" in schema:
        found += [problem for n, item in enumerate(value) for problem in problems(item, schema["items"], f"{at}[{n}]", closed=closed)]
    return found


def test_the_judge_notices():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "required": ["a"],
    }

    assert not problems({"a": 1, "b": None}, schema)
    for wrong in ({}, {"a": "1"}, {"a": True}, {"a": 1, "b": 2}, {"a": 1, "c": 3}, []):
        assert problems(wrong, schema)


# --- the document ---


def operations():
    """(method, path, operation) of the whole document."""
    return [(method, path, operation) for path, methods in document()["paths"].items() for method, operation in methods.items()]


def test_the_document_is_given_to_everybody_with_this_address(client):
    answer = client.get("/api/openapi.json", headers={"host": "localhost"})

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    body = answer.json()
    assert body["openapi"].startswith("3.1")
    assert body["servers"] == [{"url": "http://localhost"}]
    assert client.post("/api/openapi.json").status_code == 405


def test_every_pointer_leads_somewhere():
    text = json.dumps(document())
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))

    assert names
    assert names <= set(document()["components"]["schemas"])
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))


def machine_routes():
    """Every address of a machine door, as the document writes it; of the Segment names the long one."""
    routes = set()
    for resolver in get_resolver().url_patterns:
        for pattern in getattr(resolver, "url_patterns", []):
            route = str(pattern.pattern)
            if route.startswith(("api/", "v1/")) and not route.endswith("/"):
                routes.add("/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route))
    return {route for route in routes if not re.fullmatch(r"/v1/\w", route)} - {"/api/openapi.json", "/api/docs"}


def test_every_door_is_in_the_document_and_no_other():
    assert set(document()["paths"]) == machine_routes()


@pytest.mark.parametrize("path", document()["paths"])
def test_each_door_has_the_methods_the_document_gives_it(client, path):
    url = path.replace("{uid}", "6f1c1cbd-9a5f-4d0c-8e53-6d2f6f7cbb1e").replace("{receipt}", "6f1c1cbd-9a5f-4d0c-8e53-6d2f6f7cbb1e")

    allowed = client.delete(url)["Allow"]

    assert set(document()["paths"][path]) == {name.lower() for name in allowed.split(", ")} - {"head", "options"}


def codes_in_the_code():
    """Every code that the doors refuse with."""
    found = set()
    for path in [*(ROOT / "leads").glob("*.py"), ROOT / "campaigns/api.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in {
                "Refused",
                "BadRequest",
                "refuse",
                "too_large",
                "Problem",
            }:
                continue
            place = {"Refused": 0, "Problem": 0, "too_large": 0}.get(node.func.id, 1)
            if isinstance(node.args[place], ast.Constant):
                found.add(node.args[place].value)
    return found


def test_every_code_is_explained_and_no_other():
    assert codes_in_the_code() == set(CODES)


def test_every_error_status_of_a_code_is_documented_somewhere():
    statuses = {int(status) for _, _, operation in operations() for status in operation["responses"]}

    assert {status for allowed, _ in CODES.values() for status in allowed} == statuses


# --- examples ---


def content(part):
    return part["content"]["application/json"]


@pytest.mark.parametrize(("method", "path", "operation"), operations())
def test_every_example_fits_its_schema(method, path, operation):
    reply = content(operation["responses"]["200"])

    assert not problems(reply["example"], reply["schema"])
    if method == "post":
        asked = content(operation["requestBody"])
        assert not problems(asked["example"], asked["schema"])


@pytest.mark.parametrize("path", [path for method, path, _ in operations() if method == "post"])
def test_every_example_is_taken_by_its_door(client, path):
    _, key = make_source()
    example = content(document()["paths"][path]["post"]["requestBody"])["example"]

    answer = client.post(path, json.dumps(example), content_type="application/json", headers={"authorization": f"Bearer {key}"})

    assert answer.status_code == 200
    assert answer.json()["rejected"] == []
    drain_all()


def test_the_curl_lines_of_the_page_are_requests_that_work(client):
    _, server = make_source()
    _, read = make_source(scope="read")
    make_lead(email="ada@example.com")
    page = client.get("/api/docs").content.decode()
    lines = [line.replace("&quot;", '"').replace("&#x27;", "'") for line in re.findall(r"<pre id=\"[\w-]+-curl\"[^>]*>(.*?)</pre>", page)]

    assert len(lines) == len(operations())
    for line in lines:
        words = shlex.split(line)
        url = words[1].removeprefix("http://testserver")
        if "-d" in words:
            answer = client.post(
                url, words[-1], content_type="application/x-www-form-urlencoded", headers={"authorization": f"Bearer {server}"}
            )
            assert (answer.status_code, answer.json()["rejected"]) == (200, [])
        elif "UID" not in url and "RECEIPT" not in url:
            answer = client.get(url, headers={"authorization": f"Bearer {read}"})
            assert (answer.status_code, len(answer.json()["results"])) == (200, 1)


# --- requests: what the document allows is taken, what it forbids is refused ---


def requests_like(schema):
    """(body, whether the document allows it): the smallest bodies, each with one thing left out or of a wrong type."""
    named = {"userId": "u-1"}
    required = {name: "Some Event" for name in schema.get("required", [])}
    yield named | required, True
    yield {"anonymousId": "a-1"} | required, True
    yield required, False
    for name in required:
        yield named | {key: value for key, value in required.items() if key != name}, False
    for name, part in schema["properties"].items():
        if part.get("type") == "string" and name not in {"name", "category"}:
            agreed = {"consent": {"newsletter": "granted"}} if name == "proof" else {}  # alone it proves nothing and is not read
            yield named | required | agreed | {name: 7}, name == "sentAt"  # a clock that can't be read corrects nothing
        if part.get("type") == "object" and name != "context":
            yield named | required | {name: []}, False
        if part.get("maxLength") and name not in required:
            yield named | required | {name: "x" * (part["maxLength"] + 1)}, False


@pytest.mark.parametrize(
    ("path", "name"), [("/api/events", "Event"), *((f"/v1/{kind}", type_.__name__) for kind, type_ in openapi_operations.KINDS.items())]
)
def test_what_the_document_allows_is_taken_and_what_it_forbids_is_refused(client, path, name):
    _, key = make_source()
    schema = document()["components"]["schemas"][name]

    for body, allowed in requests_like(schema):
        answer = client.post(path, json.dumps(body), content_type="application/json", headers={"authorization": f"Bearer {key}"})
        taken = answer.status_code == 200 and not answer.json()["rejected"]
        assert taken == allowed, (body, answer.content)
        assert allowed == (not problems(body, schema)) or "sentAt" in body, body


# --- answers ---


def assert_fits(answer, path, method="get"):
    """The answer's status is documented and its body fits the schema of that status."""
    responses = document()["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, answer.content
    assert not problems(answer.json(), content(responses[str(answer.status_code)])["schema"])


@pytest.fixture
def keys():
    return {scope: {"authorization": f"Bearer {make_source(scope=scope)[1]}"} for scope in ("server", "browser", "read")}


def post(client, path, body, headers):
    return client.post(path, body if isinstance(body, bytes) else json.dumps(body), content_type="application/json", headers=headers)


EVENT = {"userId": "ada", "email": "ada@example.com", "eventType": "SIGNED_UP", "metadata": {"plan": "team"}, "messageId": "m-1"}


def test_real_writes_are_answered_as_documented(client, keys, monkeypatch):
    bodies = [EVENT, [EVENT, {"userId": "x"}], {}, [], b"", b"\xff", b"x" * (1024 * 1024 + 1), {**EVENT, "metadata": {"note": "ä" * 10}}]
    for path in ("/api/events", "/v1/track", "/v1/batch"):
        for body in bodies:
            assert_fits(post(client, path, body, keys["server"]), path, "post")
        assert_fits(post(client, path, EVENT, {}), path, "post")
        assert_fits(post(client, path, EVENT, keys["read"]), path, "post")
        assert_fits(post(client, path, EVENT, keys["server"] | {"content-encoding": "br"}), path, "post")
        assert_fits(client.put(path), path, "post")
    again = keys["server"] | {"idempotency-key": "k"}
    post(client, "/api/events", EVENT, again)
    assert_fits(post(client, "/api/events", {**EVENT, "messageId": "m-2"}, again), "/api/events", "post")

    def away(*args, **kwargs):
        raise OperationalError

    monkeypatch.setattr("leads.api.deliver", away)
    assert_fits(post(client, "/api/events", EVENT, keys["server"]), "/api/events", "post")


def test_a_full_inbox_is_answered_as_documented(client, keys, settings):
    settings.MAX_BACKLOG = 0
    post(client, "/api/events", EVENT, keys["server"])

    answer = post(client, "/api/events", EVENT, keys["server"])

    assert answer.status_code == 429
    assert_fits(answer, "/api/events", "post")


def test_real_receipts_are_answered_as_documented(client, keys):
    told = post(client, "/api/events", [EVENT, {"userId": "x"}, {**EVENT, "metadata": {}}], keys["server"]).json()
    url = f"/api/receipts/{told['receipt']}"
    path = "/api/receipts/{receipt}"

    before = client.get(url, headers=keys["server"])
    drain_all()
    after = client.get(url, headers=keys["server"])

    assert (before.json()["status"], after.json()["status"]) == ("pending", "processed")
    assert {reject["code"] for reject in after.json()["rejected"]} == {"required", "idempotency_conflict"}
    for answer in (before, after, client.get(url), client.get(url, headers=keys["browser"]), client.put(url)):
        assert_fits(answer, path)


def make_history(client, keys):
    """A lead with a line, an event, a move by hand and a message; returns its uid."""
    make_version(scoring={"rules": [{"key": "signed-up", "name": "Signed up", "event": "SIGNED_UP", "points": 10}]})
    post(client, "/api/events", EVENT | {"traits": {"name": "Ada", "title": "CTO", "huge": 10**40}}, keys["server"])
    drain_all()
    lead = Lead.objects.get(email="ada@example.com")
    make_transition(lead=lead, to="mql", actor=make_rep())
    make_message(run=make_enrollment(campaign=make_campaign(), lead=lead), state=Message.State.SENT, subject="Hello")
    return lead.uid


def test_real_reads_are_answered_as_documented(client, keys):
    uid = make_history(client, keys)

    for query in ("?email=ada@example.com", "?user_id=ada", "?email=nobody@example.com", "", "?email=a@b.c&as_of=2100-01-01T00:00:00Z"):
        assert_fits(client.get(f"/api/leads{query}", headers=keys["read"]), "/api/leads")
    for name in ("", "/ledger", "/events", "/transitions", "/messages"):
        path = f"/api/leads/{{uid}}{name}"
        answer = client.get(f"/api/leads/{uid}{name}", headers=keys["read"])
        assert answer.status_code == 200
        assert name == "" or len(answer.json()["results"]) == 1
        assert_fits(answer, path)
        for other in (
            client.get(f"/api/leads/{uid}{name}"),
            client.get(f"/api/leads/{uid}{name}", headers=keys["server"]),
            client.get(f"/api/leads/6f1c1cbd-9a5f-4d0c-8e53-6d2f6f7cbb1e{name}", headers=keys["read"]),
            client.get(f"/api/leads/{uid}{name}?limit=0&as_of=yesterday", headers=keys["read"]),
            client.put(f"/api/leads/{uid}{name}"),
        ):
            assert other.status_code != 200
            assert_fits(other, path)
    assert ScoringVersion.objects.count() == 1


# --- the page ---


def test_the_page_is_read_without_a_login_and_offline(client):
    answer = client.get("/api/docs")
    page = answer.content.decode()

    assert answer.status_code == 200
    for _, path, operation in operations():
        assert f"<code>{path}</code>" in page
        assert f'id="{operation["operationId"]}"' in page
    for code in CODES:
        assert f"<code>{code}</code>" in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert " style=" not in page
    assert "http://testserver/api/events" in page
    assert client.get("/api/docs/").status_code == 200
    assert client.post("/api/docs").status_code == 405
