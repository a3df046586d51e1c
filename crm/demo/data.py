"""Fills an empty database: a team, the shipped playbook, and 90 days in which people, products and reps do what they do.

Nothing is written past the product. Requests are delivered as the doors take them, colleagues act through the
functions behind the pages, and the sweep does the rest, with the clock standing at each moment, in order of time.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.utils import timezone

from campaigns.models import Campaign
from crm import sweep
from crm.demo.cast import Person, cast_people
from crm.demo.desk import Desk
from crm.demo.firms import FIRMS
from crm.demo.readers import Readers
from crm.demo.script import Post, deal_stories, rng_of, tell, tell_now, tell_visit
from crm.demo.stories import BILLING, HOT_NOW, PRODUCT, VISITORS, WEBSITE, Story
from crm.demo.world import FILES_KEPT, SATURDAY, World, changed, frozen_at, keep_files, moments
from crm.playbook import apply_shipped
from leads.api import deliver
from leads.models import Delivery, Event, Lead, Notification, SavedView, Source, Stage, User, Workspace
from leads.vocabulary import parse_duration
from leads.working_time import WorkingHours

PASSWORD = "leadstate-demo"  # noqa: S105  printed for everybody, and the demo listens on this machine only
DAYS = 90
# When the newsletter's campaign was switched on for the first time, paused, and switched on again: shares of the days.
WEEKLY_ON, WEEKLY_OFF, WEEKLY_AGAIN = 0.1, 0.26, 0.98
SOURCES = {WEBSITE: Source.Scope.BROWSER, PRODUCT: Source.Scope.SERVER, BILLING: Source.Scope.SERVER}
TEAM = [
    # user name, first and last name, group, may open the admin, superuser
    ("rep", "Rita", "Reyes", "Sales", False, False),
    ("sam", "Sam", "Porter", "Sales", False, False),
    ("lena", "Lena", "Hoffmann", "Sales", False, False),
    ("noor", "Noor", "Haddad", "Sales", False, False),
    ("marketer", "Mia", "Castell", "Marketing", True, False),
    ("admin", "Ada", "Admin", "Admin", True, True),
]
ZONES = {"sam": "Europe/London", "lena": "Europe/Berlin", "noor": "America/New_York"}
# Where Rita may live: wherever it is a working day's middle when the demo starts, so that her clocks run.
RITAS_ZONES = (
    *("Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "Asia/Kolkata"),
    *("Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland", "America/Sao_Paulo"),
)
# What Rita looks at again and again on the board.
VIEWS = {"All of sales": "owner=all&stage=sql", "Warm, nobody's yet": "owner=nobody&score=50"}
ALL_WEEK = "mon-sun 09:00-17:00"

# Who is hot right now: the story, the firm's place in FIRMS, and when its last act was: minutes ago, or, as text, the
# minutes left of the time sales has ("-40": over), or the day before ("yesterday": nobody was there to take it).
NOW: list[tuple[str, int, int | str]] = [
    ("asks for a demo", 20, "24"), ("reads prices", 20, 38), ("brings the team", 21, "66"), ("reads prices", 22, "130"),
    ("asks for a demo", 23, "-40"), ("asks for a demo", 25, 6), ("reads prices", 26, 19), ("asks for a demo", 27, 52),
    ("brings the team", 28, 95), ("reads prices", 29, 170),
    ("asks for a demo", 30, "yesterday"), ("reads prices", 31, "yesterday"), ("brings the team", 32, "yesterday"),
    ("tries it", 40, 3), ("tries it", 41, 27), ("tries it", 42, 64), ("at the limit", 43, 7), ("at the limit", 44, 33),
    ("leaves the checkout", 45, 44), ("leaves the checkout", 46, 85),
]  # fmt: skip


def is_empty() -> bool:
    """Whether nobody has used this database yet."""
    return not User.objects.exists() and not Lead.objects.exists()


def create(
    *,
    now: datetime | None = None,
    firms: int = len(FIRMS),
    every: int = 1,
    visitors: int = VISITORS,
    days: int = DAYS,
    on_look: Callable[[int, int], None] = lambda day, leads: None,
) -> int:
    """Make the team, apply the shipped playbook and live through the days. Returns the number of events recorded.

    A smaller demo has the first `firms` only, and of their people every n-th. `on_look` is called with the day and
    the number of known leads whenever the workers have looked for work.
    """
    now = now or timezone.now()
    begin = now - timedelta(days=days)
    people = cast_people(rng_of("cast"), firms=firms)
    with ExitStack() as stack:
        clock = stack.enter_context(frozen_at(begin - timedelta(days=1)))
        stack.enter_context(changed(settings, WORKING_HOURS=working_hours(now)))
        zone = ritas_zone(now)
        furnish(zone)
        world = World(clock, now=now)
        write_script(world, people, every=every, days=days, visitors=visitors, zone=zone)
        for moment in moments(begin, now):
            world.live_until(moment)
            on_look((moment - begin).days, Lead.objects.known().count())
        send_at_any_hour()
    return Event.objects.count()


def furnish(zone: str) -> None:
    """What there is before anybody comes: the team, the playbook, keys. The newsletter's campaign waits."""
    create_team(zone)
    apply_shipped(active=True)
    Campaign.objects.get(key="WEEKLY_BEST_PRACTICES").pause()
    for name, scope in SOURCES.items():
        Source.create_with_key(name, scope)


def create_team(zone: str) -> None:
    """The colleagues people log in as."""
    password = make_password(PASSWORD)  # slow on purpose, so once for all
    for username, first, last, group, is_staff, is_superuser in TEAM:
        user = User(username=username, email=f"{username}@leadstate.example", first_name=first, last_name=last, password=password)
        user.is_staff, user.is_superuser, user.timezone = is_staff, is_superuser, ZONES.get(username, zone)
        user.save()
        user.groups.add(Group.objects.get(name=group))
    workspace = Workspace.current()
    workspace.timezone = zone
    workspace.save()


def ritas_zone(now: datetime) -> str:
    """Where it is between a quarter past nine and four now, as near as can be to this machine's own clock."""
    here = now.astimezone().utcoffset() or timedelta()

    def distance(zone: str) -> tuple[bool, timedelta]:
        local = now.astimezone(ZoneInfo(zone))
        minutes = local.hour * 60 + local.minute
        return not 9 * 60 + 15 <= minutes <= 16 * 60, abs((local.utcoffset() or timedelta()) - here)

    return min(RITAS_ZONES, key=distance)


def working_hours(now: datetime) -> str:
    """The hours of the setting; on a weekend those of a team that works on weekends, or every clock would stand still."""
    local = now.astimezone(ZoneInfo(ritas_zone(now)))
    return ALL_WEEK if local.weekday() >= SATURDAY else settings.WORKING_HOURS


def send_at_any_hour() -> None:
    """Drop the sending hours that held for the history: a demo at night or on a Sunday shall show mail at once."""
    workspace = Workspace.current()
    workspace.sending = {key: value for key, value in workspace.sending.items() if key != "window"}
    workspace.save()


def write_script(world: World, people: list[Person], *, every: int, days: int, visitors: int, zone: str) -> None:
    """Plan what everybody does, and let the team and the readers watch what comes of it."""
    now, begin = world.now, world.now - timedelta(days=days)
    known = [person for person in people if not person.is_newcomer]
    hot = cast_hot(known)
    busy = {person.email for person, _, _ in hot}
    rest = [person for person in known if person.email not in busy]
    for person, story in deal_stories(rest[::every], quiet_firms={person.firm.name for person, _, _ in hot}):
        plan_posts(world, tell(person, story, now=now, days=days))
    for person, story, when in hot:
        ends = ends_at(when, now=now, zone=zone)
        plan_posts(world, tell_now(person, story, ends=ends))
        world.plan(ends, sweep.run_everything_due)  # at once: the minutes that sales has count from here
    for number in range(visitors):
        rng = rng_of("visitor", number)
        plan_posts(world, [tell_visit(number, at=now - timedelta(days=days) * rng.random() ** 1.5, rng=rng)])
    everybody = {person.email: person for person in known}
    desk = Desk(world, everybody, left_alone=busy)
    desk.plan_hand_moves(begin, days)
    world.watchers += [desk.look, Readers(world, everybody).look]
    plan_office(world, desk, days=days)


def plan_posts(world: World, posts: Iterable[Post]) -> None:
    """Plan requests, each to be delivered as its door takes it."""
    sources = {source.name: source for source in Source.objects.all()}
    for post in posts:
        door = Delivery.Door.BATCH if post.source == WEBSITE else Delivery.Door.EVENTS
        world.plan(post.at, partial(deliver, sources[post.source], door, post.body, idempotency_key=None))


def cast_hot(known: list[Person]) -> list[tuple[Person, Story, int | str]]:
    """Who is hot right now: of the firms named those who decide; their colleagues have a quieter history."""
    stories = {story.name.removesuffix(" now"): story for story in HOT_NOW}
    cast: list[tuple[Person, Story, int | str]] = []
    taken: set[str] = set()
    for name, firm, when in NOW:
        free = [person for person in known if person.firm == FIRMS[firm] and person.email not in taken]
        if free:
            cast.append((free[0], stories[name], when))
            taken.add(free[0].email)
    return cast


def ends_at(when: int | str, *, now: datetime, zone: str) -> datetime:
    """When a hot story ends: minutes ago, yesterday, or so that sales has so many minutes left."""
    if isinstance(when, int):
        return now - timedelta(minutes=when)
    if when == "yesterday":
        return now - timedelta(days=1)
    hours, sla = WorkingHours.parse(settings.WORKING_HOURS), parse_duration(Stage.objects.get(key="sql").sla)
    moment, wanted = now, now + timedelta(minutes=int(when))
    while hours.add(moment, sla, ZoneInfo(zone)) > wanted:
        moment -= timedelta(minutes=2)
    return moment


def plan_office(world: World, desk: Desk, *, days: int) -> None:
    """The team's own life: absences, the newsletter, what Rita looks at and has to do, and mails kept as files."""
    now, begin = world.now, world.now - timedelta(days=days)
    offsite = now - timedelta(days=1, hours=2)
    for name, query in VIEWS.items():
        SavedView.objects.create(user=desk.reps["rep"], page="board", name=name, query=query)
    weekly = Campaign.objects.get(key="WEEKLY_BEST_PRACTICES")
    for share, switch in ((WEEKLY_ON, weekly.resume), (WEEKLY_OFF, weekly.pause), (WEEKLY_AGAIN, weekly.resume)):
        world.plan(begin + share * timedelta(days=days), switch)
    world.plan(now - FILES_KEPT, keep_files)
    world.plan(begin + timedelta(days=days * 0.4), partial(away, ["sam"], (begin + timedelta(days=days * 0.5)).date()))
    world.plan(offsite, partial(away, list(desk.reps), offsite.date()))
    world.plan(offsite + timedelta(hours=4), partial(away, ["rep"], offsite.date() - timedelta(days=1)))  # Rita is back early
    world.plan(now - timedelta(hours=4), partial(away, ["lena"], (now + timedelta(days=5)).date()))
    world.plan(now - timedelta(minutes=70), partial(desk.plan_today, desk.reps["rep"]))
    world.plan(now - timedelta(days=1), sweep.keep_house)
    world.plan(now - timedelta(hours=3), open_bells)


def away(names: list[str], until: date) -> None:
    """Colleagues enter their absence in their profile."""
    User.objects.filter(username__in=names).update(away_until=until)


def open_bells() -> None:
    """Everybody looks at what they were told so far."""
    Notification.objects.filter(channel=Notification.Channel.IN_APP, read_at=None).update(read_at=timezone.now())
