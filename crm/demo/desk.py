"""What the demo's sales team does: takes leads over or sends them back, calls, writes things down, wins some and loses some."""

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from crm.demo.cast import Person
from crm.demo.firms import FIRMS
from crm.demo.script import rng_of
from crm.demo.stories import BILLING
from crm.demo.words import CALLS, LOST_NOTES, MEETINGS, NOTES, REJECT_NOTES, TODOS
from crm.demo.world import World
from leads import todos
from leads.activities import add_task, log_activity
from leads.api import deliver
from leads.gates import StageChanged, move_by_hand, undo_move
from leads.models import Activity, Company, Delivery, Lead, Reason, Source, Stage, Task, Transition, User
from leads.working_time import WorkingHours

Kind, Outcome = Activity.Kind, Activity.Outcome
# Firms that have had somebody to talk to from the beginning, by their place in FIRMS.
KEEPERS = {0: "rep", 1: "sam", 2: "noor", 3: "lena", 20: "rep", 21: "rep", 22: "rep", 23: "rep", 24: "sam"}
# What becomes of a lead that sales accepted, out of a hundred.
FATES = ["won"] * 26 + ["lost"] * 40 + ["later"] * 14 + ["open"] * 20
REJECTED = 0.13


class Desk:
    """Watches what is handed over and plans what the reps do about it. `left_alone` are people nobody has got to yet."""

    def __init__(self, world: World, people: dict[str, Person], *, left_alone: set[str]) -> None:
        self.world = world
        self.people = people
        self.left_alone = left_alone
        self.last_task = 0
        self.hours = WorkingHours.parse(settings.WORKING_HOURS)
        self.reps = {user.username: user for user in User.objects.reps()}
        self.reasons = {kind: list(Reason.objects.filter(asked_for=kind).order_by("key")) for kind in Reason.For.values}

    def look(self) -> None:
        """Plan what the reps do with the leads handed over since the last look."""
        write_values(self.reps)
        for task in Task.objects.filter(kind=Task.Kind.HANDOFF, pk__gt=self.last_task).select_related("lead", "owner").order_by("pk"):
            self.last_task = task.pk
            person = self.people.get(task.lead.email)
            if person and task.lead.email not in self.left_alone:
                self.take_on(task, person)

    def take_on(self, task: Task, person: Person) -> None:
        """Plan the first answer to a handoff: quick as a rule, and too late now and then."""
        rng = rng_of("desk", person.number, task.transition.seq if task.transition else 0)
        owner = task.owner or rng.choice(sorted(self.reps.values(), key=lambda rep: rep.pk))
        minutes = rng.choice([8, 15, 25, 40, 70, 110, 160, 210]) if rng.random() < 0.9 else rng.uniform(250, 400)
        at = self.at_work(owner, timedelta(minutes=minutes), after=timezone.now() + timedelta(hours=0 if task.owner else 3))
        if rng.random() < REJECTED:
            self.plan(at, partial(self.reject, task, owner, rng))
        else:
            self.plan(at, partial(self.accept, task, owner, person, rng))

    def at_work(self, rep: User, working: timedelta, *, after: datetime | None = None) -> datetime:
        """The time at which so much working time of the rep's has passed."""
        return self.hours.add(after or timezone.now(), working, ZoneInfo(rep.timezone or "UTC"))

    def plan(self, at: datetime, act: Callable[[], object]) -> None:
        """Plan an act that is left out when somebody, or a gate, was quicker."""

        def attempt() -> None:
            try:
                act()
            except (todos.TooLate, StageChanged):
                return

        self.world.plan(at, attempt)

    # --- answers --------------------------------------------------------------------------------

    def reject(self, task: Task, rep: User, rng: random.Random) -> None:
        """Send it back, with the reason."""
        todos.reject(task, by_user=rep, reason=rng.choice(self.reasons[Reason.For.REJECT]), note=rng.choice(REJECT_NOTES))

    def accept(self, task: Task, rep: User, person: Person, rng: random.Random) -> None:
        """Take it, and plan the days after: calls, notes, a meeting, and how it ends."""
        lead = todos.accept(task, by_user=rep).lead
        Company.objects.filter(leads=lead, owner=None).update(owner=rep)  # the firm is theirs from now on
        hours = rng.uniform(0.2, 3)
        outcome = rng.choice(
            [Activity.Outcome.REACHED, Activity.Outcome.INTERESTED, Activity.Outcome.NO_ANSWER, Activity.Outcome.CALL_BACK]
        )
        self.write(lead, rep, rng, hours=hours, kind=Kind.CALL, outcome=outcome)
        if outcome in {Outcome.NO_ANSWER, Outcome.CALL_BACK}:
            self.write(lead, rep, rng, hours=hours + rng.uniform(6, 10), kind=Kind.CALL, outcome=Outcome.REACHED)
        self.write(lead, rep, rng, hours=hours + rng.uniform(0.1, 12), kind=Kind.NOTE)
        if rng.random() < 0.6:
            self.write(lead, rep, rng, hours=rng.uniform(20, 44), kind=Kind.MEETING, outcome=Outcome.INTERESTED)
        if rng.random() < 0.7:
            self.plan(self.at_work(rep, timedelta(hours=hours + 0.2)), partial(self.ask_for, lead, rep, rng))
        ends_at = self.at_work(rep, timedelta(hours=rng.uniform(30, 110)))
        self.plan(ends_at, partial(self.end, task, rep, person, rng))

    def write(self, lead: Lead, rep: User, rng: random.Random, *, hours: float, kind: str, outcome: str = "") -> None:
        """Plan a call, a meeting or a note."""
        texts = CALLS[outcome] if kind == Kind.CALL else MEETINGS if kind == Kind.MEETING else NOTES
        write = partial(log_activity, lead, kind=kind, text=rng.choice(texts), outcome=outcome, by_user=rep)
        self.plan(self.at_work(rep, timedelta(hours=hours)), write)

    def ask_for(self, lead: Lead, rep: User, rng: random.Random) -> None:
        """Note something to do in the next days; it gets done, sometimes a little late."""
        due_at = self.at_work(rep, timedelta(hours=rng.uniform(6, 20)))
        task = add_task(lead, title=rng.choice(TODOS), owner=rep, due_at=due_at, by_user=rep)
        late = rng.choice([-240, -100, -30, 45, 600])
        self.plan(due_at + timedelta(minutes=late), partial(todos.finish, task, by_user=rep))

    # --- ends -----------------------------------------------------------------------------------

    def end(self, task: Task, rep: User, person: Person, rng: random.Random) -> None:
        """How it ends; some stay open."""
        fate = rng.choice(FATES)
        if fate == "open":
            return
        lead = Lead.objects.get(pk=task.lead_id)
        if fate == "won":
            self.sign(person, rng)
        elif fate == "lost" and lead.stage_id == "sql":
            move(lead, "lost", by_user=rep, reason=rng.choice(self.reasons[Reason.For.LOST]), note=rng.choice(LOST_NOTES))
        elif fate == "later" and lead.stage_id == "sql":
            move(lead, "mql", by_user=rep, note="Their budget year starts later. Worth another look then.")
        for each in Task.objects.filter(lead=lead, owner=rep, done_at=None).order_by("pk"):
            todos.finish(each, by_user=rep)

    def sign(self, person: Person, rng: random.Random) -> None:
        """The contract comes back signed; the money follows in a few days."""
        place, value = person.firm.place, person.firm.value
        pay = partial(self.bill, person, "PAYMENT_SUCCEEDED", invoice=f"inv_{3000 + person.number}", amount=value, currency=place.currency)
        self.bill(person, "CONTRACT_SIGNED", value=value, currency=place.currency, term="12 months")
        self.world.plan(timezone.now() + timedelta(days=rng.uniform(1, 6)), pay)

    def bill(self, person: Person, kind: str, **data: object) -> None:
        """What the billing system posts."""
        message = {"userId": person.user_id, "eventType": kind, "metadata": data, "messageId": f"{kind.lower()}-{person.user_id}"}
        source = Source.objects.get(name=BILLING)
        deliver(source, Delivery.Door.EVENTS, json.dumps([message]).encode(), idempotency_key=None)

    # --- by hand --------------------------------------------------------------------------------

    def plan_hand_moves(self, begin: datetime, days: int) -> None:
        """Every week or so somebody moves a lead because of something no event tells."""
        for number, day in enumerate(range(12, days - 1, 9)):
            rep = sorted(self.reps.values(), key=lambda rep: rep.pk)[number % len(self.reps)]
            at = self.at_work(rep, timedelta(hours=2 + number % 5), after=begin + timedelta(days=day))
            self.plan(at, partial((self.promote, self.slip, self.reopen)[number % 3], rep))

    def promote(self, rep: User) -> None:
        """Somebody called us: to sales, without waiting for points."""
        lead = Lead.objects.known().filter(stage__key="mql", owner=None).order_by("-score", "pk").first()
        if lead:
            log_activity(lead, kind=Kind.CALL, outcome=Outcome.INTERESTED, text="Rang us and asked for prices.", by_user=rep)
            move(lead, "sql", by_user=rep, note="Called us. Wants an offer for next quarter.")

    def slip(self, rep: User) -> None:
        """The wrong card, and back."""
        lead = Lead.objects.known().filter(stage__key="mql", owner=None).order_by("score", "pk").first()
        if lead:
            moved = move(lead, "lost", by_user=rep, reason=self.reasons[Reason.For.LOST][0])
            self.plan(timezone.now() + timedelta(minutes=3), partial(undo_move, moved, by_user=rep))

    def reopen(self, rep: User) -> None:
        """Lost, and back with a new project."""
        lead = Lead.objects.known().filter(stage__key="lost").order_by("stage_since", "pk").first()
        if lead:
            reason = next(reason for reason in self.reasons[Reason.For.REOPEN] if reason.key == "new-project")
            move(lead, "mql", by_user=rep, reason=reason, note="Wrote to us: a new team, a new project.")

    def plan_today(self, rep: User) -> None:
        """What `rep` has to do today, and one thing left over from yesterday."""
        mine = Lead.objects.known().filter(owner=rep, stage__key="sql").exclude(email__in=self.left_alone).order_by("-stage_since", "pk")
        for lead, hours, title in zip(mine, (-20, 0.4, 1.6, 3.2), TODOS, strict=False):
            add_task(lead, title=title, owner=rep, due_at=self.world.now + timedelta(hours=hours), by_user=rep)


def move(lead: Lead, stage: str, *, by_user: User, reason: Reason | None = None, note: str = "") -> Transition:
    """Move a lead by hand, as the board does."""
    return move_by_hand(lead, Stage.objects.get(key=stage), by_user=by_user, reason=reason, note=note)


def write_values(reps: dict[str, User]) -> None:
    """What a contract with a new company would be worth, and who looks after it, as staff enter both on its page."""
    firms = {firm.domain: (number, firm) for number, firm in enumerate(FIRMS)}
    new = [company for company in Company.objects.filter(value=None) if company.domain in firms]
    for company in new:
        number, firm = firms[company.domain or ""]
        company.value, company.currency, company.owner = firm.value, firm.place.currency, reps.get(KEEPERS.get(number, ""))
    Company.objects.bulk_update(new, ["value", "currency", "owner"])
