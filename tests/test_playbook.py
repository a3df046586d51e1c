"""The playbook through its command: check, plan, apply, export."""

import json
from io import StringIO

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.utils import timezone

from campaigns.models import Campaign, CampaignVersion, Enrollment, Step
from crm import playbook
from leads import tasks, yaml_lines
from leads.models import Gate, Lead, Reason, Rescore, ScoringRule, ScoringVersion, Stage, Topic, User, Workspace
from tests.factories import make_event, make_lead

pytestmark = pytest.mark.django_db

FULL = """\
version: 1
timezone: Europe/Berlin
stages:
  - {key: cold, name: Cold}
  - {key: mql, name: Marketing qualified}
  - {key: sql, name: Sales qualified, sla: 4h}
  - {key: won, name: Closed won, kind: won}
  - {key: lost, name: Closed lost, kind: lost}
reasons: [{key: no-budget, name: No budget, for: lost, recycle_after: 90d, to: mql}]
topics: [{key: newsletter, name: Best practices}]
sending: {window: {days: mon-fri, hours: "08:00-18:00"}, cap: {day: 1, week: 3}}
scoring:
  derive: [{from: PAGE_VIEWED, when: [{field: event.path, op: is, value: /pricing}], as: VIEWED_PRICING}]
  limits: {fit_max: 40, stop_above: 300, floor: 0}
  rules:
    - {key: viewed-pricing, name: Viewed pricing, event: VIEWED_PRICING, points: 10, limit: {times: 3, per: day}, expires_after: 90d}
    - {key: asked-for-demo, event: DEMO_REQUESTED, points: 30, limit: {times: 1, days: 10}, when: [{field: event.plan, op: is, value: "1"}]}
  fit:
    - {key: cto, name: Technical leader, when: [{field: lead.title, op: has_word, value: CTO}], points: 15}
gates:
  - {key: hot, from: mql, to: sql, match: any, conditions: [{score: {at_least: 80}}, {event: DEMO_REQUESTED}]}
  - {key: back, from: [won, lost], to: mql, match: all, conditions: [{event: CAME_BACK}, {field: lead.traits.ok, op: is, value: true}]}
campaigns:
  - key: WELCOME
    name: Welcome
    class: marketing
    topic: newsletter
    trigger: {event: DOWNLOADED_API_DOCS, when: [{field: event.pages, op: gte, value: 2}], max_age: 1d}
    reentry: once
    goal: [{field: lead.stage, op: in, value: [sql, won]}]
    steps:
      - {key: welcome, after: 10m, message: {subject: "Hi {{ lead.name | default: 'you' }}", body: "One\\n\\ntwo\\n"}}
      - {key: limits, when: [{event: EMAIL_CLICKED, times: {at_most: 0}}], message: {subject: "…", body: "…"}}
      - {key: tell-sales, notify: {text: "Read both API mails"}}
      - {key: stop, exit: {}}
  - key: API_BASICS
    name: Basics
    class: product
    trigger: {schedule: "0 10 * * tue", timezone: Europe/Paris}
    audience: [{not: {campaign: {trigger: event}, status: active}}]
    reentry: {after: 30d}
    window: {days: "sat,sun"}
    cap: {week: 1}
    timezone: Europe/Madrid
    tracking: false
    exit_on_stage: false
    priority: 7
    status: paused
    steps: [{key: only, exit: {why: enough}}]
"""


@pytest.fixture
def run(tmp_path):
    def run(verb, text=None, *options):
        out, file = StringIO(), tmp_path / "playbook.yaml"
        if text is not None:
            file.write_text(text, encoding="utf-8")
            options = (str(file), *options)
        call_command("playbook", verb, *options, stdout=out)
        return out.getvalue()

    return run


def problems(text):
    return [str(problem) for problem in playbook.check(text)]


def everything():
    """All that an apply may change, to show that it did not."""
    models = [Stage, Reason, Topic, ScoringRule, Gate, Campaign, Step, ScoringVersion, CampaignVersion]
    rows = {model.__name__: list(model.objects.order_by("pk").values()) for model in models}
    return rows | {"workspace": list(Workspace.objects.values())}


# --- there and back -----------------------------------------------------------------------------


def test_export_of_an_applied_file_gives_the_same_document_back(run):
    run("apply", FULL)

    assert yaml.safe_load(run("export")) == yaml.safe_load(FULL)


def test_an_export_applied_to_an_empty_database_exports_the_same_text(run):
    run("apply", FULL)
    text = run("export")
    for model in (Step, Campaign, Gate, ScoringRule, Topic, Reason):
        model.objects.all().delete()
    Workspace.objects.all().delete()

    run("apply", text)

    assert run("export") == text


def test_a_published_playbook_exports_the_same_too(run):
    run("apply", FULL, "--publish")

    assert yaml.safe_load(run("export")) == yaml.safe_load(FULL)


def test_json_is_read_as_well(run):
    run("apply", json.dumps(yaml.safe_load(FULL), indent="\t"))

    assert yaml.safe_load(run("export")) == yaml.safe_load(FULL)


def test_export_writes_a_file_with_keys_in_an_order_people_expect(run, tmp_path):
    run("apply", FULL)

    run("export", None, str(tmp_path / "out.yaml"))

    text = (tmp_path / "out.yaml").read_text()
    assert text.index("version:") < text.index("stages:") < text.index("gates:") < text.index("campaigns:")
    assert "  - key: hot\n    from: mql\n    to: sql\n" in text


def test_a_section_left_out_stays_as_it_is(run):
    run("apply", FULL)

    run("apply", "version: 1\ntopics: [{key: newsletter, name: News}, {key: beta, name: Beta}]\n")

    after = yaml.safe_load(run("export"))
    assert after["topics"] == [{"key": "newsletter", "name": "News"}, {"key": "beta", "name": "Beta"}]
    assert {**after, "topics": None} == {**yaml.safe_load(FULL), "topics": None}


def test_what_the_file_leaves_out_and_a_fresh_database_has_is_left_out_of_the_export(run):
    small = {"version": 1, "topics": [{"key": "beta", "name": "Beta"}], "gates": []}

    run("apply", json.dumps(small))

    assert yaml.safe_load(run("export")) == small


def test_a_section_in_the_file_replaces_that_section_whole(run):
    run("apply", FULL)

    run("apply", "version: 1\nscoring: {rules: [{key: new, event: SIGNED_UP, points: 1}]}\n")

    assert yaml.safe_load(run("export"))["scoring"] == {"rules": [{"key": "new", "event": "SIGNED_UP", "points": 1}]}


def test_text_that_looks_like_something_else_comes_back_as_text(run):
    odd = [
        "no",
        "1e3",
        "10:30",
        "~",
        "0o17",
        "true",
        "a: b",
        "- x",
        " lead",
        "#x",
        "line\nbreak",
        "\u2028",
        "{{ x }}",
        "=",
        "2026-01-01",
        "é😀",
    ]
    rules = [
        {"key": f"r{n}", "event": "X", "points": n, "when": [{"field": "event.x", "op": "is", "value": text}]} for n, text in enumerate(odd)
    ]

    run("apply", json.dumps({"version": 1, "scoring": {"rules": rules}}))

    assert yaml_lines.read(run("export")).value["scoring"]["rules"] == rules


# --- publishing ---------------------------------------------------------------------------------


def test_apply_changes_the_draft_only(run):
    out = run("apply", FULL)

    assert "Applied to the draft" in out
    assert ScoringVersion.live() is None
    assert Campaign.objects.get(key="WELCOME").status == "draft"


def test_apply_with_publish_publishes_scoring_and_campaigns(run):
    run("apply", FULL, "--publish")

    assert ScoringVersion.live().number == 1
    assert ScoringVersion.live().document["scoring"]["rules"][1]["points"] == 10
    assert {c.key: (c.status, c.live.number) for c in Campaign.objects.all()} == {"WELCOME": ("active", 1), "API_BASICS": ("paused", 1)}


def test_publishing_the_same_again_makes_no_new_version(run):
    run("apply", FULL, "--publish")
    run("apply", FULL, "--publish")

    assert ScoringVersion.objects.count() == 1
    assert CampaignVersion.objects.count() == 2


def test_only_what_changed_gets_a_new_version(run):
    run("apply", FULL, "--publish")
    run("apply", FULL.replace("Read both API mails", "Read them"), "--publish")

    assert ScoringVersion.objects.count() == 1
    assert Campaign.objects.get(key="WELCOME").live.number == 2
    assert Campaign.objects.get(key="API_BASICS").live.number == 1


def test_one_is_not_true_and_a_change_between_them_is_a_change(run):
    run("apply", FULL, "--publish")
    run("apply", FULL.replace("value: true", "value: 1"), "--publish")

    assert ScoringVersion.objects.count() == 2
    assert Gate.objects.get(key="back").conditions[1]["value"] == 1


def test_a_removed_campaign_is_archived_and_its_runs_stay(run):
    run("apply", FULL, "--publish")
    campaign = Campaign.objects.get(key="API_BASICS")
    lead = make_lead()
    Enrollment.objects.create(
        campaign=campaign, version=campaign.live, lead=lead, first_lead=lead, cause="manual:1", cause_at=lead.created_at
    )
    without = FULL[: FULL.index("  - key: API_BASICS")]

    run("apply", without)

    campaign.refresh_from_db()
    assert campaign.status == "archived"
    assert campaign.enrollments.count() == 1 and campaign.versions.count() == 1
    assert [c["key"] for c in yaml.safe_load(run("export"))["campaigns"]] == ["WELCOME"]


def test_an_archived_campaign_that_comes_back_waits_for_publishing(run):
    run("apply", FULL.replace("    status: paused\n", ""), "--publish")
    run("apply", FULL[: FULL.index("  - key: API_BASICS")])

    run("apply", FULL.replace("    status: paused\n", ""))
    assert Campaign.objects.get(key="API_BASICS").status == "draft"

    run("apply", FULL.replace("    status: paused\n", ""), "--publish")
    assert Campaign.objects.get(key="API_BASICS").status == "active"
    assert Campaign.objects.get(key="API_BASICS").live.number == 1


def test_pausing_by_file_pauses_at_once(run):
    run("apply", FULL, "--publish")

    run("apply", FULL.replace("    reentry: once\n", "    reentry: once\n    status: paused\n"))

    assert Campaign.objects.get(key="WELCOME").status == "paused"


def test_rescore_without_publish_is_refused(run):
    with pytest.raises(CommandError, match="--rescore goes with --publish"):
        run("apply", FULL, "--rescore")

    assert not Gate.objects.exists()


def test_apply_publish_rescore_scores_the_past_too(run):
    said = run("apply", FULL, "--publish", "--rescore")

    assert "The past is scored by it too" in said
    assert [(job.version.number, job.history, job.tell) for job in Rescore.objects.all()] == [(1, True, False)]
    assert ScoringVersion.live().rescored


def test_apply_publish_looks_at_everybody_and_leaves_the_past_alone(run):
    assert "The past" not in run("apply", FULL, "--publish")
    assert [(job.version.number, job.history) for job in Rescore.objects.all()] == [(1, False)]


# --- the mass-move fuse -------------------------------------------------------------------------


class Terminal(StringIO):
    """Somebody who sits at a terminal and types this."""

    def isatty(self):
        return True


@pytest.fixture
def crowd(run):
    """A live playbook, four leads it leaves where they are, and a fuse that blows at the fourth."""
    run("apply", FULL, "--publish")
    for _ in range(4):
        make_event(lead=make_lead(), type="SIGNED_UP", model_version=ScoringVersion.live())
    tasks.advance_rescores()
    Workspace.objects.update(move_fuse=3)


FROM_COLD = FULL.replace("{key: hot, from: mql", "{key: hot, name: Hot, from: cold")
MOVING = FROM_COLD.replace("DEMO_REQUESTED}]", "SIGNED_UP}]")
QUESTION = "Publishing this would move 4 leads at once: 4 to Sales qualified (4 through Hot). It asks because that is more than 3."


def test_where_nobody_can_be_asked_a_publication_that_moves_many_is_refused_and_changes_nothing(run, crowd, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("yes\n"))
    before = everything()

    with pytest.raises(CommandError) as refused:
        run("apply", MOVING, "--publish")

    assert str(refused.value) == f"{QUESTION} Nothing was changed. If they are to move, add --move-anyway."
    assert refused.value.returncode
    assert everything() == before
    assert not Lead.objects.exclude(stage="cold").exists()


def test_move_anyway_moves_them(run, crowd, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO())

    said = run("apply", MOVING, "--publish", "--move-anyway")
    tasks.advance_rescores()

    assert "Version 2 is live" in said
    assert Lead.objects.filter(stage="sql").count() == 4


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_at_a_terminal_it_asks_and_whoever_does_not_say_yes_changes_nothing(run, crowd, monkeypatch, answer):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    before = everything()

    with pytest.raises(CommandError, match=r"^Nothing was changed\.$"):
        run("apply", MOVING, "--publish")

    assert everything() == before


def test_at_a_terminal_whoever_says_yes_is_obeyed(run, crowd, monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))

    said = run("apply", MOVING, "--publish")
    tasks.advance_rescores()

    assert QUESTION in said
    assert "Version 2 is live" in said
    assert Lead.objects.filter(stage="sql").count() == 4


def test_a_draft_that_changed_while_somebody_was_asked_is_not_published(run, crowd, monkeypatch):
    only_scoring = "version: 1\n" + FULL[FULL.index("scoring:") : FULL.index("gates:")].replace("points: 10", "points: 11")
    Gate.objects.filter(key="hot").update(conditions=[{"event": "SIGNED_UP"}])
    Gate.objects.get(key="hot").from_stages.set([Stage.objects.get(key="cold")])

    class Slow(Terminal):
        def readline(self, *args):
            Gate.objects.filter(key="hot").update(to="won")
            return super().readline(*args)

    monkeypatch.setattr("sys.stdin", Slow("yes\n"))

    with pytest.raises(CommandError, match="The draft has changed since you looked at it"):
        run("apply", only_scoring, "--publish")

    assert ScoringVersion.objects.count() == 1


def test_what_the_past_moves_is_counted_with_rescore(run, crowd, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO())
    points = FROM_COLD.replace("event: VIEWED_PRICING, points: 10", "event: SIGNED_UP, points: 90")

    with pytest.raises(CommandError, match="would move 4 leads at once"):
        run("apply", points, "--publish", "--rescore")
    run("apply", points, "--publish")

    assert ScoringVersion.live().number == 2


def test_a_publication_that_moves_few_does_not_ask(run, crowd, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO())
    Workspace.objects.update(move_fuse=4)

    assert "Version 2 is live" in run("apply", MOVING, "--publish")


def test_a_gate_into_a_stage_that_comes_with_the_file_is_counted(run, crowd, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO())
    tried = "  - {key: tried, name: Trying it}\n  - {key: sql,"
    new = MOVING.replace("  - {key: sql,", tried).replace("from: cold, to: sql", "from: cold, to: tried")

    with pytest.raises(CommandError, match=r"4 leads at once: 4 to tried \(4 through Hot\)"):
        run("apply", new, "--publish")

    assert not Stage.objects.filter(key="tried").exists()


def test_what_is_live_already_is_applied_again_without_counting_anybody(run, crowd, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO())
    run("apply", MOVING, "--publish", "--move-anyway")

    assert "The draft says all of it already." in run("apply", MOVING, "--publish")


def test_plan_tells_how_many_would_move_and_changes_nothing(run, crowd):
    before = everything()

    assert f"{QUESTION} apply --publish asks first." in " ".join(run("plan", MOVING).split())
    assert everything() == before


def test_plan_tells_what_keeps_the_draft_from_being_published(run, crowd):
    only_scoring = "version: 1\n" + FULL[FULL.index("scoring:") : FULL.index("gates:")].replace("points: 10", "points: 11")
    Gate.objects.filter(key="hot").update(conditions=[{"scroe": 1}])

    said = run("plan", only_scoring)

    assert "~ scoring.rules[viewed-pricing].points: 10 → 11" in said
    assert "Publishing this would be refused:\ngates[0].conditions[0].scroe: 'scroe' is no condition" in said


def test_move_anyway_without_publish_is_refused(run):
    with pytest.raises(CommandError, match="--move-anyway goes with --publish"):
        run("apply", FULL, "--move-anyway")


# --- bad files ----------------------------------------------------------------------------------

TYPO = """\
version: 1
gates:
  - key: hot
    from: mql
    to: sql
    conditions:
      - {event: DEMO_REQUESTED}
      - scroe: {at_least: 80}
"""


def test_a_typo_names_line_key_and_cure(run):
    with pytest.raises(CommandError, match=r"line 8, gates\[0\]\.conditions\[1\]\.scroe: 'scroe' is no condition; did you mean score\?"):
        run("check", TYPO)


def test_a_bad_file_changes_nothing(run):
    run("apply", FULL, "--publish")
    before = everything()

    with pytest.raises(CommandError, match="Nothing was changed"):
        run("apply", FULL.replace("points: 10", "points: 11").replace("op: has_word", "op: has_wrod"), "--publish", "--overwrite")

    assert everything() == before


def test_all_mistakes_are_told_at_once():
    bad = (
        FULL.replace("points: 10", "points: ten")
        .replace("to: sql", "to: sqll")
        .replace("topic: newsletter", "topic: newsleter")
        .replace("after: 10m", "after: 10 minutes")
        .replace("sla: 4h", "slaa: 4h")
        .replace("Europe/Paris", "Europe/Pariss")
    )

    said = problems(bad)

    assert len(said) == 5  # the topic of a campaign that cannot be read is not looked at
    assert said[0] == "line 6, stages[2].slaa: unknown key; did you mean sla?"
    assert "scoring.rules[0].points: 'ten' is not a whole number from -10000 to 10000" in said[1]
    assert "line 21, gates[0].to: there is no stage 'sqll'; did you mean sql?" in said
    assert any("campaigns[0].steps[0].after: '10 minutes' is not a duration such as 30s" in line for line in said)
    assert any("campaigns[1].trigger.timezone: 'Europe/Pariss' is not a time zone" in line for line in said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("version: 1", "version: 2"), "line 1, version: 2 is not 1"),
        (("version: 1\n", ""), "version is missing"),
        (("Europe/Berlin", "Europe/Bärlin"), "line 2, timezone: 'Europe/Bärlin' is not a time zone"),
        (("gates:", "gate:"), "gate: unknown key; did you mean gates?"),
        (("{key: mql, name: Marketing qualified}", "{key: cold, name: Again}"), "line 5, stages[1].key: cold is there already"),
        (("kind: won", "kind: wonn"), "stages[3].kind: 'wonn' is not open or won or lost; did you mean won?"),
        (("{key: cold, name: Cold}", "{key: new, name: New}"), "the first stage must be cold"),
        (("to: mql}]", "to: mqll}]"), "line 9, reasons[0].to: there is no stage 'mqll'"),
        (("to: mql}]", "to: ''}]"), "line 9, reasons[0].to: there is no stage ''"),
        (("name: No budget", "name: ''"), "line 9, reasons[0].name: '' is not text of 1 to 120 characters"),
        (("08:00-18:00", "18:00-18:00"), "sending.window: '18:00-18:00' are not hours"),
        (("days: mon-fri", "days: mon-fry"), "'mon-fry' is not a day"),
        (("per: day", "per: day, days: 3"), "scoring.rules[0].limit: a limit needs exactly one of per and days"),
        (("times: 3, per: day", "times: 3"), "scoring.rules[0].limit: a limit needs exactly one of per and days"),
        (("per: day", "per: dya"), "'dya' is not day or week or month"),
        (("key: asked-for-demo", "key: viewed-pricing"), "scoring.rules[1].key: viewed-pricing is there already"),
        (("floor: 0", "floor: 400"), "floor 400 lies above stop_above 300"),
        (("as: VIEWED_PRICING", "as: EMAIL_CLICKED"), "EMAIL_CLICKED cannot be a derived type"),
        (("as: VIEWED_PRICING", "as: viewed pricing"), "'viewed pricing' is not an event type such as VIEWED_PRICING"),
        (("when: [{field: lead.title, op: has_word, value: CTO}]", "when: []"), "a fit rule without conditions"),
        (("field: lead.title", "field: event.title"), "scoring.fit[0].when[0].field"),
        (("from: mql, to: sql", "from: sql, to: sql"), "leads from sql to sql"),
        (("[{score: {at_least: 80}}, {event: DEMO_REQUESTED}]", "[]"), "a gate without conditions"),
        (("{event: CAME_BACK}", "{event: CAME_BACK, of: firm}"), "of is lead or company, not 'firm'"),
        (("key: cto", "key: viewed-pricing"), "viewed-pricing is the key of one of the rules too; choose another"),
        (("points: 10", "points: 10, reset: engagement"), "a rule either gives points or resets"),
        (
            ("  fit:\n", "  idle: [{key: idle, after: 5m, points: -1}]\n  fit:\n"),
            "5m is too short to be called idle",
        ),
        (("  fit:\n", "  exclude: [{field: lead.mail, op: exists}]\n  fit:\n"), "scoring.exclude[0].field"),
        (("trigger: {event: DOWNLOADED_API_DOCS,", "trigger: {stage: sql, event: X,"), "a trigger is exactly one of"),
        (("0 10 * * tue", "0 25 * * tue"), "campaigns[1].trigger.schedule: '0 25 * * tue' is not a schedule"),
        (("    topic: newsletter\n", ""), "campaigns[0]: a marketing campaign needs a topic"),
        (("topic: newsletter", "topic: newsleter"), "line 27, campaigns[0].topic: there is no topic 'newsleter'; did you mean newsletter?"),
        (("reentry: once", "reentry: onec"), "'onec' is not once or always or a mapping; did you mean once?"),
        (("reentry: once", "reentry: {after: 1d, key: event.x}"), "reentry: needs exactly one of after and key"),
        (("reentry: {after: 30d}", "reentry: {key: event.x}"), "only a campaign triggered by an event"),
        (("key: limits", "key: welcome"), "campaigns[0].steps[1].key: welcome is there already"),
        (('notify: {text: "Read both API mails"}', "after: 1d"), "steps[2]: a step does exactly one of message, notify, exit"),
        (("value: [sql, won]", "value: [sqll, won]"), "campaigns[0].goal[0].value: there is no stage 'sqll'"),
        (("{campaign: {trigger: event}, status: active}", "{campaign: WELCOM}"), "there is no campaign 'WELCOM'; did you mean WELCOME?"),
        (
            ("lead.name | default: 'you'", "laed.name"),
            "campaigns[0].steps[0].message.subject: on its line 1: there is no variable laed.name",
        ),
        (("name: Basics", "name: Basics\n    name: Again"), "line 38, campaigns[1].name: stands here a second time (first on line 37)"),
        (("name: Basics", "name: Basics, and more: all"), "a second ': ' on one line; put the text in quotes"),
        (("name: Cold}", "name: Cold, not warm}"), "put a text that has a comma in it in quotes"),
        (("topics: [", "topics: &t ["), "the anchor &t is not supported"),
        (("name: Basics", "name: !!python/object:os.system x"), "is not supported; remove it"),
        (("\n  - {key: cold", "\n\t- {key: cold"), "line 4: a tab; indent with spaces"),
        (("name: Basics", f"name: {'x' * 121}"), "text of at most 120 characters"),
        (("topics: [{key: newsletter, name: Best practices}]", "topics:"), "line 10, topics: nothing stands here"),
        (("stages:\n", "stages: cold\nx:\n"), "line 3, stages: 'cold' is not a list"),
    ],
)
def test_a_mistake_names_place_and_cure(change, said):
    assert change[0] in FULL

    found = problems(FULL.replace(*change, 1))

    assert any(said in line for line in found), found


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("      - {key: limits,", "      - {key: answered, wait_until: {event: EMAIL_CLICKED}, timeout: 3d}\n"),
        ("      - {key: limits,", "      - {key: call, task: {title: Call}}\n"),
        ("      - {key: limits,", "      - {key: hook, webhook: {url: x}}\n"),
        ("      - {key: limits,", "      - {key: set, update: {title: x}}\n"),
        ("      - {key: limits,", "      - {key: other, enroll: API_BASICS}\n"),
    ],
)
def test_what_is_not_built_yet_is_refused_by_name(where, what):
    line = FULL[: FULL.index(where)].count("\n") + 1

    said = problems(FULL.replace(where, what + where))

    assert said and all(f"line {line}," in each and "not built yet" in each for each in said), said


def test_triggers_that_are_not_built_yet_are_refused_by_name():
    said = problems(
        FULL.replace("{event: DOWNLOADED_API_DOCS, when: [{field: event.pages, op: gte, value: 2}], max_age: 1d}", "{audience: []}")
    )

    assert said == [
        "line 28, campaigns[0].trigger.audience: not built yet: a trigger on beginning to match an audience; "
        "use event, stage or schedule with the campaign's audience"
    ]


@pytest.mark.parametrize(
    "text", ["", "- a", "x", "[" * 5000, "a: " + "9" * 400, "a: \x01", "---\na: 1\n---\nb: 1", '{"a": "\\ud800"}', "? [a]\n: b", "a: 'x"]
)
def test_anything_else_is_refused_with_a_sentence(run, text):
    with pytest.raises(CommandError):
        run("apply", text)


def test_a_file_that_is_not_there_or_not_text(run, tmp_path):
    with pytest.raises(CommandError, match="can't be read"):
        run("check", None, str(tmp_path / "none.yaml"))
    (tmp_path / "latin.yaml").write_bytes("version: 1\ntimezone: Zürich".encode("latin-1"))
    with pytest.raises(CommandError, match="line 2: not UTF-8"):
        run("check", None, str(tmp_path / "latin.yaml"))


# --- what must stay -----------------------------------------------------------------------------


def without_stage(key):
    lines = [line for line in FULL[: FULL.index("reasons:")].splitlines() if f"key: {key}," not in line]
    return "\n".join(lines) + "\n"


def test_a_stage_that_leads_stand_in_stays(run):
    make_lead(stage_id="lost")
    before = everything()

    with pytest.raises(CommandError, match=r"line 3, stages: lost is missing here, but leads stand in it \(1\); move them"):
        run("apply", without_stage("lost"))

    assert everything() == before


def test_an_unused_stage_goes(run):
    run("apply", without_stage("lost"))

    assert not Stage.objects.filter(key="lost").exists()


def test_a_stage_that_gates_outside_the_file_name_stays(run):
    run("apply", FULL)

    with pytest.raises(CommandError, match=r"gates\[0\].to: there is no stage 'sql'.*This stands in the draft, not in the file"):
        run("apply", without_stage("sql"))


def test_a_topic_with_consents_stays(run):
    run("apply", FULL)
    from leads.models import Consent, ContactPoint

    point = ContactPoint.objects.create(address_hash="0" * 64)
    Consent.objects.create(contact_point=point, topic=Topic.objects.get(), status="granted", source="test")

    with pytest.raises(CommandError, match=r"newsletter is missing here, but consents name it \(1\)"):
        run("apply", "version: 1\ntopics: []\ncampaigns: []\n")


# --- people's edits -----------------------------------------------------------------------------


@pytest.fixture
def edited(run):
    run("apply", FULL)
    ada = User.objects.create_user("ada", first_name="Ada", last_name="Lovelace")
    rule = ScoringRule.objects.get(key="viewed-pricing")
    rule.points, rule.edited_by, rule.edited_at = 12, ada, timezone.now()
    rule.save()
    step = Step.objects.get(key="welcome")
    step.after, step.edited_by, step.edited_at = "1h", ada, timezone.now()
    step.save()
    Gate.objects.get(key="back").delete()


def test_apply_stops_for_what_people_have_edited_and_names_them(run, edited):
    before = everything()

    with pytest.raises(CommandError) as stopped:
        run("apply", FULL.replace("Best practices", "News"))

    said = str(stopped.value)
    assert "~ scoring.rules[viewed-pricing].points: 10 → 12 (by Ada Lovelace, " in said
    assert "~ campaigns[WELCOME].steps[welcome].after: 10m → 1h (by Ada Lovelace, " in said
    assert "- gates[back] (by somebody)" in said
    assert "--overwrite" in said
    assert everything() == before


def test_overwrite_goes_over_edits(run, edited):
    run("apply", FULL, "--overwrite")

    assert yaml.safe_load(run("export")) == yaml.safe_load(FULL)


def test_after_an_export_the_edits_are_known(run, edited):
    run("export")

    run("apply", FULL)

    assert ScoringRule.objects.get(key="viewed-pricing").points == 10


def test_edits_in_a_section_the_file_leaves_out_are_no_obstacle(run, edited):
    run("apply", "version: 1\ntopics: [{key: newsletter, name: News}]\n")

    assert ScoringRule.objects.get(key="viewed-pricing").points == 12


def test_edits_that_the_file_says_too_are_no_obstacle(run, edited):
    back = "  - {key: back,"
    gone = FULL.replace(FULL[FULL.index(back) : FULL.index("campaigns:")], "")

    run("apply", gone.replace("points: 10", "points: 12").replace("after: 10m", "after: 1h"))


def test_a_draft_made_by_hand_on_a_fresh_database_counts_as_edited(run):
    ScoringRule.objects.create(key="mine", event="X", points=1)

    with pytest.raises(CommandError, match=r"\+ scoring.rules\[mine\] \(by somebody"):
        run("apply", FULL)


def test_export_works_whatever_people_have_typed(run, edited):
    ScoringRule.objects.filter(key="viewed-pricing").update(expires_after="soon", limit_days=4, when={"x": 1})
    Campaign.objects.update(trigger={"evnt": "X"}, window={"hours": 5})

    assert "expires_after: soon" in run("export")


# --- plan ---------------------------------------------------------------------------------------


def test_plan_shows_what_changes_in_the_draft_and_in_what_runs(run):
    run("apply", FULL, "--publish")
    run("apply", FULL.replace("points: 10", "points: 12"))
    new = (
        FULL.replace("points: 10", "points: 14")
        .replace("One\\n", "Uno\\n")
        .replace("name: Best practices", "name: News")
        .replace("  - {key: back, from: [won, lost], to: mql", "  - {key: again, from: lost, to: mql")
    )

    said = run("plan", new)

    draft, live = said.split("Against live")
    assert "Version 1" in live
    assert "~ scoring.rules[viewed-pricing].points: 12 → 14" in draft
    assert "~ scoring.rules[viewed-pricing].points: 10 → 14" in live
    for part in (draft, live):
        assert "+ gates[again]\n      key: again\n" in part
        assert "- gates[back]" in part
        assert "~ campaigns[WELCOME].steps[welcome].message.body" in part and "-One" in part and "+Uno" in part
    assert "~ topics[newsletter].name: Best practices → News" in draft


def test_plan_of_an_applied_file_shows_no_difference(run):
    run("apply", FULL, "--publish")

    assert run("plan", FULL) == "Against the draft:\n  no difference\n\nAgainst live (scoring Version 1):\n  no difference\n"


def test_plan_tells_whose_edits_would_be_lost_and_changes_nothing(run, edited):
    before = everything()

    assert "(by Ada Lovelace, " in run("plan", FULL)
    assert everything() == before


def test_plan_shows_a_new_order_of_stages(run):
    run("apply", FULL)
    won, lost = "  - {key: won, name: Closed won, kind: won}\n", "  - {key: lost, name: Closed lost, kind: lost}\n"

    assert "~ stages: order cold, mql, sql, won, lost → cold, mql, sql, lost, won" in run("plan", FULL.replace(won + lost, lost + won))


def test_a_type_nobody_has_sent_is_a_warning_with_its_line(tmp_path):
    file = tmp_path / "odd.yaml"
    file.write_text(
        "version: 1\nscoring:\n  rules:\n    - {key: a, event: VIEWD_PRICING, points: 1}\n    - {key: b, event: SIGNED_UP, points: 1}\n"
    )

    told = {}
    for verb in ("check", "plan"):
        out, err = StringIO(), StringIO()
        call_command("playbook", verb, str(file), stdout=out, stderr=err)
        told[verb] = (out.getvalue(), err.getvalue())

    assert "is fine" in told["check"][0]
    assert told["check"][1] == told["plan"][1]
    assert "Warning: line 4, scoring.rules[0].event: VIEWD_PRICING was never seen. Did you mean VIEWED_PRICING?" in told["check"][1]
    assert told["check"][1].count("Warning") == 1
