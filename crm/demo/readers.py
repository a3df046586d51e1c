"""People who read our mails in the demo: they click, a little later; some never want one again; and scanners click at once."""

from datetime import datetime, timedelta
from functools import partial

from django.utils import timezone

from campaigns.models import Link, Message
from campaigns.tracking import record_click, unsubscribe
from crm.demo.cast import Person
from crm.demo.script import rng_of
from crm.demo.world import World

CLICKS, CLICKS_AGAIN, UNSUBSCRIBES = 0.34, 0.3, 0.02


class Readers:
    """Watches what was sent."""

    def __init__(self, world: World, people: dict[str, Person]) -> None:
        self.world = world
        self.people = people
        self.seen_until = timezone.now()

    def look(self) -> None:
        """Plan what the people do with the mails sent since the last look."""
        since, self.seen_until = self.seen_until, timezone.now()
        sent = Message.objects.filter(state=Message.State.SENT, sent_at__gt=since).select_related("lead", "enrollment__campaign")
        for message in sent.prefetch_related("links"):
            if person := self.people.get(message.to):
                self.read(message, person, at=message.sent_at or self.seen_until)

    def read(self, message: Message, person: Person, *, at: datetime) -> None:
        """What one person does with one mail."""
        campaign = message.enrollment.campaign.key if message.enrollment else ""
        rng, links = rng_of("mail", person.number, campaign, message.step), list(message.links.all())
        if person.firm.scans_mail:
            for number, link in enumerate(links):
                self.world.plan(at + timedelta(seconds=2 + number), partial(self.click, link))
        if links and rng.random() < CLICKS:
            reads_at = at + timedelta(minutes=rng.choice([4, 11, 26, 70, 190, 400]) * rng.uniform(0.6, 1.6))
            self.world.plan(reads_at, partial(self.click, rng.choice(links)))
            if rng.random() < CLICKS_AGAIN:
                self.world.plan(reads_at + timedelta(minutes=rng.uniform(1, 30)), partial(self.click, rng.choice(links)))
        elif rng.random() < UNSUBSCRIBES:
            self.world.plan(at + timedelta(minutes=rng.uniform(3, 90)), partial(self.say_no, message))

    def click(self, link: Link) -> None:
        """Follow a link, as the page behind it records it."""
        record_click(link, method="GET", at=timezone.now())

    def say_no(self, message: Message) -> None:
        """Press "unsubscribe"."""
        unsubscribe(message, everything=False, proof=f"unsubscribe page, message {message.uid}")
