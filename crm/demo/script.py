"""When everybody does what their story says, and the requests in which the firms' products would post it."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from crm.demo.cast import Person
from crm.demo.stories import PAGES, STORIES, WEBSITE, Act, Story, home

Message = dict[str, Any]
# One visit to the site is posted in one request, as the script on the page does it.
VISIT = timedelta(minutes=20)
# So many of those who come by anonymously had looked at the start page on their telephone before.
OTHER_DEVICE = 0.2
PROOF = "Ticked “Send me best practices” in the form"


@dataclass(frozen=True)
class Post:
    """One request: who posts it, when, and its messages."""

    at: datetime
    source: str
    messages: tuple[Message, ...]

    @property
    def body(self) -> bytes:
        """As the source sends it: the site in the Segment format, the servers in our own."""
        content: Any = list(self.messages)
        if self.source == WEBSITE:
            content = {"batch": content}
        return json.dumps(content).encode()


def rng_of(*names: object) -> random.Random:
    """Chance that is the same every time for the same names."""
    return random.Random("/".join(str(name) for name in ("leadstate", *names)))  # noqa: S311  nothing secret


def deal_stories(people: list[Person], *, quiet_firms: set[str]) -> list[tuple[Person, Story]]:
    """Give everybody a story, in the proportions the stories ask for; nobody of a quiet firm one that leads to sales."""
    total = sum(story.people for story in STORIES)
    deck = [story for story in STORIES for _ in range(max(1, round(1.05 * story.people * len(people) / total)))]
    rng_of("deck").shuffle(deck)
    dealt: list[tuple[Person, Story]] = []
    for person in sorted(people, key=lambda person: person.firm.name not in quiet_firms):  # the quiet ones choose first
        fitting = (number for number, story in enumerate(deck) if not (story.for_sales and person.firm.name in quiet_firms))
        dealt.append((person, deck.pop(next(fitting, 0))))
    return dealt


def begins(person: Person, *, now: datetime, days: int) -> datetime:
    """When somebody's story begins: the people of one firm turn up around the same days."""
    of_firm, own = rng_of("firm", person.firm.name), rng_of("begin", person.number)
    ago = of_firm.uniform(4, days) + own.gauss(0, 5)
    if own.random() < 0.25:
        ago = own.uniform(1, days)
    return now - timedelta(days=min(days - 0.1, max(0.5, ago)))


def tell(person: Person, story: Story, *, now: datetime, days: int) -> Iterator[Post]:
    """The requests of one person's story so far."""
    rng = rng_of("story", person.number)
    acts = story.acts
    if rng.random() < story.stops:
        acts = acts[: rng.randint(story.known_from + 1, len(acts))]
    begin = begins(person, now=now, days=days)
    if story.known_from and rng.random() < OTHER_DEVICE:
        person.other_device = f"anon_{1000 + person.number}_phone"
        first = begin - timedelta(hours=rng.uniform(1, 30))
        yield posted([(first, page_message(person, home(0), at=first, known=False, device=person.other_device))])
    yield from post_acts(person, story, timed(person, acts, begin, rng), now=now, rng=rng)


def timed(person: Person, acts: tuple[Act, ...], begin: datetime, rng: random.Random) -> Iterator[tuple[datetime, Act]]:
    """When each act happens: on working days, in the daytime where the person lives, one after the other."""
    zone, hour, cursor = ZoneInfo(person.timezone), rng.uniform(8.5, 14), begin
    for day, group in groupby(acts, key=lambda act: int(act.day)):
        date = (begin.astimezone(zone) + timedelta(days=day)).date()
        date += timedelta(days=(0, 0, 0, 0, 0, 2, 1)[date.weekday()])
        start = datetime.combine(date, time(), zone) + timedelta(hours=hour + rng.uniform(-1, 3))
        for act in group:
            at = start + timedelta(days=act.day - day, minutes=rng.uniform(0, 6))
            cursor = max(at, cursor + timedelta(minutes=rng.uniform(1, 4)))
            yield cursor, act


def tell_now(person: Person, story: Story, *, ends: datetime) -> Iterator[Post]:
    """The requests of a story whose days are counted back from the end, so that its last act is at `ends`."""
    last = max(act.day for act in story.acts)
    rng = rng_of("now", person.number)
    moments = ((ends - timedelta(days=last - act.day), act) for act in story.acts)
    yield from post_acts(person, story, moments, now=ends, rng=rng)


def post_acts(
    person: Person, story: Story, moments: Iterator[tuple[datetime, Act]], *, now: datetime, rng: random.Random
) -> Iterator[Post]:
    """Requests for these acts, up to `now`; page views of one visit travel together."""
    agrees = rng.random() < 0.7
    visit: list[tuple[datetime, Message]] = []
    for number, (at, act) in enumerate(moments):
        if at > now:
            break
        known = number >= story.known_from
        if visit and (act.source != WEBSITE or at - visit[0][0] > VISIT):
            yield posted(visit)
            visit = []
        if act.source == WEBSITE:
            visit.append((at, page_message(person, act, at=at, known=known)))
        else:
            yield Post(at, act.source, (server_message(person, act, at=at, known=known, agrees=agrees),))
    if visit:
        yield posted(visit)


def posted(visit: list[tuple[datetime, Message]]) -> Post:
    """One request for one visit, when its last page was shown."""
    return Post(visit[-1][0], WEBSITE, tuple(message for _, message in visit))


def message_id(who: object, act: Act, at: datetime) -> str:
    """The id under which a message counts once."""
    return f"{act.type.lower()}-{who}-{at:%Y%m%d%H%M%S%f}"[:200]


def page_message(person: Person, act: Act, *, at: datetime, known: bool, device: str = "") -> Message:
    """What the site's script sends: a page of the Segment API, or a track. Who has a telephone reads there once logged in."""
    logged_in = known and person.introduced
    device = device or (person.other_device if logged_in and person.other_device else person.anonymous_id)
    message: Message = {
        "messageId": message_id(device, act, at),
        "anonymousId": device,
        "timestamp": at.isoformat(),
        "properties": dict(act.data),
    }
    message |= {"type": "page"} if act.type == "PAGE_VIEWED" else {"type": "track", "event": act.type}
    return message | ({"userId": person.user_id} if logged_in else {})


def server_message(person: Person, act: Act, *, at: datetime, known: bool, agrees: bool) -> Message:
    """What a server posts to /api/events. The first one that knows the person says who it is."""
    message: Message = {
        "messageId": message_id(person.user_id, act, at),
        "eventType": act.type,
        "metadata": dict(act.data),
        "timestamp": at.isoformat(),
    }
    if not known:
        return message | {"anonymousId": person.anonymous_id}
    message |= {"userId": person.user_id}
    if act.type == "ABANDONED_CHECKOUT":
        message["metadata"]["order_id"] = f"ord_{1000 + person.number}"
    if not person.introduced:
        person.introduced = True
        message |= {"email": person.email, "anonymousId": person.anonymous_id, "traits": person.traits}
    if act.consents and agrees:
        message |= {"email": person.email, "consent": {"newsletter": "granted"}, "proof": PROOF}
    return message


def tell_visit(number: int, *, at: datetime, rng: random.Random) -> Post:
    """What a visitor looked at who never said who they are."""
    messages = []
    for act in rng.sample(PAGES, rng.choice([1, 1, 2, 2, 3, 4])):
        who = f"visitor_{number:04d}"
        messages.append(
            {
                "type": "page",
                "messageId": message_id(who, act, at),
                "anonymousId": who,
                "timestamp": at.isoformat(),
                "properties": {**act.data, "path": act.data["path"]},
            }
        )
        at += timedelta(seconds=rng.randint(20, 280))
    return Post(at, WEBSITE, tuple(messages))
