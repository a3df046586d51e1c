"""Fills an empty database with a team, the shipped playbook, and 60 days of history through the real intake."""

import itertools
import json
import random
from collections.abc import Iterator
from datetime import datetime

from django.contrib.auth.models import Group
from django.utils import timezone

from crm.demo.cast import FIRMS, Person, cast_people
from crm.demo.stories import STORIES, VISITORS, Message, Story, tell_history, tell_visits
from crm.playbook import apply_shipped
from leads.api import deliver
from leads.gates import move_by_hand
from leads.intake import drain_all
from leads.models import Company, Delivery, Lead, Reason, Source, Stage, User, Workspace

SEED = 20261121
PASSWORD = "leadstate-demo"  # noqa: S105  printed for everybody, and the demo listens on this machine only
BATCH = 100
TEAM = [
    # user name, first and last name, group, may open the admin, superuser
    ("rep", "Rita", "Reyes", "Sales", False, False),
    ("sam", "Sam", "Porter", "Sales", False, False),
    ("lena", "Lena", "Hoffmann", "Sales", False, False),
    ("marketer", "Mia", "Castell", "Marketing", True, False),
    ("admin", "Ada", "Admin", "Admin", True, True),
]


def is_empty() -> bool:
    """Whether nobody has used this database yet."""
    return not User.objects.exists() and not Lead.objects.exists()


def create(*, now: datetime | None = None) -> int:
    """Make the team, apply the shipped playbook, post the histories and process them. Returns the number of events posted."""
    now = now or timezone.now()
    create_team()
    apply_shipped(active=True)
    send_at_any_hour()
    rng = random.Random(SEED)  # noqa: S311  the same demo every time
    people = cast_stories(rng)
    count = post_histories(people, now=now, rng=rng)
    drain_all()
    set_values()
    end_by_hand(people)
    return count


def create_team() -> None:
    """The colleagues people log in as."""
    for username, first, last, group, is_staff, is_superuser in TEAM:
        user = User.objects.create_user(
            username,
            f"{username}@leadstate.example",
            PASSWORD,
            first_name=first,
            last_name=last,
            is_staff=is_staff,
            is_superuser=is_superuser,
        )
        user.groups.add(Group.objects.get(name=group))


def send_at_any_hour() -> None:
    """Drop the sending hours: a demo at night or on a Sunday shall show mail as well."""
    workspace = Workspace.current()
    workspace.sending = {key: value for key, value in workspace.sending.items() if key != "window"}
    workspace.save()


def cast_stories(rng: random.Random) -> list[tuple[Person, Story]]:
    """Give every person a story."""
    stories = [story for story in STORIES for _ in range(story.people)]
    rng.shuffle(stories)
    return list(zip(cast_people(len(stories), rng), stories, strict=True))


def post_histories(people: list[tuple[Person, Story]], *, now: datetime, rng: random.Random) -> int:
    """Post all messages in order of time, through the door products use."""
    told = [told for person, story in people for told in tell_history(person, story, now=now, rng=rng)]
    told += [told for number in range(VISITORS) for told in tell_visits(number, now=now, rng=rng)]
    told.sort(key=lambda each: each[0])
    source, _ = Source.create_with_key("Demo product", Source.Scope.SERVER)
    for batch in in_batches([message for _, message in told]):
        deliver(source, Delivery.Door.EVENTS, json.dumps(batch).encode(), idempotency_key=None)
    return len(told)


def in_batches(messages: list[Message]) -> Iterator[list[Message]]:
    """Parts small enough for one request."""
    for start in range(0, len(messages), BATCH):
        yield messages[start : start + BATCH]


def set_values() -> None:
    """What contracts would be worth, as staff would have entered it."""
    for firm in FIRMS:
        Company.objects.filter(domain=firm.domain).update(value=firm.value, currency=firm.currency)


def end_by_hand(people: list[tuple[Person, Story]]) -> None:
    """The ends that only people know: deals closed on the phone, and deals lost."""
    rep = User.objects.get(username="rep")
    reasons = itertools.cycle(Reason.objects.filter(asked_for=Reason.For.LOST).order_by("key"))
    for person, story in people:
        if not story.ending:
            continue
        lead = Lead.objects.select_related("stage").get(identities__kind="user_id", identities__value=person.user_id)
        stage = Stage.objects.get(key=story.ending)
        if lead.stage_id != stage.key:
            reason = next(reasons) if stage.kind == Stage.Kind.LOST else None
            move_by_hand(lead, stage, by_user=lead.owner or rep, reason=reason, note="Said on the phone")
