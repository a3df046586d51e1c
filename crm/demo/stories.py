"""What the demo's people did in the last 60 days: stories as data, and the messages a product would have sent."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from crm.demo.cast import Person
from leads.vocabulary import parse_duration

Message = dict[str, Any]
# Acts longer ago than this happen at office hours of the person's day; younger ones exactly when they say.
RECENT = timedelta(days=2)


@dataclass(frozen=True)
class Act:
    """One thing somebody does, `ago` before the end of their story."""

    ago: str
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Story:
    """How a kind of person goes along. Acts before `known_from` are anonymous; `early` and `late` bound, in days, when it ended."""

    acts: tuple[Act, ...]
    people: int
    known_from: int = 0
    consents: bool = True
    early: int = 0
    late: int = 0
    ending: str = ""


def page(ago: str, path: str, title: str) -> Act:
    """A page view."""
    return Act(ago, "PAGE_VIEWED", {"path": path, "title": title, "url": f"https://www.leadstate.example{path}"})


def home(ago: str) -> Act:
    """The start page, found by a search."""
    return Act(ago, "PAGE_VIEWED", {"path": "/", "title": "Home", "referrer": "https://search.example/"})


def pricing(ago: str) -> Act:
    """The page that means business."""
    return page(ago, "/pricing", "Pricing")


def docs(ago: str) -> Act:
    """The document developers read first."""
    return Act(ago, "DOWNLOADED_API_DOCS", {"format": "pdf", "version": "2026-10"})


def cart(ago: str, plan: str, total: int) -> Act:
    """A checkout that was left."""
    return Act(ago, "ABANDONED_CHECKOUT", {"plan": plan, "total": total, "currency": "EUR"})


SIGN_UP = "SIGNED_UP"
NEWSLETTER = Act("8d", "NEWSLETTER_SIGNED_UP", {"form": "footer"})
ABOUT = page("9d", "/blog/event-driven-crm", "Why your CRM should listen")

STORIES = [
    # Hot right now: campaigns start, mail lands in the mailbox, sales gets a call to make.
    Story((home("6d"), ABOUT, Act("5d", SIGN_UP), pricing("3d"), pricing("90m"), docs("25m")), people=4, known_from=2),
    Story((home("5d"), Act("4d", SIGN_UP), docs("26h"), pricing("20h"), pricing("3h"), pricing("40m")), people=4, known_from=1),
    Story((ABOUT, Act("6d", SIGN_UP), pricing("5d"), cart("75m", "Team", 590)), people=3, known_from=1),
    Story((Act("20d", SIGN_UP), page("9d", "/docs/limits", "Limits"), Act("18m", "API_RATE_LIMITED", {"limit": 1000})), people=3),
    Story((home("50m"), pricing("45m"), Act("30m", "DEMO_REQUESTED", {"form": "pricing page", "team": 12})), people=2, known_from=2),
    # Warm: with sales for some days.
    Story(
        (home("20d"), Act("18d", SIGN_UP), docs("16d"), pricing("12d"), pricing("11d"), cart("10d", "Business", 1490), pricing("9d")),
        people=5,
        known_from=1,
        early=3,
        late=14,
    ),
    Story((Act("15d", SIGN_UP), docs("14d"), Act("9d", "TEAMMATE_INVITED", {"seats": 4}), pricing("8d")), people=4, early=2, late=20),
    Story((home("9d"), pricing("9d"), Act("8d", "DEMO_REQUESTED", {"form": "demo page"}), page("7d", "/security", "Security")), people=3,
          known_from=2, early=4, late=15),
    # Interested: a document, a newsletter, an account.
    Story((home("12d"), ABOUT, NEWSLETTER, page("3d", "/docs", "Documentation")), people=7, known_from=2, early=1, late=25),
    Story((Act("20d", SIGN_UP), docs("18d"), page("10d", "/docs/webhooks", "Webhooks")), people=5, consents=False, early=2, late=30),
    Story((Act("14d", SIGN_UP), cart("9d", "Team", 290)), people=3, early=3, late=20),
    # Known, and no more than that.
    Story((home("30d"), Act("28d", "IDENTIFIED"), page("20d", "/docs", "Documentation")), people=5, known_from=1, early=5, late=28),
    # Won, by buying alone or with sales.
    Story(
        (Act("25d", SIGN_UP), docs("22d"), pricing("15d"), cart("14d", "Team", 590), Act("13d", "CHECKOUT_COMPLETED", {"total": 590}),
         Act("13d", "SUBSCRIPTION_STARTED", {"plan": "Team"})),
        people=3, early=2, late=25,
    ),
    Story(
        (home("35d"), Act("33d", SIGN_UP), docs("30d"), pricing("28d"), Act("27d", "DEMO_REQUESTED"), pricing("20d"),
         Act("9d", "CONTRACT_SIGNED", {"value": 24_000}), Act("8d", "PAYMENT_SUCCEEDED", {"amount": 24_000})),
        people=3, known_from=1, early=1, late=20,
    ),
    Story((Act("30d", SIGN_UP), docs("26d"), pricing("20d"), Act("18d", "DEMO_REQUESTED")), people=2, early=4, late=20, ending="won"),
    # Lost, by hand.
    Story((Act("30d", SIGN_UP), docs("27d"), pricing("25d"), Act("24d", "DEMO_REQUESTED")), people=4, early=6, late=28, ending="lost"),
]  # fmt: skip
VISITORS = 14


def tell_history(person: Person, story: Story, *, now: datetime, rng: random.Random) -> Iterator[tuple[datetime, Message]]:
    """The messages of one person's story, in order of time."""
    shift = timedelta(days=rng.randint(story.early, story.late))
    cursor = now - timedelta(days=90)
    for number, act in enumerate(sorted(story.acts, key=lambda act: -parse_duration(act.ago))):
        at = max(happens_at(act, person, now=now, shift=shift, rng=rng), cursor + timedelta(minutes=rng.randint(2, 25)))
        cursor = at = min(at, now - timedelta(minutes=1))
        yield at, message_for(person, act, at=at, known=number >= story.known_from, consents=story.consents)


def happens_at(act: Act, person: Person, *, now: datetime, shift: timedelta, rng: random.Random) -> datetime:
    """When an act happens: recent ones as they say, the others on a working day between nine and six where the person lives."""
    ago = parse_duration(act.ago)
    if ago < RECENT:
        return now - ago - shift - timedelta(seconds=rng.randint(0, 400))
    zone = ZoneInfo(person.firm.timezone)
    day = (now - ago - shift).astimezone(zone).date()
    day -= timedelta(days=max(0, day.weekday() - 4))
    return datetime.combine(day, time(rng.randint(9, 17), rng.randint(0, 59), rng.randint(0, 59)), zone)


def message_for(person: Person, act: Act, *, at: datetime, known: bool, consents: bool) -> Message:
    """One message as a product would post it to /api/events."""
    message: Message = {
        "eventType": act.type,
        "metadata": dict(act.data),
        "timestamp": at.isoformat(),
        "anonymousId": person.anonymous_id,
        "messageId": f"demo-{person.number}-{act.type}-{at:%Y%m%dT%H%M%S}",
    }
    if act.type == "ABANDONED_CHECKOUT":
        message["metadata"]["order_id"] = f"ord_{person.number:04d}"
    if not known:
        return message
    message |= {"userId": person.user_id, "email": person.email}
    if not person.said_who:
        person.said_who = True
        message["traits"] = person.traits
        if consents:
            message |= {"consent": {"newsletter": "granted"}, "proof": "Ticked “Send me best practices” in the sign-up form"}
    return message


def tell_visits(number: int, *, now: datetime, rng: random.Random) -> Iterator[tuple[datetime, Message]]:
    """What a visitor did who never said who they are."""
    at = now - timedelta(days=rng.randint(0, 30), minutes=rng.randint(5, 600))
    for path, title in rng.sample(
        [("/", "Home"), ("/pricing", "Pricing"), ("/docs", "Documentation"), ("/blog", "Blog")], rng.randint(1, 3)
    ):
        yield (
            at,
            {
                "eventType": "PAGE_VIEWED",
                "metadata": {"path": path, "title": title},
                "timestamp": at.isoformat(),
                "anonymousId": f"visitor_{number:04d}",
                "messageId": f"demo-visitor-{number}-{at:%Y%m%dT%H%M%S}",
            },
        )
        at = min(at + timedelta(seconds=rng.randint(20, 280)), now)
