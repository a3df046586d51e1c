"""The admin by everybody: every page opens, history stays as it is, drafts are signed, publishing calls the domain."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import reverse

from campaigns.models import Campaign, CampaignVersion, Enrollment, Link, Message, Step
from leads.models import (
    Consent,
    ContactPoint,
    Gate,
    Lead,
    ScoreEntry,
    ScoringRule,
    ScoringVersion,
    Source,
    Stage,
    Topic,
    Transition,
    User,
    Workspace,
    hash_address,
)
from tests.factories import make_company, make_event, make_lead, make_rep, make_source

pytestmark = pytest.mark.django_db

OURS = [model for app in ("leads", "campaigns") for model in apps.get_app_config(app).get_models() if not model._meta.auto_created]
EDITED = {"scoringrule", "fitrule", "idlerule", "derivedtype", "scoringlimits", "exclusion", "gate", "stage", "reason", "topic"}
EDITED |= {"campaign", "workspace", "task"}
PARTLY = {"lead", "company", "source"}
HISTORY = [model for model in OURS if model._meta.model_name not in EDITED | PARTLY | {"user", "step"}]


@pytest.fixture
def marketer(client):
    user = User.objects.create_user("mia", is_staff=True)
    user.groups.add(Group.objects.get(name="Marketing"))
    client.force_login(user)
    return user


@pytest.fixture
def boss(client):
    user = User.objects.create_superuser("ada")
    client.force_login(user)
    return user


@pytest.fixture
def rows(db):
    """One row of nearly everything."""
    company, topic = make_company(), Topic.objects.create(key="newsletter", name="Best practices")
    lead = make_lead(company=company, owner=make_rep())
    event, version = make_event(lead=lead), ScoringVersion.objects.create(number=1, document={})
    point = ContactPoint.objects.create(address_hash=hash_address(lead.email))
    Consent.objects.create(contact_point=point, topic=topic, status="granted", source="form")
    ScoreEntry.objects.create(
        lead=lead,
        first_lead=lead,
        axis="engagement",
        kind="points",
        cause=event.cause,
        rule="r",
        raw=5,
        points=5,
        version=version,
        at=event.at,
    )
    Transition.objects.create(lead=lead, seq=1, from_stage_id="cold", to_stage_id="mql", engagement=5, fit=0, at=event.at)
    campaign = Campaign.objects.create(key="C", name="C", trigger={"event": "SIGNED_UP"}, topic=topic)
    Step.objects.create(campaign=campaign, key="welcome", subject="Hi", body="Hi")
    live = CampaignVersion.objects.create(campaign=campaign, number=1, document={})
    run = Enrollment.objects.create(campaign=campaign, version=live, lead=lead, first_lead=lead, cause=event.cause, cause_at=event.at)
    message = Message.objects.create(enrollment=run, lead=lead, first_lead=lead, to=lead.email, due_at=event.at, step="welcome")
    Link.objects.create(message=message, position=1, url="https://example.com")
    Workspace.objects.get_or_create(pk=1)


def page(model, what="changelist", **kwargs):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", **kwargs)


def test_everything_is_registered():
    assert [model.__name__ for model in OURS if not admin.site.is_registered(model)] == ["Step"]  # an inline of its campaign


@pytest.mark.parametrize("model", [model for model in OURS if model is not Step], ids=lambda model: model.__name__)
def test_every_list_and_every_row_opens(client, boss, rows, model):
    first = model.objects.first()

    assert client.get(page(model)).status_code == 200
    if first:
        assert client.get(page(model, "change", args=[first.pk])).status_code == 200


@pytest.mark.parametrize("model", HISTORY, ids=lambda model: model.__name__)
def test_history_cannot_be_touched_even_by_a_superuser(client, boss, rows, model):
    first = model.objects.first()

    assert client.get(page(model, "add")).status_code == 403
    if first:
        assert client.post(page(model, "change", args=[first.pk]), {}).status_code == 403
        assert client.post(page(model, "delete", args=[first.pk]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", [ScoringRule, Campaign, Lead, Gate], ids=lambda model: model.__name__)
def test_reps_are_kept_out_even_when_they_are_staff(client, rows, model):
    client.force_login(make_rep(is_staff=True))

    assert client.get(page(model)).status_code == 403


def test_marketers_do_not_manage_colleagues(client, marketer):
    assert client.get(page(User)).status_code == 403


def test_a_source_never_shows_its_key(client, boss):
    source, key = make_source()

    listed, shown = client.get(page(Source)).content.decode(), client.get(page(Source, "change", args=[source.pk])).content.decode()

    assert source.key_prefix in listed
    assert key not in listed + shown
    assert source.key_digest not in listed + shown
    assert client.get(page(Source, "add")).status_code == 403


def test_revoking_a_key_spares_the_built_in_source(client, boss):
    source, _ = make_source()
    chosen = list(Source.objects.values_list("pk", flat=True))

    client.post(page(Source), {"action": "revoke", "_selected_action": chosen})

    source.refresh_from_db()
    assert source.revoked_at
    assert Source.built_in().revoked_at is None


RULE = {"name": "Viewed pricing", "key": "viewed-pricing", "event": "Viewed pricing", "when": "[]", "points": "10"}


def test_a_draft_remembers_who_edited_it_and_events_get_their_key(client, marketer):
    answer = client.post(page(ScoringRule, "add"), RULE)

    rule = ScoringRule.objects.get()
    assert answer.status_code == 302
    assert (rule.edited_by, rule.event) == (marketer, "VIEWED_PRICING")


@pytest.mark.parametrize(
    ("field", "value", "cure"),
    [
        ("when", '[{"field": "event.plan", "op": "contain", "value": 1}]', "did you mean"),
        ("expires_after", "90 days", "for example 10m or 7d"),
    ],
)
def test_a_typo_is_told_beside_its_field(client, marketer, field, value, cure):
    answer = client.post(page(ScoringRule, "add"), RULE | {field: value})

    assert answer.status_code == 200
    assert cure in answer.content.decode()
    assert not ScoringRule.objects.exists()


def test_publishing_asks_first_and_then_makes_a_version(client, marketer):
    client.post(page(ScoringRule, "add"), RULE)
    address = page(ScoringRule, "publish_draft")

    asked = client.get(address)
    before = ScoringVersion.objects.count()
    client.post(address, {"_form_submitted": "True", "note": "First rules"})

    version = ScoringVersion.objects.get()
    assert (asked.status_code, before) == (200, 0)
    assert (version.number, version.published_by, version.note) == (1, marketer, "First rules")


def test_publishing_what_moves_very_many_leads_is_left_to_the_page_that_asks(client, marketer):
    for lead in (make_lead(), make_lead()):
        make_event(lead=lead, type="SIGNED_UP")
    gate = Gate.objects.create(key="g", to=Stage.objects.get(key="mql"), conditions=[{"event": "SIGNED_UP"}])
    gate.from_stages.add(Stage.objects.get(key="cold"))
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 1})

    answer = client.post(page(Gate, "publish_draft"), {"_form_submitted": "True"})

    assert answer.headers["HX-Redirect"] == "/scoring/?review#draft"
    assert not ScoringVersion.objects.exists()


def test_a_draft_with_a_mistake_is_not_published_and_says_why(client, marketer):
    gate = Gate.objects.create(key="g", to=Stage.objects.get(key="sql"), conditions=[])
    gate.from_stages.add(Stage.objects.get(key="sql"))

    client.post(page(Gate, "publish_draft"), {"_form_submitted": "True"})
    told = client.get(page(Gate)).content.decode()

    assert not ScoringVersion.objects.exists()
    assert "Not published" in told


def test_an_address_is_found_by_its_hash(client, boss, rows):
    email = Lead.objects.exclude(email="").first().email

    found = client.get(page(ContactPoint), {"q": email}).content.decode()
    missed = client.get(page(ContactPoint), {"q": "someone@else.example"}).content.decode()

    assert hash_address(email)[:12] in found
    assert hash_address(email)[:12] not in missed


def test_stages_and_scores_of_a_lead_are_not_edited_here(client, boss, rows):
    lead = Lead.objects.first()

    client.post(page(Lead, "change", args=[lead.pk]), {"stage": "won", "engagement": "999", "currency": "EUR"})

    lead.refresh_from_db()
    assert (lead.stage_id, lead.engagement) == ("cold", 0)


def make_campaign(**fields):
    topic = Topic.objects.create(key="newsletter", name="Best practices")
    campaign = Campaign.objects.create(key="C", name="Greeting", trigger={"event": "SIGNED_UP"}, topic=topic, **fields)
    Step.objects.create(campaign=campaign, key="welcome", subject="Hi", body="Hi {{ lead.name | default: 'there' }}")
    return campaign


def test_campaigns_are_published_paused_and_resumed(client, marketer):
    campaign = make_campaign()
    status, told = [], []

    for action in ("publish", "pause", "pause", "resume"):
        answer = client.post(page(Campaign), {"action": action, "_selected_action": [campaign.pk]}, follow=True)
        campaign.refresh_from_db()
        status.append(campaign.status)
        told += [str(message) for message in answer.context["messages"]]

    assert status == ["active", "paused", "paused", "active"]
    assert told[1:] == ["1 campaign paused.", "0 campaigns paused.", "1 campaign goes on."]
    assert (campaign.live.number, campaign.live.published_by) == (1, marketer)


def test_a_campaign_is_published_from_its_page(client, marketer):
    campaign = make_campaign()

    client.post(page(Campaign, "publish_this", args=[campaign.pk]), {"_form_submitted": "True"})

    assert campaign.versions.count() == 1


def test_a_template_with_an_unknown_variable_is_not_published(client, marketer):
    campaign = make_campaign()
    campaign.steps.update(body="Hi {{ lead.nmae }}")

    client.post(page(Campaign), {"action": "publish", "_selected_action": [campaign.pk]})
    told = client.get(page(Campaign)).content.decode()

    assert not campaign.versions.exists()
    assert "Not published" in told


def test_a_published_campaign_is_not_deleted(client, boss, rows):
    Campaign.objects.update(live=CampaignVersion.objects.get())

    assert client.post(page(Campaign, "delete", args=[Campaign.objects.get().pk]), {"post": "yes"}).status_code == 403


def test_steps_are_saved_in_the_order_they_were_dragged_into(client, marketer):
    campaign = make_campaign()
    second = Step.objects.create(campaign=campaign, key="later", position=1, subject="Again", body="Again")
    first = campaign.steps.get(key="welcome")
    form = {
        "name": "Greeting", "key": "C", "message_class": "marketing", "topic": campaign.topic_id, "trigger": '{"event": "SIGNED_UP"}',
        "audience": "[]", "reentry": '"once"', "goal": "[]", "exits": "[]", "window": "{}", "cap": "{}", "priority": "50",
        "steps-TOTAL_FORMS": "2", "steps-INITIAL_FORMS": "2", "versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0",
    }  # fmt: skip
    for index, (step, position) in enumerate([(first, 1), (second, 0)]):
        values = {"id": step.pk, "campaign": campaign.pk, "key": step.key, "kind": "message", "when": "[]", "subject": "Hi", "body": "Hi"}
        form |= {f"steps-{index}-{name}": value for name, value in (values | {"position": position}).items()}

    answer = client.post(page(Campaign, "change", args=[campaign.pk]), form)

    assert answer.status_code == 302
    assert list(campaign.steps.values_list("key", "edited_by")) == [("later", marketer.pk), ("welcome", marketer.pk)]


@pytest.mark.parametrize(
    ("field", "value"),
    [("trigger", '{"event": 5}'), ("reentry", '{"afterr": "30d"}'), ("window", '{"hours": "late"}'), ("goal", '[{"scroe": 1}]')],
)
def test_the_small_structures_of_a_campaign_are_checked_beside_their_fields(client, marketer, field, value):
    topic = Topic.objects.create(key="newsletter", name="Best practices")
    form = {"name": "X", "key": "X", "message_class": "marketing", "topic": topic.pk, "trigger": '{"event": "SIGNED_UP"}', "audience": "[]",
            "reentry": '"once"', "goal": "[]", "exits": "[]", "window": "{}", "cap": "{}", "priority": "50",
            "steps-TOTAL_FORMS": "0", "steps-INITIAL_FORMS": "0", "versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}  # fmt: skip

    right = client.post(page(Campaign, "add"), form)
    wrong = client.post(page(Campaign, "add"), form | {"key": "Y", field: value})

    assert right.status_code == 302
    assert wrong.status_code == 200
    assert list(wrong.context["adminform"].form.errors) == [field]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("mql", "Marketing qualified can't be deleted: 1 lead stands in it. Move them to another stage first."),
        ("cold", "Cold can't be deleted: new leads begin in it."),
        ("won", "Closed won can't be deleted: gates lead to or from it (closed)."),
        ("sql", "Sales qualified can't be deleted: gates lead to or from it (closed)."),
    ],
)
def test_a_stage_that_is_needed_stays_and_the_page_says_why(client, boss, key, said):
    make_lead(stage_id="mql")
    gate = Gate.objects.create(key="closed", to_id="won", conditions=[{"event": "X"}])
    gate.from_stages.add(Stage.objects.get(key="sql"))
    stage = Stage.objects.get(key=key)

    address = reverse("admin:leads_stage_delete", args=[stage.pk])
    page = client.get(address).content.decode().replace("&#x27;", "'")
    client.post(address, {"post": "yes"})

    assert said in page
    assert Stage.objects.filter(key=key).exists()


def test_a_stage_that_nobody_needs_can_go(client, boss):
    stage = Stage.objects.create(key="trial", name="Trial", position=9)

    client.post(reverse("admin:leads_stage_delete", args=[stage.pk]), {"post": "yes"})

    assert not Stage.objects.filter(key="trial").exists()
