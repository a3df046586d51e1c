"""What-if: it foretells exactly what publishing with re-score brings, changes nothing, goes on after a kill, and can be stopped."""

import io
import json
import re
from datetime import timedelta

import pytest
import time_machine
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm import sweep
from leads import gates, publishing, scoring, tasks, whatif
from leads.models import Gate, Lead, Stage, WhatIf
from leads.replay import Replay, draft_to_try
from leads.whatif_result import dump, load
from tests.factories import make_event, make_lead, make_rep
from tests.histories import DRAFTS, left_by_the_killed, live_through, model, publish_with_rescore, standing, write_draft
from tests.test_scoring_page import make_marketer, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def marketer(client):
    user = make_marketer(first_name="Mia", last_name="Marketer")
    client.force_login(user)
    return user


@pytest.fixture(autouse=True)
def now():
    """Nothing happens between foretelling and looking."""
    with time_machine.travel("2026-03-02T12:00:00Z", tick=False):
        yield timezone.now()


def ask(*, days=30):
    """A finished what-if of the draft."""
    what_if = whatif.start(draft_to_try(), days=days)
    tasks.run_what_ifs()
    what_if.refresh_from_db()
    return what_if


def published(document=None):
    """A live model, and everybody looked at under it."""
    write_draft(document or model())
    version = publishing.publish()
    tasks.advance_rescores()
    return version


def make_person(*events, version, days_ago=1, **fields):
    """A known lead who did these things, one each hour, scored."""
    lead = make_lead(**fields)
    begins = timezone.now() - timedelta(days=days_ago)
    for n, kind in enumerate(events):
        make_event(lead=lead, type=kind, at=begins + timedelta(hours=n), model_version=version)
    scoring.refold([lead.pk], now=timezone.now())
    lead.refresh_from_db()
    return lead


# --- what it says


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("draft", DRAFTS)
def test_what_was_foretold_is_what_publishing_with_re_score_brings(draft, seed):
    live_through(seed)
    write_draft(DRAFTS[draft])
    before = standing()

    tally = load(ask().result)
    publish_with_rescore()

    after = standing()
    known = set(Lead.objects.known().values_list("pk", flat=True))
    differ = {pk for pk in known if before[pk] != after[pk]}
    assert {each.lead for each in tally.shown} == differ
    for each in tally.shown:
        assert (each.score[0], each.stage[0]) == before[each.lead]
        assert (each.score[1], each.stage[1]) == after[each.lead]
    assert tally.changed == sum(before[pk][0] != after[pk][0] for pk in known)
    assert tally.moved == sum(before[pk][1] != after[pk][1] for pk in known)
    assert sum(tally.after.values()) == tally.known == len(known)


def test_the_lines_that_differ_add_up_to_the_difference():
    live_through(1)
    write_draft(DRAFTS["points"])

    tally = load(ask().result)

    assert tally.shown
    for each in tally.shown:
        gained = sum(line.after - line.before for line in each.lines) + each.more_points[1] - each.more_points[0]
        assert gained == each.score[1] - each.score[0]


def test_without_a_change_of_the_draft_nothing_differs():
    version = published()
    make_person("A", "B", "B", version=version)

    tally = load(ask().result)

    assert (tally.known, tally.differ, tally.shown) == (1, 0, [])
    assert tally.weeks_live == tally.weeks_tried != {}


def test_the_last_days_are_replayed_with_moves_by_hand_and_without_those_of_gates():
    rep, version = make_rep(), published()
    warm = make_person("A", version=version, days_ago=10)
    with time_machine.travel(timezone.now() - timedelta(days=5), tick=False):
        gates.move_by_hand(warm, Stage.objects.get(key="cold"), by_user=rep)
    make_event(lead=warm, type="B", at=timezone.now() - timedelta(days=2), model_version=version)
    scoring.refold([warm.pk], now=timezone.now())
    write_draft(model(gates=[{"key": "docs", "from": ["cold", "mql"], "to": "sql", "conditions": [{"event": "B"}]}]))

    tally = load(ask(days=14).result)

    # Ten days ago a view made it MQL under live; under the draft only the docs count, two days ago.
    assert tally.weeks_live == {"1": {"cold>mql": 1}}
    assert tally.weeks_tried == {"0": {"cold>sql": 1}}


ONE_RULE = model()
ONE_RULE["scoring"]["rules"][2]["points"] = -40
NO_POINTS = [gate for gate in model()["gates"] if gate["key"] != "hot"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("changed", [ONE_RULE, DRAFTS["points"], DRAFTS["idle and reset"]], ids=["one rule", "rules", "idle"])
@pytest.mark.parametrize("gates_", [None, NO_POINTS], ids=["asking for points", "asking for events only"])
def test_whoever_both_models_move_alike_is_replayed_once(gates_, changed, seed, monkeypatch):
    live_through(seed)
    if gates_:
        published(model(gates=gates_))
    write_draft(changed | ({"gates": gates_} if gates_ else {}))

    once = load(ask().result)
    monkeypatch.setattr(Replay, "moves_alike", lambda *args: False)

    assert load(ask().result) == once


def test_a_gate_that_is_new_opens_at_the_beginning_for_those_who_stand_before_it():
    version = published()
    make_person("A", "A", version=version, days_ago=20)
    write_draft(model(gates=[*model()["gates"], {"key": "easy", "from": "mql", "to": "sql", "conditions": [{"event": "A"}]}]))

    tally = load(ask(days=7).result)

    assert (tally.weeks_live, tally.weeks_tried) == ({}, {"0": {"mql>sql": 1}})


def test_winning_is_set_against_how_early_sales_would_have_known():
    rep, version = make_rep(), published()
    lead = make_person("A", "D", version=version, days_ago=9)
    with time_machine.travel(timezone.now() - timedelta(days=2), tick=False):
        gates.move_by_hand(lead, Stage.objects.get(key="won"), by_user=rep)
    write_draft(DRAFTS["gates"])

    tally = load(ask(days=14).result)

    assert (tally.won.leads, tally.won.live, tally.won.tried) == (1, {}, {"6": 1})
    assert tally.lost.leads == 0


def test_visitors_are_counted_apart():
    version = published()
    visitor = Lead.objects.create()
    make_event(lead=visitor, type="A", identifies=False, model_version=version)
    scoring.refold([visitor.pk], now=timezone.now())
    write_draft(DRAFTS["points"])

    tally = load(ask().result)

    assert (tally.known, tally.visitors, tally.visitors_changed, tally.differ) == (0, 1, 1, 0)


def test_a_first_model_is_compared_with_nothing():
    make_event(lead=make_lead(), type="A", at=timezone.now() - timedelta(days=1))
    write_draft(model())

    tally = load(ask().result)

    assert (tally.number, tally.changed, tally.moves) == (None, 1, {"cold>mql": 1})
    assert (tally.weeks_live, tally.weeks_tried) == ({}, {"0": {"cold>mql": 1}})


# --- how it works


def rows():
    """How many rows every table has, and what all leads say."""
    counts = {each._meta.label: each._base_manager.count() for each in apps.get_models() if each is not WhatIf}
    return counts, list(Lead.objects.order_by("pk").values())


def test_nothing_but_its_own_row_is_written(client, marketer):
    live_through(2)
    write_draft(DRAFTS["idle and reset"])
    before = rows()

    what_if = ask()
    client.get(f"/scoring/whatif/{what_if.uid}/")

    assert what_if.state == "done"
    assert rows() == before


def test_a_worker_that_takes_over_goes_on_where_the_killed_one_was():
    version = published()
    for _ in range(205):
        make_lead()
    make_person("A", version=version)
    write_draft(DRAFTS["points"])
    what_if = whatif.start(draft_to_try(), days=30)
    tally = whatif.begin(30)

    assert left_by_the_killed(what_if, whatif.compare(what_if.document, tally), tally) == ("running", 200)
    tasks.run_what_ifs()

    what_if.refresh_from_db()
    assert (what_if.state, what_if.done, what_if.leads) == ("done", 206, 206)
    assert load(what_if.result).known == 206
    assert load(what_if.result).changed == 1


def test_whoever_was_canceled_meanwhile_writes_no_more(client, marketer):
    published()
    make_lead()
    what_if = whatif.start(draft_to_try(), days=30)
    token, _ = WhatIf.objects.due(timezone.now()).claim(1)

    client.post(f"/scoring/whatif/{what_if.uid}/cancel/")
    with pytest.raises(whatif.Stopped):
        whatif.run(what_if, token)

    what_if.refresh_from_db()
    assert (what_if.state, what_if.result, what_if.done) == ("canceled", {}, 0)
    assert "Canceled after 0 of 1 leads" in words(client.get(f"/scoring/whatif/{what_if.uid}/"))


def test_a_publication_on_the_way_ends_it_with_the_reason(client, marketer):
    published()
    make_lead()
    what_if = whatif.start(draft_to_try(), days=30)
    what_if.result = dump(whatif.begin(30))
    what_if.save()
    published(DRAFTS["points"])

    tasks.run_what_ifs()

    what_if.refresh_from_db()
    assert what_if.state == "failed"
    assert "Another version was published meanwhile" in words(client.get(f"/scoring/whatif/{what_if.uid}/"))


def test_it_waits_while_a_publication_is_still_looking_at_leads(client, marketer):
    version = published()
    make_person("A", version=version)
    write_draft(DRAFTS["points"])
    publishing.publish(rescore=True)
    what_if = whatif.start(draft_to_try(), days=30)

    tasks.run_what_ifs()
    page = words(client.get(f"/scoring/whatif/{what_if.uid}/"))
    sweep.run_everything_due()

    what_if.refresh_from_db()
    assert "Waiting. Leads are still being looked at anew under version 2" in page
    assert (what_if.state, load(what_if.result).differ) == ("done", 0)


def test_one_that_killed_its_workers_waits_for_a_click(client, marketer):
    published()
    make_lead()
    what_if = whatif.start(draft_to_try(), days=30)
    WhatIf.objects.update(claim_count=5)

    tasks.run_what_ifs()
    stuck = words(client.get(f"/scoring/whatif/{what_if.uid}/"))
    client.post(f"/scoring/whatif/{what_if.uid}/go-on/")
    tasks.run_what_ifs()

    what_if.refresh_from_db()
    assert "It stopped after 0 of 1 leads" in stuck
    assert what_if.state == "done"


def test_a_chunk_costs_the_same_statements_with_few_and_with_many_leads():
    version = published()
    write_draft(DRAFTS["company"])
    document, counts = draft_to_try(), []
    for many in (2, 40):
        for _ in range(many):
            make_person("A", "B", "C", version=version)
        list(whatif.compare(document, whatif.begin(30)))
        with CaptureQueriesContext(connection) as queries:
            list(whatif.compare(document, whatif.begin(30)))
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 12


def test_the_sweep_finds_it_and_housekeeping_forgets_it(now):
    published()
    what_if = whatif.start(draft_to_try(), days=30)

    sweep.run_everything_due()
    what_if.refresh_from_db()
    with time_machine.travel(now + timedelta(days=91), tick=False):
        sweep.keep_house()

    assert what_if.state == "done"
    assert not WhatIf.objects.exists()


# --- the page


@pytest.mark.parametrize("address", ["/scoring/whatif/", "/scoring/simulator/", "/scoring/whatif/{uid}/"])
def test_the_pages_are_for_marketers(client, address):
    published()
    address = address.format(uid=ask().uid)

    nobody = client.get(address).status_code
    client.force_login(make_rep())
    rep = client.get(address).status_code
    client.force_login(make_marketer())

    assert (nobody, rep, client.get(address).status_code) == (302, 403, 200)


@pytest.mark.parametrize("address", ["cancel", "go-on"])
def test_a_rep_neither_cancels_nor_goes_on(client, address):
    published()
    what_if = whatif.start(draft_to_try(), days=30)
    client.force_login(make_rep())

    assert client.post(f"/scoring/whatif/{what_if.uid}/{address}/").status_code == 403
    what_if.refresh_from_db()
    assert what_if.state == "running"


def test_a_marketer_asks_waits_and_reads(client, marketer):
    version = published()
    lead = make_person("A", "A", version=version, name="Ada Lovelace")
    write_draft(DRAFTS["points"])

    asked = client.post("/scoring/whatif/", {"over": "90"})
    waiting = client.get(asked.url)
    tasks.run_what_ifs()
    polled = client.get(asked.url, headers={"HX-Request": "true"})
    page = words(client.get(asked.url))

    assert WhatIf.objects.get().days == 90
    assert 'hx-trigger="every 1s"' in waiting.content.decode()
    assert "0 of 1 leads" in words(waiting)
    assert polled.headers["HX-Retarget"] == "#whole"
    assert "hx-trigger" not in polled.content.decode()
    assert "1 lead: 1 score changes, 1 would move to Sales qualified." in page
    assert "1 of 1 lead gains points" in page
    assert "Leads that differ 1" in page
    assert re.search(r"Ada Lovelace.* 2 lines of Ada Lovelace would differ", page)
    assert "viewed 1 Mar 2026 +10 +35" in page
    assert f'href="{lead.get_absolute_url()}"' in client.get(asked.url).content.decode()
    assert "Over the last" in words(client.get("/scoring/whatif/"))


def test_somebody_who_was_forgotten_is_left_out(client, marketer):
    version = published()
    lead = make_person("A", version=version, name="Ada Lovelace", email="ada@example.com")
    write_draft(DRAFTS["points"])
    what_if = ask()

    call_command("forget", "ada@example.com", stdout=io.StringIO())

    assert not Lead.objects.filter(pk=lead.pk).exists()
    assert "Ada" not in words(client.get(f"/scoring/whatif/{what_if.uid}/"))
    assert "ada@" not in json.dumps(what_if.result)


@pytest.mark.parametrize(
    ("form", "said"),
    [({"over": "other"}, "Write a number from 1 to 365"), ({"over": "other", "days": "400"}, "365"), ({}, "required")],
)
def test_a_number_of_days_that_is_none_is_refused_in_words(client, marketer, form, said):
    published()

    answer = client.post("/scoring/whatif/", form)

    assert answer.status_code == 422
    assert said in words(answer)
    assert not WhatIf.objects.exists()


def test_a_draft_that_cannot_be_published_is_not_compared(client, marketer):
    write_draft(model())
    Gate.objects.filter(key="hot").update(conditions=[{"scor": 1}])

    answer = client.post("/scoring/whatif/", {"over": "7"})

    assert answer.status_code == 422
    assert "The draft can’t be tried yet" in words(answer)
    assert "scor" in words(answer)


def test_the_page_costs_the_same_with_few_and_with_many_leads(client, marketer):
    version, counts = published(), []
    write_draft(DRAFTS["points"])
    for many in (1, 30):
        for _ in range(many):
            make_person("A", version=version)
        address = f"/scoring/whatif/{ask().uid}/"
        client.get(address)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_more_leads_than_fit_on_a_page_have_pages(client, marketer):
    version = published()
    for _ in range(52):
        make_person("A", version=version)
    write_draft(DRAFTS["points"])
    address = f"/scoring/whatif/{ask().uid}/"

    first, second, beyond = (client.get(address + query).content.decode().count('class="try-lead"') for query in ("", "?page=2", "?page=9"))

    assert (first, second, beyond) == (50, 2, 50)


# --- the command


def run_command(tmp_path, text, **options):
    """What the command prints: standard output and error."""
    file = tmp_path / "playbook.yaml"
    file.write_text(text)
    out, err = io.StringIO(), io.StringIO()
    call_command("whatif", str(file), stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def as_playbook(document):
    """A playbook with this scoring and these gates."""
    return json.dumps({"version": 1} | document)


def test_the_command_prints_a_table_and_its_progress(tmp_path):
    version = published()
    lead = make_person("A", "A", version=version)
    before = rows()

    out, err = run_command(tmp_path, as_playbook(DRAFTS["points"]), days=7)

    assert "1 lead: 1 score changes, 1 would move to Sales qualified." in out
    assert "The file makes" in out
    assert f"{lead.uid}     20 → 70    Marketing qualified → Sales qualified" in out
    assert "2026-03-01  viewed: +10 → +35" in out
    assert "1 of 1 leads, 2 events" in err
    assert rows() == before
    assert not WhatIf.objects.exists()


def test_the_command_says_so_when_nobody_differs(tmp_path):
    version = published()
    make_person("A", "B", version=version)

    out, _ = run_command(tmp_path, as_playbook(model()), days=7)

    assert "1 lead: no score and no stage changes." in out
    assert out.rstrip().endswith("No lead differs.")


def test_the_command_speaks_json(tmp_path):
    version = published()
    lead = make_person("A", version=version)

    out, _ = run_command(tmp_path, as_playbook({"scoring": DRAFTS["points"]["scoring"]}), days=7, json=True)

    said = json.loads(out)
    assert (said["leads"], said["scores_changed"], said["live_version"], said["events"]) == (1, 1, 1, 1)
    assert said["differing_leads"][0]["uid"] == str(lead.uid)
    assert said["differing_leads"][0]["score"] == [10, 35]
    assert [line["after"] for line in said["differing_leads"][0]["lines"]] == [35]
    assert said["weeks"] == [{"beginning": "23 Feb", "live": {"cold>mql": 1}, "file": {"cold>mql": 1}}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "version: 1\nscoring:\n  rules:\n    - {key: a, evnt: A, points: 1}\n",
            "line 4, scoring.rules[0].evnt: unknown key; did you mean event?",
        ),
        (
            "version: 1\ngates:\n  - {key: a, from: cold, to: moon, conditions: [{event: A}]}\n",
            "line 3, gates[0].to: there is no stage 'moon'",
        ),
        ("version: 1\ntimezone: UTC\n", "the file has neither scoring nor gates"),
    ],
)
def test_a_file_that_cannot_be_compared_is_refused_with_the_cure(tmp_path, text, said):
    published()

    with pytest.raises(CommandError) as refused:
        run_command(tmp_path, text, days=7)

    assert said in str(refused.value)
    assert "Nothing was compared" in str(refused.value)


def test_too_many_days_are_refused(tmp_path):
    with pytest.raises(CommandError, match="from 1 to 365"):
        run_command(tmp_path, as_playbook(model()), days=0)
