"""What kinds of people there are in the demo and how each goes along: stories as data, day by day."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Where an event comes from: the site's own script, the product's server, the shop.
WEBSITE, PRODUCT, BILLING = "Website", "Product", "Billing"


@dataclass(frozen=True)
class Act:
    """One thing somebody does on the `day`-th day of their story; a fraction is hours later on the same day."""

    day: float
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    source: str = PRODUCT
    #: Whether the form had a box for the newsletter, and it was ticked.
    consents: bool = False


@dataclass(frozen=True)
class Story:
    """How a kind of person goes along. `people` is how many of 400 do; acts before `known_from` are anonymous.

    A share of them stops early, each after another act.
    """

    name: str
    acts: tuple[Act, ...]
    people: int
    known_from: int = 0
    stops: float = 0.0
    #: Whether it leads to sales, or past it to a purchase.
    for_sales: bool = False


def page(day: float, path: str, title: str, **more: str) -> Act:
    """A page view."""
    url = f"https://www.product.example{path}"
    return Act(day, "PAGE_VIEWED", {"path": path, "title": title, "url": url, **more}, WEBSITE)


def home(day: float, referrer: str = "https://search.example/") -> Act:
    """The start page."""
    return page(day, "/", "Home", referrer=referrer)


def pricing(day: float) -> Act:
    """The page that means business."""
    return page(day, "/pricing", "Pricing")


def blog(day: float, post: str = "retries") -> Act:
    """An article."""
    return page(day, f"/blog/{post}", POSTS[post], utm_source="newsletter" if day else "search")


def guide(day: float, path: str = "quickstart") -> Act:
    """A page of the documentation."""
    return page(day, f"/docs/{path}", path.replace("-", " ").capitalize())


def docs(day: float) -> Act:
    """The document developers read first."""
    return Act(day, "DOWNLOADED_API_DOCS", {"document": "rest-api.pdf", "version": "2026-08"}, WEBSITE)


def sign_up(day: float, **data: str) -> Act:
    """A new account."""
    return Act(day, "SIGNED_UP", {"plan": "Free", **data}, consents=True)


def newsletter(day: float) -> Act:
    """Best practices by mail, please."""
    return Act(day, "NEWSLETTER_SIGNED_UP", {"form": "footer"}, consents=True)


def key(day: float, mode: str = "test") -> Act:
    """A key for the API."""
    return Act(day, "API_KEY_CREATED", {"mode": mode})


def call(day: float) -> Act:
    """The first call that worked."""
    return Act(day, "FIRST_API_CALL", {"endpoint": "/v1/projects"})


def limited(day: float) -> Act:
    """The API said 429."""
    return Act(day, "API_RATE_LIMITED", {"endpoint": "/v1/items", "limit": 1000, "plan": "Free"})


def cart(day: float, plan: str, amount: int) -> Act:
    """A checkout that was left."""
    return Act(day, "ABANDONED_CHECKOUT", {"plan": plan, "amount": amount, "currency": "EUR"}, BILLING)


def demo(day: float, message: str = "We would like to see it with our own data.") -> Act:
    """The form "talk to us"."""
    return Act(day, "DEMO_REQUESTED", {"message": message, "form": "pricing page"}, consents=True)


def invite(day: float) -> Act:
    """A colleague joins: a team is forming."""
    return Act(day, "TEAMMATE_INVITED", {"role": "developer"})


def upgrade(day: float, before: str, after: str) -> Act:
    """A larger plan."""
    return Act(day, "PLAN_UPGRADED", {"from": before, "to": after}, BILLING)


def bought(day: float, plan: str, amount: int) -> tuple[Act, Act]:
    """A checkout that went through."""
    return (
        Act(day, "CHECKOUT_COMPLETED", {"plan": plan, "amount": amount, "currency": "EUR"}, BILLING),
        Act(day + 0.01, "SUBSCRIPTION_STARTED", {"plan": plan, "amount": amount, "currency": "EUR"}, BILLING),
    )


POSTS = {
    "retries": "Retry with jitter, or everybody retries at once",
    "webhooks": "Webhooks that survive a bad night",
    "build-or-buy": "Build it or buy it: an honest table",
    "idempotency": "What an idempotency key is for",
}
CONTACT = Act(0, "MET_AT_EVENT", {"event": "API Days", "by": "booth scanner"})
TICKET = Act(0, "TICKET_OPENED", {"subject": "Do you have a sandbox?"})
SECURITY = page(6, "/security", "Security")

STORIES = [
    # Known, and no more than that.
    Story("met us", (CONTACT, home(2), blog(9, "build-or-buy"), guide(20)), people=54, stops=0.6),
    Story("asked support", (TICKET, guide(0.1), guide(14, "sandbox")), people=34, stops=0.5),
    # Interested.
    Story(
        "reads the blog",
        (home(0), blog(0.02), blog(5, "webhooks"), newsletter(5.01), blog(19, "idempotency"), guide(33), pricing(47)),
        people=52, known_from=3, stops=0.3,
    ),
    Story(
        "tries it out",
        (blog(0), guide(0.05), sign_up(0.1), docs(0.2), key(1), call(1.1), guide(3, "webhooks"), limited(12), guide(12.1), pricing(24)),
        people=62, known_from=2, stops=0.5,
    ),
    Story(
        "compares",
        (home(0), pricing(0.02), sign_up(4), guide(4.1), pricing(21), blog(22, "build-or-buy"), pricing(38)),
        people=34, known_from=2, stops=0.4,
    ),
    Story(
        "leaves the checkout",
        (sign_up(0), guide(0.1), key(0.2), pricing(6), cart(6.1, "Team", 290), guide(15, "billing")),
        people=24, stops=0.2,
    ),
    Story(
        "outgrows the plan",
        (sign_up(0), key(0.1), call(0.2), limited(5), limited(9), upgrade(10, "Free", "Team"), limited(30)),
        people=18, stops=0.4,
    ),
    # Hot: sales gets to know them.
    Story(
        "evaluates",
        (home(0), blog(0.02, "build-or-buy"), sign_up(1), docs(1.1), key(1.2), call(2), pricing(5), pricing(6), cart(7, "Business", 1490),
         pricing(8), SECURITY),
        people=42, known_from=2, for_sales=True,
    ),
    Story(
        "asks for a demo",
        (home(0), pricing(0.02), page(0.03, "/customers", "Customers"), demo(0.04), docs(1), SECURITY, pricing(9)),
        people=34, known_from=3, for_sales=True,
    ),
    Story(
        "brings the team",
        (sign_up(0), docs(0.2), key(1), invite(3), call(3.1), guide(4, "teams"), pricing(9)),
        people=18, for_sales=True,
    ),
    # Buys alone.
    Story(
        "buys alone",
        (home(0), sign_up(0.1), docs(1), key(1.1), call(2), pricing(8), cart(8.1, "Team", 290), *bought(9, "Team", 290), key(12, "live"),
         upgrade(40, "Team", "Business")),
        people=16, known_from=1, for_sales=True,
    ),
]  # fmt: skip

# What leads to the moment the demo starts, so that some leads are hot right now; days count back from the last act.
HOT_NOW = [
    Story(
        "asks for a demo now",
        (blog(-12, "build-or-buy"), guide(-5), home(0), pricing(0.001), demo(0.003, "Can you show us approvals this week?")),
        people=0,
        known_from=4,
    ),
    Story("reads prices now", (sign_up(-6), docs(-5.9), pricing(-3), pricing(-1), pricing(0)), people=0),
    Story("leaves the checkout now", (sign_up(-4), docs(-3.9), pricing(-2), cart(0, "Business", 1490)), people=0),
    Story("tries it now", (blog(-0.01), sign_up(-0.005), docs(0)), people=0, known_from=1),
    Story("at the limit now", (sign_up(-9), key(-8.9), call(-8), limited(0)), people=0),
    Story("brings the team now", (sign_up(-3), docs(-2.9), key(-1), invite(0)), people=0),
]
VISITORS = 150
PAGES = [home(0), pricing(0), guide(0), blog(0), blog(0, "webhooks"), guide(0, "webhooks"), page(0, "/customers", "Customers"), SECURITY]
