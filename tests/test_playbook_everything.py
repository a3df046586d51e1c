"""One playbook with every feature of scoring, stages and conditions: out and in again, and out again, the same to the letter."""

from io import StringIO

import pytest
import yaml
from django.apps import apps
from django.core.management import call_command

from leads.models import Delivery, Lead, ScoringVersion, Workspace
from tests.factories import make_source
from tests.test_intake import broken, post, said

pytestmark = pytest.mark.django_db

EVERYTHING = """\
version: 1
timezone: Europe/Berlin
stages:
  - {key: cold, name: Cold}
  - {key: mql, name: Marketing qualified}
  - {key: trial, name: In trial, sla: 2d}
  - {key: sql, name: Sales qualified, sla: 4h}
  - {key: won, name: Closed won, kind: won}
  - {key: lost, name: Closed lost, kind: lost}
reasons:
  - {key: no-budget, name: No budget, recycle_after: 90d, to: mql}
  - {key: not-a-fit, name: Not a fit, for: reject}
  - {key: later, name: Later, for: reject, recycle_after: 60d, to: cold}
  - {key: changed-mind, name: Changed their mind, for: reopen}
topics: [{key: newsletter, name: Best practices, description: Once a week}]
sending: {window: {days: mon-fri, hours: "08:00-18:00"}, cap: {day: 1, week: 3}}
scoring:
  derive:
    - {from: PAGE_VIEWED, when: [{field: event.path, op: is, value: /pricing}], as: VIEWED_PRICING}
    - {from: PAGE_VIEWED, when: [{field: event.path, op: matches, value: /docs/*}], as: READ_DOCS}
  limits: {fit_max: 40, fit_min: -20, engagement_max: 250, stop_above: 300, floor: 0}
  rules:
    - {key: per-day, event: READ_DOCS, points: 1, limit: {times: 3, per: day}}
    - {key: per-week, event: VIEWED_PRICING, points: 2, limit: {times: 3, per: week}, expires_after: 2w}
    - {key: per-month, event: A, points: 3, limit: {times: 3, per: month}, expires_after: 12h}
    - {key: per-quarter, event: B, points: 4, limit: {times: 3, per: quarter}}
    - {key: per-half-year, event: C, points: 5, limit: {times: 3, per: half-year}}
    - {key: per-year, event: D, points: 6, limit: {times: 3, per: year}}
    - {key: once, event: E, points: 7, limit: {times: 1, per: ever}}
    - {key: ten-days, event: F, points: -8, limit: {times: 2, days: 10}}
    - {key: left, name: Left, event: ACCOUNT_CLOSED, reset: engagement}
    - key: picky
      event: G
      points: 9
      when:
        - {field: event.total, op: gt, value: 10}
        - {field: event.total, op: between, value: [10, 20.5]}
        - {field: lead.score, op: lte, value: 100}
        - any:
            - {field: event.plan, op: in, value: [team, business]}
            - all: [{field: event.trial, op: is, value: true}, {not: {field: event.plan, op: exists}}]
        - {field: company.seats, op: gte, value: 5}
  fit:
    - {key: cto, name: Technical leader, when: [{field: lead.title, op: has_word, value: CTO}], points: 15}
    - key: student
      points: -20
      when: [{any: [{field: lead.email, op: ends_with, value: .edu}, {field: lead.traits.student, op: is, value: true}]}]
    - {key: nobody, when: [{field: lead.title, op: missing}, {field: lead.name, op: not_contains, value: test}], points: 1}
  idle:
    - {key: idle-30, name: Quiet for a month, after: 30d, every: 30d, points: -10}
    - {key: gone, after: 26w, points: -50}
  exclude:
    - any: [{field: lead.email, op: ends_with, value: "@leadstate.example"}, {field: company.domain, op: in, value: [rival.example]}]
gates:
  - {key: interested, from: cold, to: mql, conditions: [{event: A}, {event: DEMO_REQUESTED}]}
  - key: hot
    name: Ready for sales
    from: [mql, trial]
    to: sql
    conditions:
      - {score: {at_least: 80}}
      - {engagement: {at_least: 70}}
      - {event: VIEWED_PRICING, times: {at_least: 3}, within: 7d, every: 30m}
      - {event: CHECKED_OUT, when: [{field: event.total, op: gte, value: 1000}]}
      - {not: {field: lead.fit, op: lt, value: 40}}
  - {key: trying, from: mql, to: trial, match: all, conditions: [{event: TRIAL_STARTED}, {event: TRIAL_ENDED, times: {exactly: 0}}]}
  - key: signed
    from: sql
    to: won
    match: all
    conditions: [{event: CONTRACT_SIGNED, of: company}, {event: PAYMENT_SUCCEEDED, of: company}]
  - {key: stale, from: trial, to: lost, match: all, conditions: [{in_stage_for: 30d}, {event: READ_DOCS, times: {at_most: 2}, within: 2w}]}
  - {key: quiet, from: mql, to: cold, conditions: [{idle_for: 90d}]}
campaigns:
  - key: COMEBACK
    name: Come back
    class: product
    trigger: {stage: cold}
    reentry: {after: 30d}
    audience:
      - {idle_for: 30d}
      - {in_stage_for: 1d}
      - {fit: {at_least: 10}}
      - {event: PAYMENT_SUCCEEDED, of: company, times: {at_most: 0}}
      - {not: {campaign: COMEBACK, status: ever}}
    steps:
      - {key: hello, when: [{event: LOGGED_IN, times: {at_most: 0}, since: ever}], message: {subject: Hello, body: Come back.}}
      - {key: end, exit: {why: enough}}
"""


def playbook(verb, *options):
    out = StringIO()
    call_command("playbook", verb, *options, stdout=out)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_everything_goes_out_and_in_and_out_the_same(tmp_path):
    file, again = tmp_path / "everything.yaml", tmp_path / "again.yaml"
    file.write_text(EVERYTHING)
    playbook("apply", str(file), "--publish")
    first = playbook("export")
    assert yaml.safe_load(first) == yaml.safe_load(EVERYTHING)
    version = ScoringVersion.live().document

    call_command("flush", interactive=False, verbosity=0)
    restore_shipped_rows()
    again.write_text(first)
    playbook("apply", str(again), "--publish")

    assert playbook("export") == first
    assert ScoringVersion.live().document == version
    assert Workspace.current().timezone == "Europe/Berlin"


def restore_shipped_rows():
    """What a fresh database has after its migrations."""
    import importlib

    importlib.import_module("leads.migrations.0002_shipped_rows").create_rows(apps, None)
    importlib.import_module("leads.migrations.0003_group_permissions").grant(apps, None)


def test_everything_runs(tmp_path):
    file = tmp_path / "everything.yaml"
    file.write_text(EVERYTHING)
    playbook("apply", str(file), "--publish")
    product, _ = make_source()
    types = [*"ABCDEFG", "ACCOUNT_CLOSED", "DEMO_REQUESTED", "TRIAL_STARTED", "CONTRACT_SIGNED", "PAYMENT_SUCCEEDED", "VIEWED_PRICING"]

    messages = [said(kind, user=f"u{n % 3}", email=f"u{n % 3}@acme.example", traits={"title": "CTO"}) for n in range(2) for kind in types]
    delivery = post(product, *messages)

    assert delivery.state == Delivery.State.PROCESSED
    assert Lead.objects.filter(score__gt=0).exists()
    assert broken() == {}
