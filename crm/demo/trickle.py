"""Life while the demo runs: every 10 to 40 seconds somebody does something, posted over HTTP to the running server."""

import random
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from django.db import connections

from crm.demo import stories
from crm.demo.cast import Person, cast_people
from crm.demo.script import Post, post_acts, rng_of, tell_visit
from crm.demo.stories import (
    WEBSITE,
    Act,
    Story,
)
from leads.models import Source, digest_key

SOURCE = "Live visitors"
PAUSE = (10, 40)
# Somebody asks for a demo this often, in seconds.
DEMO_EVERY = (150, 300)
# The supervisor starts a new one when the server was away for so many posts in a row.
GIVEN_UP = 20

VISITS = [
    (stories.pricing(0),),
    (stories.home(0), stories.pricing(0)),
    (stories.guide(0, "webhooks"), stories.guide(0, "retries")),
    (stories.blog(0, "idempotency"),),
    (stories.guide(0), stories.pricing(0)),
]
# What people we know do, and how often out of a hundred; "" is a visitor, "new" somebody nobody had heard of.
CHOICES: list[tuple[int, str, tuple[Act, ...]]] = [
    (22, "", ()),
    (34, "known", ()),
    (10, "new", (stories.home(0), stories.sign_up(0), stories.key(0))),
    (6, "new", (stories.blog(0), stories.newsletter(0))),
    (9, "known", (stories.guide(0), stories.docs(0))),
    (7, "known", (stories.limited(0),)),
    (6, "known", (stories.pricing(0), stories.cart(0, "Team", 290))),
    (4, "known", (stories.invite(0),)),
    (2, "known", stories.bought(0, "Team", 290)),
]
ASKS = (stories.pricing(0), stories.demo(0, "Could somebody show us this next week?"))


class Trickle:
    """Who is there, and who does something next."""

    def __init__(self, people: list[Person], rng: random.Random) -> None:
        self.rng = rng
        self.known = [person for person in people if not person.is_newcomer]
        self.new = [person for person in people if person.is_newcomer]
        self.visitors = count(int(time.time()))
        for person in self.known:
            person.introduced = True

    def next_posts(self, now: datetime) -> Iterator[Post]:
        """What somebody does now."""
        _, who, acts = self.rng.choices(CHOICES, weights=[choice[0] for choice in CHOICES])[0]
        if not who:
            yield tell_visit(next(self.visitors), at=now - timedelta(seconds=1), rng=self.rng)
        elif who == "new" and self.new:
            person = self.new.pop(self.rng.randrange(len(self.new)))
            self.known.append(person)
            yield from self.act(person, acts, now=now, known_from=1)
        else:
            yield from self.act(self.rng.choice(self.known), acts if who == "known" and acts else self.rng.choice(VISITS), now=now)

    def ask_for_demo(self, now: datetime) -> Iterator[Post]:
        """Somebody asks for a demo."""
        yield from self.act(self.rng.choice(self.known), ASKS, now=now)

    def act(self, person: Person, acts: tuple[Act, ...], *, now: datetime, known_from: int = 0) -> Iterator[Post]:
        """The requests for some acts that happen within a few seconds, the last of them now."""
        moments = ((now - timedelta(seconds=2 * (len(acts) - number)), act) for number, act in enumerate(acts))
        yield from post_acts(person, Story("live", acts, people=0, known_from=known_from), moments, now=now, rng=self.rng)


def run(url: str) -> None:
    """Post until stopped, or until the server was away for long."""
    key, rng = fresh_key(), random.Random()  # noqa: S311  what happens next is anybody's guess
    connections.close_all()
    trickle = Trickle(cast_people(rng_of("cast")), rng)
    failures, next_demo = 0, time.monotonic() + rng.uniform(40, DEMO_EVERY[0])
    while failures < GIVEN_UP:
        time.sleep(rng.uniform(*PAUSE))
        now, asks = datetime.now(UTC), time.monotonic() > next_demo
        if asks:
            next_demo = time.monotonic() + rng.uniform(*DEMO_EVERY)
        sent = send(url, key, trickle.ask_for_demo(now) if asks else trickle.next_posts(now))
        failures = 0 if sent else failures + 1


def fresh_key() -> str:
    """A new key for the demo's source; the one of the last start is worth nothing any more."""
    key = "lss_" + secrets.token_urlsafe(24)
    columns = {"scope": Source.Scope.SERVER, "key_digest": digest_key(key), "key_prefix": key[:8], "revoked_at": None}
    Source.objects.update_or_create(name=SOURCE, defaults=columns)
    return key


def send(url: str, key: str, posts: Iterable[Post]) -> bool:
    """Post them as the sources' products would; whether the server took them."""
    for post in posts:
        path = "/v1/batch" if post.source == WEBSITE else "/api/events"
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = urllib.request.Request(url.rstrip("/") + path, data=post.body, headers=headers)  # noqa: S310  http, by the supervisor
        try:
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False
    return True
