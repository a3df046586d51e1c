"""One person or two: the pairs that wait, two leads side by side, and the ways back, with and without htmx."""

import json
import re
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.activities import add_task, log_activity
from leads.merging import merge_by_hand, unmerge
from leads.models import Lead, LeadSearch, Merge, MergeReview, User
from leads.timeline import build_timeline
from tests.factories import (
    make_campaign,
    make_company,
    make_consent,
    make_contact_point,
    make_enrollment,
    make_lead,
    make_rep,
    make_source,
    make_transition,
)

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def rep(client):
    user = make_rep(first_name="Rita", last_name="Rep")
    client.force_login(user)
    return user


def make_pair(*, why="SIGNED_UP named both by email", **fields):
    """Bea, known for longer, and Bob; and the question about them."""
    bea, bob = make_lead(name="Bea", engagement=40), make_lead(name="Bob", **fields)
    return bea, bob, MergeReview.objects.create(low=bea, high=bob, why=why)


def text_of(response):
    """What is read, without the markup."""
    html = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("&#x27;", "'").split())


def toast(response):
    return json.loads(response["HX-Trigger"])["toast"]


def address(one, other):
    return f"/leads/{one.uid}/merge/{other.uid}/"


# --- access ---------------------------------------------------------------------------------------


def test_reps_and_marketers_decide_and_nobody_else(client):
    bea, bob, review = make_pair()
    merge = Merge.objects.create(absorbed=make_lead(merged_into=bea), survivor=bea)
    pages = ["/leads/reviews/", f"/leads/{bea.uid}/merge/", address(bea, bob)]
    posts = [
        address(bea, bob),
        f"/leads/merges/{merge.pk}/undo/",
        f"/leads/merges/{merge.pk}/apart/",
        f"/leads/reviews/{review.pk}/ask-again/",
    ]
    for page in pages:
        assert client.get(page).status_code == 302
    for page in posts:
        assert client.post(page).status_code == 302

    client.force_login(User.objects.create_user("nobody"))
    assert {client.get(page).status_code for page in pages} | {client.post(page).status_code for page in posts} == {403}
    assert (Merge.objects.count(), MergeReview.objects.open().count()) == (1, 1)

    for group in ("Sales", "Marketing", "Admin"):
        user = User.objects.create_user(group)
        user.groups.add(Group.objects.get(name=group))
        client.force_login(user)
        assert {client.get(page).status_code for page in pages} == {200}


def test_changes_need_post(client, rep):
    bea, _, review = make_pair()
    merge = Merge.objects.create(absorbed=make_lead(merged_into=bea), survivor=bea)

    for page in (f"/leads/merges/{merge.pk}/undo/", f"/leads/merges/{merge.pk}/apart/", f"/leads/reviews/{review.pk}/ask-again/"):
        assert client.get(page).status_code == 405


# --- the queue ------------------------------------------------------------------------------------


def test_an_empty_queue_says_what_comes_here(client, rep):
    assert "Nobody is in doubt" in text_of(client.get("/leads/reviews/"))


def test_a_pair_stands_side_by_side_with_its_differences_in_words(client, rep):
    acme = make_company(name="Acme")
    bea, bob, _ = make_pair(title="CTO", company=acme, phone="+49 30 1")
    Lead.objects.filter(pk=bea.pk).update(company=acme, title="Head of IT", owner=rep)
    make_transition(lead=bob, to="sql")
    make_enrollment(campaign=make_campaign(name="Deep dive"), lead=bob)
    add_task(bob, title="Send the offer", owner=rep, due_at=None, by_user=rep)
    make_consent(email=bob.email, status="denied")
    make_contact_point(bea.email, suppressed="complaint", suppressed_at=timezone.now())

    text = text_of(client.get("/leads/reviews/"))

    assert "1 pair of leads may be one person" in text
    assert "“Signed up” named both by email" in text
    assert "Name differs Bob Bea" in text  # who is further along stands first
    assert "Title differs CTO Head of IT" in text
    assert "Company same Acme Acme" in text
    assert "Phone +49 30 1 –" in text
    assert "Owner differs Nobody Rita Rep" in text
    assert "To do Send the offer –" in text
    assert "Campaigns Deep dive –" in text
    assert "Consent differs newsletter: no never mailed: complaint" in text
    assert f"Known by Email {bob.email} Email {bea.email}" in text


def test_a_lost_lead_is_not_proposed_to_be_kept(client, rep):
    bea, bob, _ = make_pair()
    make_transition(lead=bea, to="lost")

    assert "Are Bob and Bea one person?" in text_of(client.get(address(bea, bob)))


def test_the_page_costs_the_same_with_one_pair_and_with_many(client, rep):
    def cost():
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/leads/reviews/").status_code == 200
        return len(queries)

    def another():
        _, bob, _ = make_pair(company=make_company())
        make_enrollment(campaign=make_campaign(), lead=bob)
        make_consent(email=bob.email)
        add_task(bob, title="Call", owner=rep, due_at=None, by_user=rep)

    another()
    cost()  # what is remembered between requests
    few = cost()
    for _ in range(12):
        another()
    assert cost() == few <= 20


def test_more_pairs_than_fit_are_counted(client, rep):
    for _ in range(22):
        make_pair()

    text = text_of(client.get("/leads/reviews/"))

    assert "22 pairs of leads may be one person" in text
    assert "2 more follow when these are decided" in text


def test_a_pair_asked_about_twice_is_shown_once_and_decided_once(client, rep):
    bea, bob, _ = make_pair()
    cid = make_lead(name="Cid")
    MergeReview.objects.create(low=bea, high=cid, why="x")
    merge_by_hand(bob, cid, by_user=rep)  # now both questions are about Bea and Bob
    assert text_of(client.get("/leads/reviews/")).count("Two people: keep apart") == 1

    client.post(address(bea, bob), {"keep": "apart", "next": "reviews"})

    assert not MergeReview.objects.open().exists()


def test_same_person_keeps_whom_one_chose_and_can_be_undone(client, rep):
    bea, bob, review = make_pair()

    answer = client.post(address(bea, bob), {"keep": str(bob.uid), "next": "reviews"}, **HTMX)

    bea.refresh_from_db()
    review.refresh_from_db()
    merge = Merge.objects.get()
    assert (bea.merged_into, merge.by_user) == (bob, rep)
    assert (review.state, review.decided_by) == ("merged", rep)
    assert toast(answer) == {"text": "Bea is part of Bob now.", "undo": f"/leads/merges/{merge.pk}/undo/", "level": "success"}
    assert 'id="reviews"' in answer.content.decode()
    assert "<html" not in answer.content.decode()
    assert "Nobody is in doubt" in text_of(answer)

    undone = client.post(f"/leads/merges/{merge.pk}/undo/", **HTMX)
    bea.refresh_from_db()
    review.refresh_from_db()
    assert undone.status_code == 204
    assert "reviews-changed" in json.loads(undone["HX-Trigger"])
    assert (bea.merged_into, review.state, review.decided_by) == (None, "open", None)


def test_two_people_are_remembered_and_never_asked_about_again(client, rep):
    bea, bob, review = make_pair()

    answer = client.post(address(bob, bea), {"keep": "apart", "next": "reviews"}, **HTMX)

    review.refresh_from_db()
    assert (review.state, review.decided_by) == ("kept", rep)
    assert not Merge.objects.exists()
    assert MergeReview.objects.kept_apart([bea.pk]) == {frozenset((bea.pk, bob.pk))}

    client.post(toast(answer)["undo"], **HTMX)
    review.refresh_from_db()
    assert review.state == "open"


def test_only_ones_own_answer_of_a_moment_ago_is_taken_back(client, rep):
    bea, bob, review = make_pair()
    client.post(address(bea, bob), {"keep": str(bea.uid)}, **HTMX)
    merge = Merge.objects.get()
    client.force_login(make_rep())
    assert toast(client.post(f"/leads/merges/{merge.pk}/undo/", **HTMX))["level"] == "error"

    client.force_login(rep)
    with time_machine.travel(timezone.now() + timedelta(minutes=11), tick=False):
        client.force_login(rep)
        assert toast(client.post(f"/leads/merges/{merge.pk}/undo/", **HTMX))["level"] == "error"
    bob.refresh_from_db()
    assert bob.merged_into == bea

    unmerge(merge, by_user=make_rep())
    assert "Only your own" in toast(client.post(f"/leads/reviews/{review.pk}/ask-again/", **HTMX))["text"]
    assert "already" in toast(client.post(f"/leads/merges/{merge.pk}/undo/", **HTMX))["text"]


def test_it_works_without_htmx_too(client, rep):
    bea, bob, _ = make_pair()

    answer = client.post(address(bea, bob), {"keep": str(bea.uid), "next": "reviews"}, follow=True)
    merge = Merge.objects.get()
    assert answer.redirect_chain == [("/leads/reviews/", 302)]
    assert f'action="/leads/merges/{merge.pk}/undo/"' in answer.content.decode()

    answer = client.post(f"/leads/merges/{merge.pk}/undo/", follow=True)
    assert answer.redirect_chain == [(bob.get_absolute_url(), 302)]
    assert "Taken back: Bob is a lead of their own again." in text_of(answer)

    answer = client.post(address(bea, bob), {"keep": "apart"}, follow=True)
    assert "Bea and Bob stay two people." in text_of(answer)


def test_who_was_quicker_is_told_and_nothing_happens_twice(client, rep):
    bea, bob, _ = make_pair()
    merge_by_hand(bea, bob, by_user=make_rep())

    answer = client.post(address(bea, bob), {"keep": str(bea.uid), "next": "reviews"}, **HTMX)

    assert toast(answer) == {"text": "Bob was merged into another lead meanwhile.", "undo": "", "level": "error"}
    assert Merge.objects.count() == 1

    Lead.objects.all().update(merged_into=None)
    Lead.objects.all().delete()
    assert "forgotten" in toast(client.post(address(bea, bob), {"keep": str(bea.uid)}, **HTMX))["text"]


# --- where one finds it ---------------------------------------------------------------------------


def test_the_list_today_and_both_leads_tell_of_it(client, rep):
    bea, bob, _ = make_pair()

    assert "1 pair may be one person" in text_of(client.get("/leads/"))
    assert "1 pair of leads may be one person" in text_of(client.get("/today/"))
    assert "Perhaps the same person as Bob" in text_of(client.get(bea.get_absolute_url()))
    assert "Perhaps the same person as Bea" in text_of(client.get(bob.get_absolute_url()))
    assert address(bea, bob) in client.get(bea.get_absolute_url()).content.decode()


def test_without_a_question_nothing_is_said(client, rep):
    lead = make_lead()

    for page in ("/leads/", "/today/", lead.get_absolute_url()):
        text = text_of(client.get(page))
        assert "may be one person" not in text
        assert "Perhaps the same person" not in text


# --- by hand --------------------------------------------------------------------------------------


def test_the_other_one_is_found_by_name_or_address(client, rep):
    bea, bob, cid = make_lead(name="Bea"), make_lead(name="Bob Old"), make_lead(name="Bob Gone")
    Lead.objects.filter(pk=cid.pk).update(merged_into=bea)
    for lead in (bea, bob, cid, make_lead(email="")):
        LeadSearch.objects.create(lead=lead, text=f"{lead.name} {lead.email}".lower())

    page = client.get(f"/leads/{bea.uid}/merge/?q=bob")
    fragment = client.get(f"/leads/{bea.uid}/merge/?q={bob.email}", **HTMX)

    for found in (page, fragment):
        assert address(bea, bob) in found.content.decode()
        assert str(cid.uid) not in found.content.decode()
    assert "<html" not in fragment.content.decode()
    assert "Nobody else is called “zzz”" in text_of(client.get(f"/leads/{bea.uid}/merge/?q=zzz"))
    assert "Type a few letters" in text_of(client.get(f"/leads/{bea.uid}/merge/"))


def test_who_may_be_the_same_is_proposed_first(client, rep):
    bea, bob, _ = make_pair()

    assert address(bea, bob) in client.get(f"/leads/{bea.uid}/merge/").content.decode()


def test_two_leads_chosen_by_hand_are_compared_and_merged(client, rep):
    bea, bob = make_lead(name="Bea", engagement=3), make_lead(name="Bob")
    page = text_of(client.get(address(bob, bea)))
    assert "Are Bea and Bob one person?" in page

    answer = client.post(address(bob, bea), {"keep": str(bea.uid)}, follow=True)

    assert answer.redirect_chain == [(bea.get_absolute_url(), 302)]
    assert "Bob is part of Bea now." in text_of(answer)


def test_a_lead_is_not_compared_with_itself_a_visitor_or_a_merged_one(client, rep):
    bea, visitor = make_lead(), make_lead(email="")
    merged = make_lead(merged_into=bea)

    assert client.get(address(bea, bea)).status_code == 302
    assert client.get(address(bea, visitor)).status_code == 404
    assert client.get(address(merged, bea)).status_code == 404
    assert client.get(f"/leads/{visitor.uid}/merge/").status_code == 404


# --- the lead that absorbed others --------------------------------------------------------------------


def test_the_page_lists_who_was_merged_when_by_whom_and_why(client, rep):
    bea, bob = make_lead(name="Bea"), make_lead(name="Bob")
    cid = make_lead(name="Cid")
    merge_by_hand(bob, cid, by_user=rep)
    merge = merge_by_hand(bea, bob, by_user=rep)
    visitor = make_lead(email="", merged_into=bea)
    Merge.objects.create(absorbed=visitor, survivor=bea, why="SIGNED_UP named both by anonymous_id")

    page = client.get(bea.get_absolute_url())

    text = text_of(page)
    assert "One person, 4 leads" in text
    assert re.search(r"Bob \d* ?\S+[^,]*, said Rita Rep", text)
    assert "into Bob, said Rita Rep" in text
    assert "“Signed up” named both by anonymous id" in text
    assert f'action="/leads/merges/{merge.pk}/apart/"' in page.content.decode()


def test_taking_apart_on_the_page_makes_two_leads_that_stay_two(client, rep):
    bea, bob = make_lead(name="Bea"), make_lead(name="Bob")
    merge = merge_by_hand(bea, bob, by_user=make_rep())

    answer = client.post(f"/leads/merges/{merge.pk}/apart/", follow=True)

    assert answer.redirect_chain == [(bob.get_absolute_url(), 302)]
    assert "Bob is a lead of their own again" in text_of(answer)
    assert MergeReview.objects.get().state == "kept"
    assert "One person" not in text_of(client.get(bea.get_absolute_url()))

    again = client.post(f"/leads/merges/{merge.pk}/apart/", follow=True)
    assert "Bob was taken apart by Rita Rep already." in text_of(again)


def test_notes_moves_and_merges_of_both_stand_in_one_timeline(client, rep):
    bea, bob = make_lead(name="Bea"), make_lead(name="Bob")
    make_transition(lead=bob, to="mql")
    log_activity(bob, kind="note", text="Likes tea", by_user=rep)
    merge = merge_by_hand(bea, bob, by_user=rep)

    text = text_of(client.get(bea.get_absolute_url()))
    assert "Likes tea" in text
    assert re.search(r"to Marketing qualified .*as Bob", text)
    assert "The same person as Bob said Rita Rep" in text

    unmerge(merge, by_user=rep)
    assert "Likes tea" not in text_of(client.get(bea.get_absolute_url()))
    assert "taken apart by Rita Rep" in text_of(client.get(bea.get_absolute_url()))
    assert "The same person as Bea" in text_of(client.get(bob.get_absolute_url()))


def test_pages_of_a_timeline_with_many_merges_leave_nothing_out(rep):
    bea = make_lead(name="Bea")
    for n in range(90):
        Merge.objects.create(absorbed=make_lead(merged_into=bea), survivor=bea, at=timezone.now() - timedelta(minutes=n // 3))

    seen, before = [], ""
    while True:
        timeline = build_timeline(bea, None, before=before, now=timezone.now())
        seen += [entry.pk for _, entries in timeline.days for entry in entries]
        if not (before := timeline.older):
            break

    assert len(seen) == len(set(seen)) == 90


# --- the API --------------------------------------------------------------------------------------


def test_the_api_follows_a_merge_and_its_undoing(client, rep):
    bea, bob = make_lead(name="Bea"), make_lead(name="Bob")
    key = make_source(scope="read")[1]

    def uid(query):
        body = client.get(f"/api/leads{query}", headers={"Authorization": f"Bearer {key}"}).json()
        return (body["results"][0] if "results" in body else body)["uid"]

    merge = merge_by_hand(bea, bob, by_user=rep)
    assert uid(f"?email={bob.email}") == uid(f"/{bob.uid}") == str(bea.uid)

    unmerge(merge, by_user=rep)
    assert uid(f"?email={bob.email}") == uid(f"/{bob.uid}") == str(bob.uid)
    assert uid(f"?email={bea.email}") == str(bea.uid)
