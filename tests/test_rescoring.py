"""After a publication every lead is looked at anew: completely, once, quietly, and through pauses and kills."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.models import Enrollment, Message
from crm import sweep
from leads import intake, rescoring, tasks
from leads.models import (
    Delivery,
    Event,
    FitRule,
    FoldState,
    Gate,
    Lead,
    Notification,
    Rescore,
    ScoreEntry,
    ScoringRule,
    ScoringVersion,
    Stage,
    Task,
)
from leads.publishing import publish
from tests.factories import make_campaign, make_consent, make_rep, make_source, make_step

pytestmark = pytest.mark.django_db


def make_gate(key, start, to, *conditions):
    gate = Gate.objects.create(key=key, name=key.title(), to=Stage.objects.get(key=to), conditions=list(conditions))
    gate.from_stages.add(Stage.objects.get(key=start))


@pytest.fixture
def model(db):
    """Version 1: a view of the prices gives 10, a signup opens mql, 80 points open sql."""
    ScoringRule.objects.create(key="viewed-pricing", name="Viewed pricing", event="VIEWED_PRICING", points=10)
    make_gate("interested", "cold", "mql", {"event": "SIGNED_UP"})
    make_gate("hot", "mql", "sql", {"score": {"at_least": 80}})
    version = publish()
    tasks.advance_rescores()
    return version


@pytest.fixture
def source(model):
    return make_source()[0]


def post(source, *messages, at=None):
    """Record what people did."""
    at = at or timezone.now()
    Delivery.objects.create(
        source=source, door="events", body=json.dumps(list(messages)).encode(), message_count=len(messages), received_at=at, due_at=at
    )
    intake.drain_all()


def did(number, kind="VIEWED_PRICING", **fields):
    return {"userId": f"u{number}", "email": mail(number), "eventType": kind, **fields}


def mail(number):
    """Each works for a company of their own."""
    return f"u{number}@firm{number}.example"


def people(source, count, views=2):
    """So many people who signed up and looked at the prices."""
    for start in range(0, count, 50):
        numbers = range(start, min(count, start + 50))
        post(source, *[did(n, "SIGNED_UP") for n in numbers], *[did(n) for n in numbers for _ in range(views)])


def weigh(points, **kwargs):
    """Publish another weight for a view of the prices."""
    ScoringRule.objects.filter(key="viewed-pricing").update(points=points)
    return publish(**kwargs)


def verified():
    """Whether every invariant holds, a fresh fold of every lead among them."""
    out = StringIO()
    try:
        call_command("verify", "--json", stdout=out)
    except CommandError:
        return [each for each in json.loads(out.getvalue())["invariants"] if each["broken"]]
    return []


def scores():
    return list(Lead.objects.order_by("pk").values_list("score", "stage"))


def advance_chunks(count):
    """Do so many chunks as a worker would, then die: the claim stays, and its lease passes."""
    token, [pk] = Rescore.objects.due(timezone.now()).claim(1)
    for _ in range(count):
        assert rescoring.advance(pk, token)
    Rescore.objects.filter(pk=pk).update(lease_until=timezone.now() - timedelta(days=1))
    return Rescore.objects.get(pk=pk), token


# --- what it does


def test_from_now_on_leaves_points_and_pins_alone_and_counts_new_facts_anew(source):
    people(source, 3)
    version = weigh(100)

    tasks.advance_rescores()
    post(source, did(0))

    assert [score for score, _ in scores()] == [120, 20, 20]
    assert Event.objects.filter(model_version=version).count() == 1
    job = Rescore.objects.get(version=version)
    assert (job.state, job.history, job.leads, job.done, job.changed, job.moved) == ("done", False, 3, 3, 0, 0)
    assert not verified()


def test_a_rescore_pins_the_past_to_the_new_version_and_counts_it_anew(source):
    people(source, 3)
    make_rep()
    version = weigh(40, rescore=True)

    tasks.advance_rescores()

    assert scores() == [(80, "sql")] * 3
    assert not Event.objects.exclude(model_version=version).exists()
    job = Rescore.objects.get(version=version)
    assert (job.state, job.history, job.leads, job.done, job.changed, job.moved) == ("done", True, 3, 3, 3, 3)
    assert job.done_at is not None
    assert not verified()


def test_what_was_recorded_before_the_first_version_can_be_scored_by_it(db):
    source = make_source()[0]
    post(source, did(0), did(0))
    ScoringRule.objects.create(key="viewed-pricing", event="VIEWED_PRICING", points=10)

    publish(rescore=True)
    tasks.advance_rescores()

    assert Lead.objects.get().score == 20
    assert not verified()


def test_gates_are_tried_under_the_new_version_for_everybody(source):
    people(source, 3)
    Gate.objects.filter(key="hot").update(conditions=[{"score": {"at_least": 20}}])

    publish()
    tasks.advance_rescores()

    assert scores() == [(20, "sql")] * 3
    assert not verified()


@pytest.mark.parametrize("rescore", [False, True], ids=["from now on", "history"])
def test_fit_is_looked_at_anew_for_everybody(source, rescore):
    post(source, did(0, "SIGNED_UP", traits={"title": "CTO"}), did(1, "SIGNED_UP"))
    FitRule.objects.create(key="cto", points=15, when=[{"field": "lead.title", "op": "has_word", "value": "CTO"}])
    version = publish(rescore=rescore)

    tasks.advance_rescores()

    assert list(Lead.objects.order_by("pk").values_list("fit", flat=True)) == [15, 0]
    lead = Lead.objects.get(email=mail(0))
    stands = version.published_at if not rescore else lead.events.get().at
    assert list(lead.entries.values_list("axis", "at", "points")) == [("fit", stands, 15)]
    assert Rescore.objects.get(version=version).changed == 1
    assert not verified()


def test_rules_that_are_gone_take_their_points_along(source):
    people(source, 2)
    ScoringRule.objects.all().delete()

    publish(rescore=True)
    tasks.advance_rescores()

    assert [score for score, _ in scores()] == [0, 0]
    assert sum(ScoreEntry.objects.values_list("points", flat=True)) == 0
    assert not verified()


def test_looking_twice_changes_nothing(source):
    people(source, 2)
    weigh(40, rescore=True)
    tasks.advance_rescores()
    lines = ScoreEntry.objects.count()

    Rescore.objects.update(state="running", next_lead=0, done=0)
    tasks.advance_rescores()

    assert ScoreEntry.objects.count() == lines


def test_a_merged_lead_is_left_out_and_its_facts_go_with_the_survivor(source):
    post(source, {"anonymousId": "a", "eventType": "VIEWED_PRICING"}, did(1), did(1))
    absorbed = Lead.objects.get(is_known=False)
    version = weigh(40, rescore=True)
    post(source, did(1, "SIGNED_UP", anonymousId="a"))  # joins both while the job waits
    absorbed.refresh_from_db()

    tasks.advance_rescores()

    assert absorbed.merged_into is not None
    assert Lead.objects.current().get().score == 120
    assert not Event.objects.exclude(model_version=version).exists()
    assert not verified()


def test_who_was_merged_behind_the_jobs_back_is_looked_at_in_the_end(source):
    people(source, 60)
    post(source, {"anonymousId": "late", "eventType": "VIEWED_PRICING"})  # the last lead, to be joined to one of the first
    weigh(40, rescore=True)
    _, token = advance_chunks(1)
    Event.objects.filter(lead=Lead.objects.get(is_known=False)).update(model_version=ScoringVersion.objects.get(number=1))

    post(source, did(0, "SIGNED_IN", anonymousId="late"))
    while rescoring.advance(Rescore.objects.latest("pk").pk, token):
        pass

    assert Lead.objects.get(email=mail(0)).score == 120
    assert not verified()


def test_a_draft_like_the_live_version_is_published_again_only_to_score_the_past(source):
    assert publish().number == 1
    second = publish(rescore=True)

    assert (second.number, second.rescored) == (2, True)
    assert publish(rescore=True) == second


# --- killed, paused, and in the way of others


def test_a_killed_worker_loses_nothing_and_nothing_is_done_twice(source):
    people(source, 120)
    make_rep()
    weigh(40, rescore=True)
    job, _ = advance_chunks(2)

    assert (job.state, job.done) == ("running", 100)
    assert sorted(set(scores())) == [(20, "mql"), (80, "sql")]
    tasks.advance_rescores()

    job.refresh_from_db()
    assert (job.state, job.done, job.changed, job.moved) == ("done", 120, 120, 120)
    assert scores() == [(80, "sql")] * 120
    assert Task.objects.count() == 120
    assert ScoreEntry.objects.filter(n=2).count() == 240
    assert not verified()


def test_a_worker_that_was_taken_for_dead_stops(source):
    people(source, 60)
    weigh(40, rescore=True)
    job, token = advance_chunks(0)
    Rescore.objects.due(timezone.now()).claim(1)

    with pytest.raises(rescoring.ClaimLost):
        rescoring.fold_chunk(job, list(Lead.objects.values_list("pk", flat=True)[:50]), token)
    with pytest.raises(rescoring.ClaimLost):
        rescoring.advance(job.pk, token)


def test_a_paused_job_stops_after_its_chunk_and_goes_on_when_told(source):
    people(source, 120)
    weigh(40, rescore=True)
    job, token = advance_chunks(1)

    assert rescoring.pause(job)
    assert not rescoring.advance(job.pk, token)
    tasks.advance_rescores()
    sweep.run_everything_due()

    job.refresh_from_db()
    assert (job.state, job.done, job.claim_token) == ("paused", 50, None)
    assert rescoring.resume(job)
    tasks.advance_rescores()
    job.refresh_from_db()
    assert (job.state, job.done) == ("done", 120)
    assert not rescoring.pause(job)
    assert not verified()


def test_a_job_that_kills_its_workers_waits_for_staff(source):
    people(source, 2)
    weigh(40, rescore=True)
    Rescore.objects.filter(state="running").update(claim_count=5)

    tasks.advance_rescores()
    job = Rescore.objects.latest("pk")
    assert job.state == "running"
    assert [each["name"] for each in verified()] == ["nothing_kills_its_workers"]

    rescoring.resume(job)
    tasks.advance_rescores()
    job.refresh_from_db()
    assert job.state == "done"


def test_events_that_arrive_meanwhile_are_scored_by_the_new_version_once(source):
    people(source, 120)
    weigh(40, rescore=True)
    advance_chunks(1)

    post(source, did(0), did(119), did(200))
    tasks.advance_rescores()

    found = dict(Lead.objects.values_list("email", "score"))
    assert [found[mail(n)] for n in (0, 119, 200, 60)] == [120, 120, 40, 80]
    assert not verified()


def test_an_event_stored_behind_the_jobs_back_is_pinned_in_the_end(source):
    people(source, 60)
    version = weigh(40, rescore=True)
    job, token = advance_chunks(2)
    # A transaction that began before the publication committed its event late.
    late = Event.objects.filter(lead__email=mail(0), type="VIEWED_PRICING").first()
    Event.objects.filter(pk=late.pk).update(model_version=ScoringVersion.objects.get(number=1))

    assert not rescoring.advance(job.pk, token)

    late.refresh_from_db()
    assert late.model_version == version
    job.refresh_from_db()
    assert (job.state, job.done) == ("done", 60)
    assert not verified()


def test_two_publications_in_a_row_end_with_the_second(source):
    people(source, 60)
    first = weigh(40, rescore=True)
    advance_chunks(1)
    second = weigh(1, rescore=True)

    tasks.advance_rescores()

    # The first 50 had moved; nobody moves any more by rules that were corrected.
    assert [score for score, _ in scores()] == [2] * 60
    assert Lead.objects.filter(stage="sql").count() == 50
    assert not Event.objects.exclude(model_version=second).exists()
    assert set(Rescore.objects.filter(version__in=[first, second]).values_list("state", flat=True)) == {"done"}
    assert not verified()


def test_a_newer_version_for_the_future_lets_the_rescore_of_the_past_go_on(source):
    people(source, 60)
    first = weigh(40, rescore=True)
    advance_chunks(1)
    weigh(1)

    tasks.advance_rescores()

    assert [score for score, _ in scores()] == [80] * 60
    assert Rescore.objects.get(version=first).done == 60
    assert not verified()


def test_a_publication_takes_over_from_one_that_is_not_done(source):
    rep = make_rep()
    people(source, 60)
    first = weigh(40, rescore=True)
    job, token = advance_chunks(1)
    rescoring.pause(job)

    weigh(30, rescore=True)

    job = Rescore.objects.get(version=first)
    assert (job.state, job.done) == ("done", 50)
    assert Notification.objects.get(user=rep).title == "Re-score to Version 2: 50 leads of yours are ready for sales"
    with pytest.raises(rescoring.ClaimLost):
        rescoring.advance(job.pk, token)


def test_a_rescore_leaves_alone_what_a_newer_version_scores(source):
    people(source, 2)
    weigh(40, rescore=True)
    newer = weigh(7)
    post(source, did(0))

    tasks.advance_rescores()

    assert sorted(score for score, _ in scores()) == [80, 87]
    assert Event.objects.filter(model_version=newer).count() == 1
    assert not verified()


def test_one_lead_that_cannot_be_folded_does_not_stop_the_others(source):
    people(source, 3)
    weigh(40, rescore=True)
    bad = Lead.objects.get(email=mail(1))
    Event.objects.filter(lead=bad).update(traits=["not what traits look like"])

    tasks.advance_rescores()

    job = Rescore.objects.latest("pk")
    assert (job.state, job.done) == ("done", 3)
    assert dict(Lead.objects.values_list("email", "score"))[mail(2)] == 80
    broken = FoldState.objects.broken().get()
    assert broken.lead == bad
    assert "items" in broken.error
    assert "Traceback" in broken.traceback


# --- quiet


@pytest.fixture
def campaign(source):
    """Whoever enters sales gets a mail."""
    return make_campaign(trigger={"stage": "sql"}, steps=[make_step()], exit_on_stage=False)


@pytest.mark.parametrize("rescore", [False, True], ids=["from now on", "history"])
def test_who_moves_gets_owner_and_task_and_nobody_gets_mail(source, campaign, settings, rescore):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    rita, tom = make_rep(username="rita"), make_rep(username="tom")
    people(source, 5)
    for n in range(5):
        make_consent(email=mail(n))
    Gate.objects.filter(key="hot").update(conditions=[{"score": {"at_least": 20}}])

    publish(rescore=rescore)
    sweep.run_everything_due()

    assert Task.objects.filter(owner__in=[rita, tom]).count() == 5
    assert Lead.objects.filter(owner=None).count() == 0
    assert not Message.objects.exists()
    assert set(Enrollment.objects.values_list("state", flat=True)) <= {"refused"}
    what = "Re-score to" if rescore else "Publication of"
    assert sorted(Notification.objects.values_list("channel", "user__username", "title")) == [
        ("in_app", "rita", f"{what} Version 2: 3 leads of yours are ready for sales"),
        ("in_app", "tom", f"{what} Version 2: 2 leads of yours are ready for sales"),
    ]


def test_ticked_each_rep_is_told_by_mail_too_once(source, campaign, settings):
    settings.CHAT_WEBHOOK_URL = "https://hooks.example.com/x"
    make_rep(username="rita")
    people(source, 5)
    for n in range(5):
        make_consent(email=mail(n))

    weigh(40, rescore=True, tell=True)
    tasks.advance_rescores()

    assert sorted(Notification.objects.values_list("channel", "user__username", "state")) == [
        ("chat", None, "pending"),
        ("in_app", "rita", "sent"),
        ("mail", "rita", "pending"),
    ]
    assert not Message.objects.exists()


def test_with_nobody_to_give_them_to_every_rep_hears_how_many_wait(source):
    make_rep(username="rita", away_until=(timezone.now() + timedelta(days=9)).date())
    people(source, 1)

    weigh(40, rescore=True)
    tasks.advance_rescores()

    assert Notification.objects.get().title == "Re-score to Version 2: 1 waits for an owner"


def test_when_nobody_moves_nobody_is_told(source):
    make_rep()
    people(source, 2)

    weigh(11, rescore=True, tell=True)
    tasks.advance_rescores()

    assert not Notification.objects.exists()


def test_the_lead_page_says_where_the_move_came_from(source, client):
    rep = make_rep()
    people(source, 1)
    weigh(40, rescore=True)
    tasks.advance_rescores()

    client.force_login(rep)
    page = client.get(Lead.objects.get().get_absolute_url()).content.decode()

    assert "Re-score to Version 2" in page
    assert ">imported<" not in page


# --- cost


def test_a_chunk_costs_the_same_however_many_leads_and_facts(source):
    make_rep()
    people(source, 2)
    weigh(40, rescore=True)
    few = queries_of_a_chunk()
    tasks.advance_rescores()
    people(source, 50, views=20)
    weigh(4, rescore=True)

    assert queries_of_a_chunk() <= few + 2


def queries_of_a_chunk():
    job, token = advance_chunks(0)
    with CaptureQueriesContext(connection) as queries:
        rescoring.advance(job.pk, token)
    return len(queries)


def test_a_sweep_does_it_without_celery(source):
    people(source, 2)
    weigh(40, rescore=True)

    call_command("tick")

    assert [score for score, _ in scores()] == [80, 80]
