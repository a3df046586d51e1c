"""The playbook that ships: it holds what the founding scenario needs, and its mails can be sent."""

import pytest
import yaml
from django.utils import timezone

from campaigns.documents import read_document
from campaigns.models import Campaign
from campaigns.rendering import render
from crm import playbook
from leads import yaml_lines
from leads.documents import ModelDoc
from leads.models import DerivedType, FitRule, Gate, Reason, ScoringRule, ScoringVersion, Topic, User, Workspace
from leads.publishing import export_draft
from leads.vocabulary import event_key
from tests.factories import make_enrollment, make_event, make_lead, make_message

pytestmark = pytest.mark.django_db

TEXT = playbook.SHIPPED.read_text(encoding="utf-8")


@pytest.fixture
def model() -> ModelDoc:
    playbook.apply_shipped(active=False)
    return export_draft()


def campaign(key):
    return read_document(Campaign.objects.get(key=key).live.document)


def test_it_is_fine():
    assert playbook.check(TEXT) == []


def test_it_comes_back_from_export_as_it_is():
    playbook.apply(TEXT)

    exported = playbook.export()

    assert yaml_lines.read(exported).value == yaml_lines.read(TEXT).value
    assert yaml.safe_load(exported) == yaml.safe_load(TEXT)


def test_applied_to_an_empty_database_the_export_exports_the_same():
    playbook.apply(TEXT)
    exported = playbook.export()
    for rows in (Campaign, Gate, ScoringRule, FitRule, DerivedType, Topic, Reason, Workspace):
        rows.objects.all().delete()

    playbook.apply(exported, publish=True)

    assert playbook.export() == exported


def test_every_campaign_is_published_and_paused(model):
    assert set(Campaign.objects.values_list("status", flat=True)) == {"paused"}
    assert not Campaign.objects.filter(live=None).exists()
    assert ScoringVersion.live().number == 1


def test_the_button_may_activate_them():
    ada = User.objects.create_user("ada")

    applied = playbook.apply_shipped(active=True, by_user=ada)

    assert set(Campaign.objects.values_list("status", flat=True)) == {"active"}
    assert applied.version.published_by == ada
    assert len(applied.campaigns) == 4


def test_applied_paused_it_can_be_activated_later():
    playbook.apply_shipped(active=False)
    playbook.apply_shipped(active=True)

    assert set(Campaign.objects.values_list("status", flat=True)) == {"active"}
    assert ScoringVersion.objects.count() == 1


def test_the_time_zone_of_the_workspace_stays():
    Workspace.objects.create(pk=1, timezone="Europe/Berlin")

    playbook.apply_shipped(active=False)

    assert Workspace.current().timezone == "Europe/Berlin"


def test_the_founding_weights(model):
    rules = {rule.event: rule for rule in model.scoring.rules}

    founding = ("VIEWED_PRICING", "DOWNLOADED_API_DOCS", "ABANDONED_CHECKOUT")
    assert [(rules[event].points, rules[event].limit, rules[event].expires_after) for event in founding] == [
        (10, None, "90d"),
        (20, None, "90d"),
        (15, None, "90d"),
    ]
    assert (rules["EMAIL_CLICKED"].points, rules["EMAIL_CLICKED"].limit.times, rules["EMAIL_CLICKED"].limit.per) == (2, 1, "day")
    assert rules["UNSUBSCRIBED"].points == -15
    assert len(rules) == 5


def test_fit_adds_up_to_forty_at_most(model):
    assert sum(rule.points for rule in model.scoring.fit) <= 40


def test_the_pricing_page_counts_as_viewed_pricing(model):
    [derive] = model.scoring.derive
    assert (derive.from_, derive.as_) == ("PAGE_VIEWED", "VIEWED_PRICING")


def test_the_gates(model):
    gates = {(tuple(gate.origins), gate.to): gate for gate in model.gates}

    assert set(gates) == {(("cold",), "mql"), (("mql",), "sql"), (("sql",), "won"), (("cold", "mql"), "won"), (("mql",), "cold")}
    assert gates[("sql",), "won"].match == "all"
    assert gates[("mql",), "cold"].conditions == [{"idle_for": "90d"}, {"in_stage_for": "90d"}]
    assert {"score": {"at_least": 80}} in gates[("mql",), "sql"].conditions


def test_the_founding_campaigns(model):
    assert campaign("API_DEEP_DIVE_SEQUENCE").trigger.event == "DOWNLOADED_API_DOCS"
    cart = campaign("CART_RECOVERY_SEQUENCE")
    assert (cart.trigger.event, cart.reentry.key, cart.goal) == ("ABANDONED_CHECKOUT", "event.order_id", [{"event": "CHECKOUT_COMPLETED"}])
    guide = campaign("API_RATE_LIMIT_GUIDE")
    assert (guide.trigger.event, guide.class_, guide.reentry.after, guide.steps[0].after) == ("API_RATE_LIMITED", "product", "14d", "10m")
    assert "https://product.example/upgrade" in guide.steps[0].message.body
    weekly = campaign("WEEKLY_BEST_PRACTICES")
    assert (weekly.topic, bool(weekly.trigger.schedule)) == ("newsletter", True)


def test_marketing_has_a_topic(model):
    assert Topic.objects.filter(key="newsletter").exists()
    assert all(c.topic for c in Campaign.objects.filter(message_class="marketing"))


KNOWN = {"endpoint": "/v1/items", "plan": "team", "order_id": "o-1"}


@pytest.mark.parametrize(("person", "properties"), [({"email": "x@acme.example"}, {}), ({"name": "Ada Lovelace"}, KNOWN)])
def test_every_mail_can_be_sent_whatever_is_known(model, person, properties, settings):
    settings.SENDER_NAME = ""
    lead = make_lead(**person)
    for row in Campaign.objects.all():
        document = read_document(row.live.document)
        run = make_enrollment(campaign=row, lead=lead, event=make_event(lead=lead, properties=properties))
        for step in document.steps:
            if step.message:
                mail = render(make_message(run=run, step=step.key), document=document, step=step, now=timezone.now())
                assert f"Hi {'Ada' if 'name' in person else 'there'}," in mail.text
                assert all(url.startswith("https://product.example/") for url in mail.links) and mail.links
                assert ("team plan" in mail.text) == (properties == KNOWN and step.key == "still-open")


def test_every_event_it_names_is_in_the_vocabulary():
    listed = set((playbook.SHIPPED.parents[2] / "docs" / "events.md").read_text(encoding="utf-8").split("`"))

    assert events_in(yaml.safe_load(TEXT)) <= listed


def events_in(part):
    """The event types anywhere in plain data."""
    if isinstance(part, list):
        return set().union(*map(events_in, part))
    if not isinstance(part, dict):
        return set()
    own = {part[word] for word in ("event", "from", "as") if isinstance(part.get(word), str) and event_key(part[word]) == part[word]}
    return own.union(*map(events_in, part.values()))
