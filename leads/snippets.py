"""The first request to send, in three languages, filled with the address of this server and a key."""

import json
from dataclasses import dataclass
from typing import Any

from leads.models import Source

PLACEHOLDER = "YOUR_KEY"
EVENT: dict[str, Any] = {"userId": "u-42", "email": "ada@example.com", "eventType": "DEMO_REQUESTED", "metadata": {"team_size": 12}}
BROWSER_EVENT: dict[str, Any] = {"anonymousId": "visitor-7", "eventType": "VIEWED_PRICING", "metadata": {"plan": "team"}}
LOOK_UP = "/api/leads?email=ada@example.com"


@dataclass(frozen=True)
class Snippet:
    """One language: what it is called, and the text to copy."""

    key: str
    name: str
    text: str


def snippets(source: Source, *, host: str, key: str) -> list[Snippet]:
    """The first request of a source; with a placeholder when the key is no longer known."""
    key = key or PLACEHOLDER
    makers = READS if source.scope == Source.Scope.READ else WRITES
    order = ["javascript", "curl", "python"] if source.scope == Source.Scope.BROWSER else ["curl", "python", "javascript"]
    names = {"curl": "curl", "python": "Python", "javascript": "JavaScript"}
    event = BROWSER_EVENT if source.scope == Source.Scope.BROWSER else EVENT
    return [Snippet(name, names[name], makers[name](host, key, json.dumps(event))) for name in order]


def post_with_curl(host: str, key: str, event: str) -> str:
    """One line for a shell."""
    return f"curl {host}/api/events -H \"Authorization: Bearer {key}\" -d '{event}'"


def post_with_python(host: str, key: str, event: str) -> str:
    """Nothing but the standard library."""
    return f"""\
import json, urllib.request

event = {event}
request = urllib.request.Request(
    "{host}/api/events",
    data=json.dumps(event).encode(),
    headers={{"Authorization": "Bearer {key}"}},
)
print(urllib.request.urlopen(request).read().decode())"""


def post_with_javascript(host: str, key: str, event: str) -> str:
    """For a page as well as for a server."""
    return f"""\
const event = {event};

const answer = await fetch("{host}/api/events", {{
  method: "POST",
  keepalive: true,
  headers: {{ Authorization: "Bearer {key}" }},
  body: JSON.stringify(event),
}});
console.log(await answer.json());"""


def get_with_curl(host: str, key: str, event: str) -> str:
    """One line for a shell."""
    return f'curl "{host}{LOOK_UP}" -H "Authorization: Bearer {key}"'


def get_with_python(host: str, key: str, event: str) -> str:
    """Nothing but the standard library."""
    return f"""\
import urllib.request

request = urllib.request.Request("{host}{LOOK_UP}", headers={{"Authorization": "Bearer {key}"}})
print(urllib.request.urlopen(request).read().decode())"""


def get_with_javascript(host: str, key: str, event: str) -> str:
    """For a server: a read key must not be shown to anybody."""
    return f"""\
const answer = await fetch("{host}{LOOK_UP}", {{
  headers: {{ Authorization: "Bearer {key}" }},
}});
console.log(await answer.json());"""


WRITES = {"curl": post_with_curl, "python": post_with_python, "javascript": post_with_javascript}
READS = {"curl": get_with_curl, "python": get_with_python, "javascript": get_with_javascript}
