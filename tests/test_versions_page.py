"""/scoring/versions/: publishing with the question what it counts for, the fuse, the work and its switches, and the way back."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leads import scoring, tasks
from leads.models import FitRule, Gate, Lead, Rescore, ScoringRule, ScoringVersion, Stage, User, Workspace
from leads.publishing import publish
from tests.factories import make_entry, make_event, make_lead, make_rep
from tests.test_scoring_page import make_gate, make_marketer, make_rule, seen, words

pytestmark = pytest.mark.django_db

ADDRESSES = ["", "1/", "1/job/"]
ACTIONS = ["1/pause/", "1/resume/", "1/restore/"]


@pytest.fixture
def marketer(client):
    user = make_marketer(first_name="Mia", last_name="Marketer")
    client.force_login(user)
    return user


@pytest.fixture
def live(db):
    """Version 1: a view of the prices gives 10, 80 points open sales."""
    make_rule()
    make_gate(conditions=[{"score": {"at_least": 80}}])
    version = publish(note="First rules", by_user=User.objects.create_user("max", first_name="Max"))
    tasks.advance_rescores()
    return version


def make_people(count, views=2):
    """Marketing qualified people who looked at the prices."""
    leads = [make_lead(name=f"Person {n}") for n in range(count)]
    for lead in leads:
        for _ in range(views):
            make_event(lead=lead, type="VIEWED_PRICING", model_version=ScoringVersion.live())
    if not Gate.objects.filter(key="in").exists():
        gate = Gate.objects.create(key="in", to=Stage.objects.get(key="mql"), conditions=[{"event": "VIEWED_PRICING"}])
        gate.from_stages.add(Stage.objects.get(key="cold"))
        publish(note="Everybody in")
    scoring.refold([lead.pk for lead in leads], now=timezone.now())
    tasks.advance_rescores()
    return leads


def publish_by_page(client, **fields):
    return client.post("/scoring/publish/", {"seen": seen(client), **fields}, follow=True)


# --- who may


def test_versions_are_for_marketers(client, live):
    def statuses():
        read = [client.get(f"/scoring/versions/{address}").status_code for address in ADDRESSES]
        acted = [client.post(f"/scoring/versions/{address}").status_code for address in ACTIONS]
        return {*read, *acted, client.get("/scoring/broken/").status_code, client.post("/scoring/broken/again/").status_code}

    assert statuses() == {302}
    client.force_login(make_rep())
    assert statuses() == {403}
    client.force_login(make_marketer())
    assert statuses() == {200, 302, 422}
    assert client.get("/scoring/versions/9/").status_code == 404
    assert {client.get(f"/scoring/versions/{address}").status_code for address in ACTIONS} == {405}


# --- publishing


def test_the_question_says_what_each_answer_means_and_for_how_many_leads(client, marketer, live):
    make_people(3)
    ScoringRule.objects.update(points=11)

    text = words(client.get("/scoring/?review"))

    assert "From now on What arrives from now on. Points already given stay; fit is looked at anew and gates are tried for 3 leads." in text
    assert "Re-score history What happened before too: 3 leads are scored anew from the beginning, in the background." in text
    assert "Tell owners about moves" in text


def test_who_says_nothing_publishes_from_now_on_and_quietly(client, marketer, live):
    ScoringRule.objects.update(points=11)

    answer = publish_by_page(client)

    job = Rescore.objects.get(version=ScoringVersion.live())
    assert (job.version.rescored, job.history, job.tell, job.by_user) == (False, False, False, marketer)
    assert "Version 2 Looking at fit and gates: 0 of 0 leads" in words(answer)


def test_history_is_scored_anew_when_asked(client, marketer, live):
    make_people(3)
    ScoringRule.objects.update(points=12)

    answer = publish_by_page(client, scope="history", tell="on", note="Prices count more")
    waiting = words(answer)
    tasks.advance_rescores()

    version = ScoringVersion.live()
    job = Rescore.objects.get(version=version)
    assert (version.rescored, version.note, job.history, job.tell, job.state) == (True, "Prices count more", True, True, "done")
    assert "the past is scored anew" in waiting
    assert "Scoring the past anew: 0 of 3 leads" in waiting
    assert list(Lead.objects.values_list("score", flat=True)) == [24] * 3


def test_a_publication_that_moves_few_does_not_ask_twice(client, marketer, live):
    make_people(3)
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 3})
    ScoringRule.objects.update(points=40)

    publish_by_page(client, scope="history")

    assert ScoringVersion.live().number == 3


def test_a_publication_that_moves_many_asks_once_more_with_number_and_stages(client, marketer, live):
    make_people(4)
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 3})
    ScoringRule.objects.update(points=40)

    asked = publish_by_page(client, scope="history", note="More", tell="on")

    text, page = words(asked), asked.content.decode()
    assert ScoringVersion.live().number == 2
    assert "This would move 4 leads at once: 4 to Sales qualified (4 through Ready for sales). It asks because that is more than 3." in text
    assert "Move 4 leads and publish" in text
    assert 'value="More"' in page
    assert 'name="sure" value="history"' in page
    assert re.search(r'name="tell" checked', page)
    assert not Lead.objects.filter(stage="sql").exists()

    publish_by_page(client, scope="history", note="More", sure="history")
    tasks.advance_rescores()

    assert ScoringVersion.live().number == 3
    assert Lead.objects.filter(stage="sql").count() == 4


def test_what_was_confirmed_for_one_scope_is_asked_again_for_the_other(client, marketer, live):
    make_people(4)
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 3})
    Gate.objects.filter(key="hot").update(conditions=[{"score": {"at_least": 20}}])

    asked = publish_by_page(client, scope="now", sure="history")

    assert "This would move 4 leads at once" in words(asked)
    assert ScoringVersion.live().number == 2


@pytest.mark.parametrize("scope", ["now", "history"])
def test_what_is_counted_before_is_what_the_work_moves(client, marketer, live, scope):
    make_people(2, views=2)
    make_people(3, views=1)
    visitor = make_lead(email="")  # passes no gate
    make_event(lead=visitor, type="VIEWED_PRICING", identifies=False, model_version=live)
    Gate.objects.filter(key="hot").update(conditions=[{"score": {"at_least": 20}}])
    ScoringRule.objects.update(points=15)  # a single look is enough for nobody; for two of the past it is by either weight
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 1})

    asked = words(publish_by_page(client, scope=scope))
    publish_by_page(client, scope=scope, sure=scope)
    tasks.advance_rescores()

    assert "This would move 2 leads at once: 2 to Sales qualified (2 through Ready for sales)." in asked
    assert Rescore.objects.get(version=ScoringVersion.live()).moved == 2


def test_a_count_that_takes_too_long_asks_and_says_so(client, marketer, live, monkeypatch):
    make_people(4)
    monkeypatch.setattr("leads.fuse.PATIENCE", -1.0)
    monkeypatch.setattr("leads.fuse.CHUNK", 2)
    ScoringRule.objects.update(points=11)

    text = words(publish_by_page(client))
    history = words(publish_by_page(client, scope="history"))

    assert "at least 0 leads at once" in text
    assert "The simulator can look at all of them first, in the background." in text
    assert "What if can look at all of them first, in the background." in history
    assert "2 of 4 leads were looked at" in text
    assert ScoringVersion.live().number == 2


def test_counting_writes_nothing(client, marketer, live):
    make_people(3)
    ScoringRule.objects.update(points=40)
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 1})

    with CaptureQueriesContext(connection) as queries:
        publish_by_page(client, scope="history")

    written = [query["sql"] for query in queries if re.match(r"(INSERT|UPDATE|DELETE)", query["sql"]) and "session" not in query["sql"]]
    assert written == []


def test_the_fuse_is_set_in_the_admin(client, marketer, live):
    Workspace.objects.get_or_create(pk=1)

    client.post(reverse("admin:leads_workspace_change", args=[1]), {"timezone": "UTC", "sending": "{}", "move_fuse": "7"})

    assert Workspace.current().move_fuse == 7


# --- the list


def test_the_list_says_who_when_why_and_for_what(client, marketer, live):
    ScoringRule.objects.update(points=11)
    publish(by_user=marketer, note="Prices count more", rescore=True)

    text = words(client.get("/scoring/versions/"))

    assert "Version 2 Prices count more live history re-scored 1 change Version 2 Scoring the past anew: 0 of 0 leads" in text
    assert "Mia Marketer" in text
    assert "Version 1 First rules from now on 2 changes" in text
    assert "Max" in text


def test_the_list_goes_on_on_another_page(client, marketer, live):
    for points in range(20, 51):
        ScoringRule.objects.update(points=points)
        publish()

    first, second = client.get("/scoring/versions/"), client.get("/scoring/versions/?below=3")

    assert 'href="?below=3"' in first.content.decode()
    assert "Version 2 " in words(second)
    assert "Version 3 " not in words(second)
    assert client.get("/scoring/versions/?below=x").status_code == 200


def test_before_the_first_version_the_list_says_what_to_do(client, marketer):
    assert "Nothing was published yet" in words(client.get("/scoring/versions/"))


def test_the_pages_cost_the_same_however_many_versions_and_leads(client, marketer, live):
    def cost(address):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address).status_code == 200
        return len(queries)

    ScoringRule.objects.update(points=11)
    publish()
    client.get("/scoring/versions/")
    few = [cost(address) for address in ("/scoring/versions/", "/scoring/versions/2/", "/scoring/versions/1/?back")]
    make_people(5)
    for points in range(20, 30):
        ScoringRule.objects.update(points=points)
        publish()

    many = [cost(address) for address in ("/scoring/versions/", "/scoring/versions/2/", "/scoring/versions/1/?back")]
    assert many == few
    assert max(many) <= 30


# --- one version


def test_a_version_says_what_it_changed_and_all_it_says(client, marketer, live):
    ScoringRule.objects.update(points=11)
    FitRule.objects.create(key="cto", name="Technical leader", points=15, when=[{"field": "lead.title", "op": "has_word", "value": "CTO"}])
    publish(by_user=marketer, note="Second")

    text = words(client.get("/scoring/versions/2/"))
    first = words(client.get("/scoring/versions/1/"))

    assert "changed Viewed pricing was: +10 now: +11" in text
    assert "added Technical leader" in text
    assert "Viewed pricing +11 points, expires after 90 days" in text
    assert "Ready for sales Marketing qualified → Sales qualified when score is at least 80" in text
    assert "added Viewed pricing" in first
    assert "Technical leader" not in first
    assert "Go back to this version" in first
    assert "Go back to this version" not in text


def test_its_work_is_paused_and_resumed_there(client, marketer, live):
    make_people(3)
    ScoringRule.objects.update(points=40)
    publish(rescore=True)

    page = client.get("/scoring/versions/3/").content.decode()
    paused = words(client.post("/scoring/versions/3/pause/", follow=True))
    tasks.advance_rescores()
    still = Rescore.objects.get(version__number=3).done
    resumed = client.post("/scoring/versions/3/resume/", headers={"HX-Request": "true"}).content.decode()
    tasks.advance_rescores()

    assert 'hx-trigger="every 1s"' in page
    assert "Paused after 0 of 3 leads" in paused
    assert still == 0
    assert 'hx-trigger="every 1s"' in resumed
    assert "<html" not in resumed
    part = client.get("/scoring/versions/3/job/", headers={"HX-Request": "true"}).content.decode()
    assert "hx-get" not in part
    assert "The past was scored anew: 3 of 3 leads · 3 scores changed, 3 leads moved" in " ".join(part.split())
    text = words(client.get("/scoring/versions/3/"))
    assert "Who moved because of it" in text
    assert "Person 0 Marketing qualified → Sales qualified" in text


def test_work_whose_workers_died_says_so_and_goes_on_when_told(client, marketer, live):
    make_people(1)
    ScoringRule.objects.update(points=40)
    publish(rescore=True)
    Rescore.objects.filter(state="running").update(claim_count=5)

    stopped = client.get("/scoring/versions/3/").content.decode()
    client.post("/scoring/versions/3/resume/")
    tasks.advance_rescores()

    assert "Stopped after 0 of 1 leads: its workers died" in " ".join(stopped.split())
    assert 'hx-trigger="every 1s"' not in stopped
    assert Rescore.objects.get(version__number=3).state == "done"


def test_the_scoring_page_shows_open_work_in_one_line(client, marketer, live):
    make_people(2)
    ScoringRule.objects.update(points=40)
    publish(rescore=True)

    running = words(client.get("/scoring/"))
    tasks.advance_rescores()

    assert "Version 3 Scoring the past anew: 0 of 2 leads" in running
    assert "Scoring the past anew" not in words(client.get("/scoring/"))


# --- the way back


def test_going_back_takes_the_old_model_as_draft_and_asks_how_to_publish_it(client, marketer, live):
    ScoringRule.objects.update(points=25)
    publish()

    asked = client.get("/scoring/versions/1/?back").content.decode()
    fingerprint = re.search(r'name="seen" value="(\w+)"', asked)[1]
    review = client.post("/scoring/versions/1/restore/", {"seen": fingerprint}, follow=True)

    page = review.content.decode()
    assert ScoringRule.objects.get().points == 10
    assert ScoringVersion.live().number == 2
    assert 'value="Back to Version 1"' in page
    assert 'name="restores" value="1"' in page
    fields = dict(re.findall(r'name="(seen|restores)" value="(\w+)"', page))
    client.post("/scoring/publish/", fields | {"note": "Back to Version 1", "scope": "history"})

    version = ScoringVersion.live()
    assert (version.number, version.restores.number, version.rescored, version.note) == (3, 1, True, "Back to Version 1")
    assert version.document == live.document
    assert "back to version 1" in words(client.get("/scoring/versions/3/"))
    assert "back to version 1" in words(client.get("/scoring/versions/"))


def test_a_version_that_was_edited_before_publishing_goes_back_to_none(client, marketer, live):
    ScoringRule.objects.update(points=25)
    publish()
    ScoringRule.objects.update(points=11)

    publish_by_page(client, restores="1")

    assert ScoringVersion.live().restores is None


def test_going_back_names_whose_edits_it_throws_away(client, marketer, live):
    ScoringRule.objects.update(points=25)
    publish()
    ScoringRule.objects.update(points=26, edited_by=marketer)

    text = words(client.get("/scoring/versions/1/?back"))

    assert "The draft has 1 change that is not live (by Mia Marketer). Going back throws it away." in text


def test_a_draft_that_moved_meanwhile_is_not_thrown_away(client, marketer, live):
    ScoringRule.objects.update(points=25)
    publish()
    ScoringRule.objects.update(points=26)

    answer = client.post("/scoring/versions/1/restore/", {"seen": "0123456789abcdef"})

    assert answer.status_code == 422
    assert "has changed since you looked" in words(answer)
    assert ScoringRule.objects.get().points == 26


def test_a_version_that_names_a_stage_that_is_gone_is_not_brought_back(client, marketer, live):
    ScoringVersion.objects.update(document={"gates": [{"key": "g", "from": "mql", "to": "hot", "conditions": [{"event": "X"}]}]})
    publish()

    asked = client.get("/scoring/versions/1/?back").content.decode()
    answer = client.post("/scoring/versions/1/restore/", {"seen": re.search(r'name="seen" value="(\w+)"', asked)[1]})

    assert answer.status_code == 422
    assert "there is no stage" in words(answer).replace("There", "there")


# --- the live version for the past too


def test_the_live_version_scores_the_past_when_somebody_thinks_better_of_it(client, marketer, live):
    make_people(4)
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 3})
    Gate.objects.filter(key="hot").update(conditions=[{"score": {"at_least": 44}}])
    ScoringRule.objects.update(points=22)
    publish(note="From now on")
    tasks.advance_rescores()

    asked = client.get("/scoring/versions/3/?past").content.decode()
    fields = dict(re.findall(r'name="(seen|scope|note)" value="([^"]+)"', asked))
    fused = client.post("/scoring/publish/", fields)
    again = words(fused)
    done = client.post("/scoring/publish/", fields | {"sure": "history"}, follow=True)
    tasks.advance_rescores()

    assert "4 leads are scored anew from the beginning" in " ".join(asked.split())
    assert "Score the past by what is live?" in again
    assert "This would move 4 leads at once: 4 to Sales qualified (4 through Ready for sales)." in again
    assert "Version 4 is live." in words(done)
    version = ScoringVersion.live()
    assert (version.rescored, version.note) == (True, "Version 3 for the past too")
    assert list(Lead.objects.values_list("score", "stage")) == [(44, "sql")] * 4
    assert "Score the past by it too" not in words(client.get("/scoring/versions/4/"))


def test_with_changes_in_the_draft_the_past_is_asked_when_publishing(client, marketer, live):
    ScoringRule.objects.update(points=22)

    text = words(client.get("/scoring/versions/1/?past"))

    assert "The draft has 1 change that is not live." in text
    assert "Re-score history" not in text


# --- scores that could not be computed


@pytest.fixture
def broken(live):
    """A lead with a fact that the engine cannot read."""
    lead = make_people(1)[0]
    lead.events.update(traits=["not what traits look like"])
    ScoringRule.objects.update(points=40)
    publish(rescore=True)
    tasks.advance_rescores()
    return lead


def test_a_rep_reads_on_the_lead_that_its_score_is_from_before(client, broken):
    client.force_login(make_rep())

    page = client.get(broken.get_absolute_url())

    assert "The score could not be computed" in words(page)
    assert "It is tried again when something happens." in words(page)
    assert "Traceback" not in words(page)
    assert "/scoring/broken/" not in page.content.decode()


def test_marketers_see_which_and_admins_where(client, marketer, broken):
    scoring, listed = words(client.get("/scoring/")), words(client.get("/scoring/broken/"))
    client.force_login(User.objects.create_superuser("root"))

    assert "The score of 1 lead could not be computed." in scoring
    assert "Person 0" in listed
    assert "AttributeError" in listed
    assert "Traceback" not in listed
    assert "Traceback" in words(client.get("/scoring/broken/"))
    assert 'href="/scoring/broken/"' in client.get(broken.get_absolute_url()).content.decode()


def test_a_line_of_the_ledger_leads_editors_to_its_version(client, marketer, live):
    lead = make_people(1)[0]
    make_entry(lead=lead, points=5, version=live)
    address = 'href="/scoring/versions/1/"'

    for_editors = client.get(lead.get_absolute_url()).content.decode()
    client.force_login(make_rep())

    assert address in for_editors
    assert address not in client.get(lead.get_absolute_url()).content.decode()


def test_trying_again_succeeds_once_the_cause_is_mended(client, marketer, broken):
    still = words(client.post("/scoring/broken/again/", {"lead": [broken.pk, "x"]}, follow=True))
    broken.events.update(traits={})

    done = words(client.post("/scoring/broken/again/", {"lead": broken.pk}, follow=True))

    broken.refresh_from_db()
    assert "1 still fails" in still
    assert "1 score was computed." in done
    assert "Every score was computed" in done
    assert (broken.score, broken.stage_id) == (80, "sql")
