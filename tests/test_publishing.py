"""Publishing: drafts become versions, bad drafts don't, and gates never go round in circles."""

import msgspec
import pytest

from campaigns.documents import CampaignDoc
from campaigns.models import Campaign, CampaignVersion, Step
from campaigns.publishing import export_campaign, publish_campaign, replace_campaign
from leads.documents import GateDoc, ModelDoc
from leads.models import DerivedType, FitRule, Gate, ScoringLimits, ScoringRule, ScoringVersion, Stage, User
from leads.publishing import check_model, export_draft, publish, replace_draft
from leads.shape import PublishError

pytestmark = pytest.mark.django_db

STAGES = ["cold", "mql", "sql", "won", "lost"]
MODEL = {
    "scoring": {
        "derive": [{"from": "PAGE_VIEWED", "as": "VIEWED_PRICING", "when": [{"field": "event.path", "op": "is", "value": "/pricing"}]}],
        "limits": {"fit_max": 40},
        "rules": [{"key": "pricing", "event": "VIEWED_PRICING", "points": 10, "limit": {"times": 3, "per": "day"}, "expires_after": "90d"}],
        "fit": [{"key": "cto", "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}], "points": 15}],
    },
    "gates": [{"key": "hot", "from": "mql", "to": "sql", "conditions": [{"score": {"at_least": 80}}]}],
}
CAMPAIGN = {
    "key": "WELCOME",
    "name": "Welcome",
    "class": "product",
    "trigger": {"event": "SIGNED_UP"},
    "steps": [{"key": "hello", "message": {"subject": "Hi", "body": "Hello"}}, {"key": "end", "exit": {}}],
}


def model(**changes):
    return msgspec.convert(MODEL | changes, ModelDoc)


def campaign(**changes):
    return msgspec.convert(CAMPAIGN | changes, CampaignDoc)


# --- the scoring model --------------------------------------------------------------------------


def test_the_draft_exports_what_was_put_in():
    replace_draft(model())

    assert msgspec.to_builtins(export_draft()) == msgspec.to_builtins(model())


def test_versions_are_numbered_and_name_their_publisher():
    ada = User.objects.create_user("ada")
    replace_draft(model())

    first = publish(by_user=ada, note="First")
    ScoringRule.objects.update(points=11)
    second = publish()

    assert (first.number, first.published_by, first.note) == (1, ada, "First")
    assert (second.number, second.document["scoring"]["rules"][0]["points"]) == (2, 11)
    assert ScoringVersion.objects.get(number=1).document["scoring"]["rules"][0]["points"] == 10


def test_a_draft_like_the_live_version_publishes_nothing():
    replace_draft(model())

    assert publish() == publish()
    assert ScoringVersion.objects.count() == 1


def test_rows_that_say_it_already_keep_their_editor():
    ada, bob = User.objects.create_user("ada"), User.objects.create_user("bob")
    replace_draft(model(), by_user=ada)

    changed = msgspec.convert(MODEL, ModelDoc)
    changed.scoring.rules[0].points = 12
    replace_draft(changed, by_user=bob)

    assert ScoringRule.objects.get().edited_by == bob
    assert {m.objects.get().edited_by for m in (FitRule, Gate, DerivedType, ScoringLimits)} == {ada}


def test_what_is_left_out_goes():
    replace_draft(model())
    replace_draft(ModelDoc())

    assert not any(m.objects.exists() for m in (ScoringRule, FitRule, Gate, DerivedType))
    assert ScoringLimits.objects.get().fit_max is None
    assert publish().document == {"scoring": {"limits": {}}}


def test_a_gate_may_change_where_it_leads_from():
    replace_draft(model())
    gates = [{"key": "hot", "from": ["cold", "mql"], "to": "sql", "conditions": [{"score": {"at_least": 80}}]}]

    replace_draft(model(gates=gates))

    assert export_draft().gates[0].origins == ["cold", "mql"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expires_after": "soon"}, "scoring.rules[0].expires_after: 'soon' is not a duration"),
        ({"limit_days": 3}, "scoring.rules[0].limit: a limit needs exactly one of per and days"),
        ({"limit_times": None}, "scoring.rules[0].limit: times is missing"),
        ({"when": [{"field": "lead.titel", "op": "is", "value": "x"}]}, "did you mean lead.title?"),
        ({"event": "viewed pricing"}, "scoring.rules[0].event: 'viewed pricing' is not an event type"),
    ],
)
def test_a_bad_draft_cannot_be_published(change, said):
    replace_draft(model())
    ScoringRule.objects.update(**change)

    with pytest.raises(PublishError) as refused:
        publish()

    assert said in str(refused.value)
    assert ScoringVersion.live() is None


# --- circles of gates ---------------------------------------------------------------------------


def gate(key, start, end, *conditions, match="any"):
    return GateDoc(key=key, from_=start, to=end, conditions=list(conditions), match=match)


def circles(*gates):
    return [str(problem) for problem in check_model(ModelDoc(gates=list(gates)), stages=STAGES)]


HOT = {"score": {"at_least": 80}}
EVENT = {"event": "DEMO_REQUESTED"}


@pytest.mark.parametrize(
    ("forth", "back"),
    [
        (HOT, {"score": {"at_least": 10}}),
        (HOT, {"field": "lead.score", "op": "lt", "value": 81}),
        (HOT, {"field": "lead.engagement", "op": "lt", "value": 10}),
        (EVENT, {"event": "DEMO_CANCELED"}),
        (EVENT, {"event": "DEMO_REQUESTED", "times": {"at_most": 3}}),
        (EVENT, {"event": "DEMO_REQUESTED", "times": {"at_most": 0}, "within": "30d"}),
        ({"any": [HOT, EVENT]}, {"field": "lead.score", "op": "lt", "value": 40}),
        ({"field": "lead.title", "op": "is", "value": "CTO"}, {"field": "lead.title", "op": "is", "value": "cto"}),
        ({"field": "lead.title", "op": "has_word", "value": "CTO"}, {"field": "lead.title", "op": "has_word", "value": "CEO"}),
    ],
)
def test_gates_that_can_be_open_at_once_must_not_form_a_circle(forth, back):
    said = circles(gate("hot", "mql", "sql", forth), gate("cool", "sql", "mql", back))

    assert said == [
        "gates[0]: these gates can all be open at one instant and would move a lead in a circle: hot (to sql) → cool (to mql); "
        "let one need what another excludes, for example a score of at least 80 in one and below 40 in the other"
    ]


@pytest.mark.parametrize(
    ("forth", "back"),
    [
        (HOT, {"field": "lead.score", "op": "lt", "value": 40}),
        (HOT, {"field": "lead.score", "op": "between", "value": [0, 79]}),
        (HOT, {"not": {"score": {"at_least": 60}}}),
        (EVENT, {"event": "DEMO_REQUESTED", "times": {"at_most": 0}}),
        (EVENT, {"not": EVENT}),
        ({**EVENT, "within": "7d"}, {"event": "DEMO_REQUESTED", "times": {"exactly": 0}, "within": "30d"}),
        ({"all": [HOT, EVENT]}, {"all": [{"field": "lead.score", "op": "lte", "value": 79}, EVENT]}),
        ({"any": [HOT, EVENT]}, {"not": {"any": [HOT, EVENT]}}),
        ({"field": "lead.title", "op": "is", "value": "CTO"}, {"field": "lead.title", "op": "is_not", "value": "cto"}),
        ({"field": "lead.title", "op": "is", "value": "CTO"}, {"field": "lead.title", "op": "is", "value": "CEO"}),
        ({"field": "lead.phone", "op": "exists"}, {"field": "lead.phone", "op": "missing"}),
        (EVENT, {"idle_for": "90d"}),
        (HOT, {"in_stage_for": "7d"}),
    ],
)
def test_gates_that_exclude_each_other_may_lead_back_and_forth(forth, back):
    assert circles(gate("hot", "mql", "sql", forth), gate("cool", "sql", "mql", back)) == []


@pytest.mark.parametrize(
    ("forth", "back"),
    [
        ({"idle_for": "7d"}, EVENT),  # forwards by idleness: what was done long ago leads back at once
        ({**EVENT, "of": "company"}, {"idle_for": "90d"}),  # a colleague's act ends nobody else's idleness
        (HOT, {"idle_for": "90d"}),
        ({"event": "LEAD_EDITED"}, {"idle_for": "90d"}),
    ],
)
def test_idleness_is_an_excuse_only_backwards_and_for_what_the_person_does(forth, back):
    assert circles(gate("hot", "mql", "sql", forth), gate("cool", "sql", "mql", back)) != []


def test_a_longer_circle_is_found():
    said = circles(gate("a", "cold", "mql", EVENT), gate("b", "mql", ["sql"][0], HOT), gate("c", ["sql", "won"], "cold", {"event": "LEFT"}))

    assert "a (to mql) → b (to sql) → c (to cold)" in said[0]


def test_gates_that_only_lead_on_form_no_circle():
    assert circles(gate("a", ["cold", "mql"], "sql", HOT), gate("b", "cold", "mql", EVENT), gate("c", "sql", "lost", EVENT)) == []


def test_two_circles_that_share_a_stage_do_not_hide_each_other():
    low = {"field": "lead.score", "op": "lt", "value": 40}
    fine = [gate("up", "mql", "sql", HOT), gate("down", "sql", "mql", low)]

    assert circles(*fine) == []
    assert "lost (to lost) → again (to sql)" in circles(*fine, gate("lost", "sql", "lost", EVENT), gate("again", "lost", "sql", EVENT))[0]


def test_many_gates_are_checked_in_no_time():
    conditions = [[{"score": {"at_least": n}}, {"field": "lead.score", "op": "lt", "value": n}] for n in range(10, 40)]
    gates = [gate(f"up{n}", "mql", "sql", up) for n, (up, _) in enumerate(conditions)]
    gates += [
        gate(f"down{n}", "sql", "mql", down, {"field": "lead.score", "op": "lt", "value": -n}) for n, (_, down) in enumerate(conditions)
    ]

    assert len(circles(*gates)) == 1


# --- campaigns ----------------------------------------------------------------------------------


def test_a_campaign_exports_what_was_put_in():
    row = replace_campaign(campaign())

    assert msgspec.to_builtins(export_campaign(row)) == msgspec.to_builtins(campaign())


def test_publishing_makes_a_campaign_active_and_numbers_its_versions():
    row = replace_campaign(campaign())
    assert (row.status, row.live) == ("draft", None)

    first = publish_campaign(row)
    same = publish_campaign(row)
    Step.objects.filter(key="hello").update(subject="Hello")
    second = publish_campaign(row)

    row.refresh_from_db()
    assert (first, first.number, second.number) == (same, 1, 2)
    assert (row.status, row.live) == ("active", second)
    assert "status" not in second.document
    assert CampaignVersion.objects.get(number=1).document["steps"][0]["message"]["subject"] == "Hi"


def test_a_paused_campaign_stays_paused_when_published():
    row = replace_campaign(campaign(status="paused"))

    publish_campaign(row)

    row.refresh_from_db()
    assert row.status == "paused"
    assert replace_campaign(campaign()).status == "active"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trigger": {"evnt": "X"}}, "trigger.evnt: unknown key; did you mean event?"),
        ({"trigger": {"event": "A", "schedule": "* * * * *"}}, "trigger: a trigger is exactly one of"),
        ({"message_class": "marketing"}, "a marketing campaign needs a topic"),
        ({"window": {"hours": "8-18"}}, "window.hours: '8-18' is not hours such as \"08:00-18:00\""),
        ({"goal": [{"campaign": "NONE"}]}, "goal[0].campaign: there is no campaign 'NONE'"),
        ({"reentry": {"after": "1d", "key": "event.x"}}, "reentry: needs exactly one of"),
    ],
)
def test_a_bad_campaign_cannot_be_published(change, said):
    row = replace_campaign(campaign())
    Campaign.objects.update(**change)

    with pytest.raises(PublishError) as refused:
        publish_campaign(row)

    assert said in str(refused.value), refused.value
    assert not CampaignVersion.objects.exists()


def test_a_template_with_an_unknown_variable_cannot_be_published():
    row = replace_campaign(campaign())
    Step.objects.filter(key="hello").update(body="Hello\n\n{{ laed.name }}")

    with pytest.raises(PublishError, match=r"steps\[0\].message.body: on its line 3: there is no variable laed.name; did you mean lead"):
        publish_campaign(row)


def test_a_stage_that_was_renamed_away_is_noticed_at_publishing():
    row = replace_campaign(campaign(goal=[{"field": "lead.stage", "op": "is", "value": "lost"}]))
    Stage.objects.filter(key="lost").delete()

    with pytest.raises(PublishError, match="there is no stage 'lost'"):
        publish_campaign(row)
