import os
import signal
import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from campaigns import sending
from campaigns.confirmation import ask_for_confirmation
from campaigns.documents import read_document
from campaigns.models import Campaign, Enrollment, Message
from campaigns.sending import BACK_OFF, pause_after, queue_message, reap, send_due
from leads.models import ContactPoint, Delivery, Identity
from leads.recording import Recorded
from tests.factories import (
    make_campaign,
    make_consent,
    make_contact_point,
    make_enrollment,
    make_event,
    make_lead,
    make_message,
    make_rep,
    make_step,
)
from tests.mailserver import mail_server, smtp_mailers

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def server(settings, clock):
    with mail_server() as recorder:
        settings.MAILERS = smtp_mailers(recorder.port)
        yield recorder


@pytest.fixture
def campaign():
    return make_campaign(steps=[make_step("welcome"), make_step("second", after="1d")])


def queued(campaign, *, email="ada@example.com", consent=True, **lead):
    """A message of the first step in the outbox, as the schedule puts it there."""
    person = make_lead(email=email, **lead)
    if consent:
        make_consent(email=email)
    run = make_enrollment(campaign=campaign, lead=person)
    return queue_message(run, read_document(run.version.document).steps[0], now=timezone.now())


def fresh(message):
    return Message.objects.select_related("enrollment").get(pk=message.pk)


def test_a_due_message_is_sent_once_and_its_run_goes_on(server, campaign):
    message = queued(campaign)

    assert send_due() == 1
    assert send_due() == 0

    message = fresh(message)
    assert (message.state, message.phase, message.attempts) == ("sent", "data", 1)
    assert (message.sent_at, message.to, message.subject, message.claim_token) == (NOW, "ada@example.com", "About welcome", None)
    assert message.contact_point == ContactPoint.objects.get()
    (mail,) = server.messages
    assert mail["Message-ID"] == f"<{message.uid}@localhost>"
    assert mail["To"] == "ada@example.com"
    assert (message.enrollment.next_step, message.enrollment.due_at) == ("second", NOW + timedelta(days=1))


def test_queueing_twice_makes_one_message(server, campaign):
    message = queued(campaign)
    step = read_document(message.enrollment.version.document).steps[0]

    assert queue_message(message.enrollment, step, now=NOW) == message
    send_due()

    assert len(server.mails) == 1


def test_replies_go_to_the_owner(server, campaign):
    rep = make_rep()
    queued(campaign, owner=rep)

    send_due()

    assert server.messages[0]["Reply-To"] == rep.email


def test_replies_go_to_the_workspace_when_nobody_owns_the_lead(server, campaign, settings):
    settings.REPLY_TO = "team@example.com"
    queued(campaign)

    send_due()

    assert server.messages[0]["Reply-To"] == "team@example.com"


def test_links_are_stored_and_replaced(server):
    body = "[Docs](https://docs.example.com/a) and [more](https://docs.example.com/b)"
    message = queued(make_campaign(steps=[make_step(message={"subject": "S", "body": body})]))

    send_due()

    assert [link.url for link in message.links.order_by("position")] == ["https://docs.example.com/a", "https://docs.example.com/b"]
    assert "docs.example.com" not in server.messages[0].get_body(("html",)).get_content()


def test_without_consent_nothing_is_sent_and_the_receipt_says_so(server, campaign):
    message = queued(campaign, consent=False)

    send_due()

    message = fresh(message)
    assert (message.state, message.reason, message.ended_at) == ("skipped", "no_consent", NOW)
    assert message.enrollment.next_step == "second"
    assert server.mails == []


def test_consent_taken_back_after_queueing_ends_the_run(server, campaign):
    message = queued(campaign)
    make_consent(email="ada@example.com", status="denied", at=NOW + timedelta(seconds=1))

    send_due(NOW + timedelta(minutes=1))

    message = fresh(message)
    assert (message.state, message.reason) == ("canceled", "unsubscribed")
    assert (message.enrollment.state, message.enrollment.reason) == ("exited", "unsubscribed")
    assert server.mails == []


def test_a_suppressed_address_gets_nothing(server, campaign):
    make_contact_point("ada@example.com", suppressed="complaint", suppressed_at=NOW - timedelta(days=1))
    message = queued(campaign)

    send_due()

    assert (fresh(message).state, fresh(message).reason) == ("skipped", "suppressed: complaint")


def test_outside_the_window_a_message_waits(server):
    campaign = make_campaign(window={"days": "wed", "hours": "09:00-10:00"})
    message = queued(campaign)

    send_due()

    message = fresh(message)
    assert (message.state, message.reason, message.due_at) == ("scheduled", "window", datetime(2026, 3, 4, 9, tzinfo=UTC))
    assert (message.attempts, message.claim_count) == (0, 0)
    send_due(message.due_at)
    assert fresh(message).state == "sent"


def test_messages_of_a_paused_campaign_wait(server, campaign):
    message = queued(campaign)
    Campaign.objects.update(status="paused")

    assert send_due() == 0

    assert fresh(message).state == "scheduled"


def test_the_mail_goes_to_the_address_the_lead_has_now(server, campaign):
    message = queued(campaign)
    make_consent(email="new@example.com")
    message.lead.email = "new@example.com"
    message.lead.save()

    send_due()

    assert server.mails[0].rcpt_tos == ["new@example.com"]
    assert fresh(message).to == "new@example.com"


def test_a_lead_without_address_gets_a_receipt(server, campaign):
    message = queued(campaign, email="", consent=False)

    send_due()

    assert (fresh(message).state, fresh(message).reason) == ("skipped", "no_address")


def test_a_broken_template_fails_its_message_and_the_others_go_out(server, campaign):
    broken = make_campaign(steps=[make_step(message={"subject": "S", "body": "Hi {{ lead.title }}"})], priority=90)
    bad, good = queued(broken), queued(campaign, email="bob@example.com")

    send_due()

    bad = fresh(bad)
    assert (bad.state, bad.reason) == ("failed", "template")
    assert "lead.title is undefined; give it a default" in bad.error
    assert bad.enrollment.state == "completed"
    assert fresh(good).state == "sent"
    assert len(server.mails) == 1


def test_an_error_of_our_own_backs_off_and_the_others_go_out(server, campaign):
    bad, good = queued(campaign), queued(campaign, email="bob@example.com")
    document = bad.enrollment.version.document | {"class": "nonsense"}
    other = make_campaign()
    type(other.live).objects.filter(pk=other.live_id).update(document=document)
    Enrollment.objects.filter(pk=bad.enrollment_id).update(version=other.live, campaign=other)

    send_due()

    bad = fresh(bad)
    assert (bad.state, bad.reason, bad.attempts) == ("scheduled", "back_off", 1)
    assert bad.due_at > NOW
    assert "ValidationError" in bad.error
    assert fresh(good).state == "sent"


def test_a_450_is_tried_again_later_with_the_same_message_id(server, campaign):
    message = queued(campaign)
    server.on_rcpt = "450 4.2.1 try later"

    send_due()

    message = fresh(message)
    assert (message.state, message.reason, message.phase, message.attempts) == ("scheduled", "back_off", "", 1)
    assert timedelta(seconds=48) <= message.due_at - NOW <= timedelta(seconds=72)
    assert "450 4.2.1 try later" in message.error
    assert message.enrollment.due_at is None

    server.on_rcpt = ""
    send_due(message.due_at)

    assert fresh(message).state == "sent"
    assert fresh(message).error == ""
    assert server.messages[0]["Message-ID"] == f"<{message.uid}@localhost>"


def test_back_off_grows_and_ends(server, campaign, clock):
    message = queued(campaign)
    server.on_rcpt = "450 4.2.1 try later"
    waits = []

    for _ in range(6):
        send_due()
        message = fresh(message)
        waits.append(message.due_at - timezone.now())
        clock.move_to(message.due_at)

    assert (message.state, message.reason, message.attempts) == ("failed", "gave_up", 6)
    assert all(0.8 <= wait / planned <= 1.2 for wait, planned in zip(waits, BACK_OFF, strict=False))
    assert message.enrollment.next_step == "second"


def test_the_jitter_is_the_same_every_time(campaign, clock):
    message = queued(campaign)
    message.attempts = 3

    assert pause_after(message) == pause_after(fresh_with(message, attempts=3))
    assert len({pause_after(fresh_with(queued(campaign, email=f"{n}@example.com"), attempts=3)) for n in range(5)}) == 5


def fresh_with(message, **changes):
    copy = fresh(message)
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy


def test_back_off_never_goes_past_not_after(server):
    campaign = make_campaign(steps=[make_step(not_after="30s")])
    message = queued(campaign)
    server.on_rcpt = "450 4.2.1 try later"

    send_due()

    assert (fresh(message).state, fresh(message).reason) == ("failed", "not_after")


def test_an_unknown_mailbox_is_suppressed_and_becomes_an_event(server, campaign):
    message = queued(campaign)
    server.on_rcpt = "550 5.1.1 User unknown"

    send_due()

    message = fresh(message)
    point = ContactPoint.objects.get()
    assert (message.state, message.reason) == ("failed", "bounce")
    assert (point.suppressed, point.suppressed_at) == ("hard_bounce", NOW)
    assert (message.enrollment.state, message.enrollment.reason) == ("exited", "hard_bounce")
    assert b"EMAIL_BOUNCED" in bytes(Delivery.objects.get().body)


def test_a_policy_refusal_fails_without_suppressing(server, campaign):
    message = queued(campaign)
    server.on_data = "554 5.7.1 we don't like it"

    send_due()

    assert (fresh(message).state, fresh(message).reason) == ("failed", "refused")
    assert ContactPoint.objects.get().suppressed == ""
    assert fresh(message).enrollment.next_step == "second"


@pytest.mark.parametrize("place", ["rcpt", "data"])
def test_a_server_that_hangs_up_before_the_body_gets_the_mail_later(server, campaign, place):
    message = queued(campaign)
    server.drop = place

    send_due()

    assert fresh(message).state == "scheduled"
    server.drop = ""
    send_due(fresh(message).due_at)
    assert fresh(message).state == "sent"
    assert len(server.mails) == 1


def test_a_server_that_hangs_up_after_the_dot_is_never_sent_to_again(server, campaign):
    message = queued(campaign)
    server.drop = "dot"

    send_due()
    server.drop = ""
    send_due(NOW + timedelta(days=1))

    message = fresh(message)
    assert (message.state, message.reason, message.sent_at) == ("unknown", "no_answer", None)
    assert message.enrollment.next_step == "second"
    assert server.mails == []


def test_an_unreachable_server_costs_the_others_no_attempt(server, campaign):
    messages = [queued(campaign, email=f"{n}@example.com") for n in range(3)]
    server.stop()

    assert send_due() == 3

    states = [(fresh(message).state, fresh(message).attempts, fresh(message).reason) for message in messages]
    assert states == [("scheduled", 1, "back_off"), ("scheduled", 0, ""), ("scheduled", 0, "")]
    assert all(fresh(message).due_at > NOW for message in messages)
    assert all(fresh(message).claim_token is None for message in messages)


def test_one_connection_serves_a_batch(server, campaign):
    for n in range(5):
        queued(campaign, email=f"{n}@example.com")

    send_due()

    assert len(server.mails) == 5
    assert server.connections == 1


def test_higher_priority_goes_first(server, campaign):
    queued(campaign, email="low@example.com")
    queued(make_campaign(priority=90), email="high@example.com")

    send_due()

    assert [mail.rcpt_tos[0] for mail in server.mails] == ["high@example.com", "low@example.com"]


def test_sigterm_finishes_the_mail_at_hand_and_gives_back_the_rest(server, campaign):
    messages = [queued(campaign, email=f"{n}@example.com") for n in range(3)]
    received = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    handle = type(server).handle_DATA

    async def stop_us(self, *args):
        os.kill(os.getpid(), signal.SIGTERM)
        return await handle(self, *args)

    server.handle_DATA = stop_us.__get__(server)
    try:
        send_due()
    finally:
        signal.signal(signal.SIGTERM, former)

    assert [fresh(message).state for message in messages] == ["sent", "scheduled", "scheduled"]
    assert all(fresh(message).claim_token is None for message in messages)
    assert received == [signal.SIGTERM]


def test_a_batch_that_takes_too_long_gives_back_the_rest(server, campaign, monkeypatch):
    messages = [queued(campaign, email=f"{n}@example.com") for n in range(2)]
    monkeypatch.setattr(sending, "BATCH_SECONDS", -1)

    send_due()

    assert [fresh(message).state for message in messages] == ["scheduled", "scheduled"]


def abandoned(message, **fields):
    """The message as a worker that died left it."""
    token = "0" * 31 + "1"
    past = datetime(2000, 1, 1, tzinfo=UTC)
    Message.objects.filter(pk=message.pk).update(claim_token=token, lease_until=past, claim_count=fields.pop("claim_count", 1), **fields)


@pytest.mark.parametrize(("state", "phase"), [("claimed", ""), ("sending", "opened")])
def test_what_a_dead_worker_had_not_sent_is_sent(server, campaign, state, phase):
    message = queued(campaign)
    abandoned(message, state=state, phase=phase)

    assert send_due() == 0
    assert reap() == 1
    assert (fresh(message).state, fresh(message).claim_count) == ("scheduled", 1)
    send_due()

    assert (fresh(message).state, fresh(message).claim_count) == ("sent", 0)
    assert len(server.mails) == 1


def test_what_a_dead_worker_may_have_sent_is_never_sent_again(server, campaign):
    message = queued(campaign)
    abandoned(message, state="sending", phase="data", sending_at=NOW)

    reap()
    send_due()

    message = fresh(message)
    assert (message.state, message.reason) == ("unknown", "worker_died")
    assert message.enrollment.next_step == "second"
    assert server.mails == []


def test_a_message_that_kills_its_workers_fails(server, campaign):
    message = queued(campaign)
    abandoned(message, state="claimed", claim_count=5)

    reap()

    assert (fresh(message).state, fresh(message).reason) == ("failed", "worker_died")


def test_a_live_worker_is_left_alone(server, campaign):
    message = queued(campaign)
    Message.objects.due(NOW).claim(1, state="claimed")

    assert reap() == 0
    assert fresh(message).state == "claimed"


def test_a_worker_whose_claim_was_taken_sends_nothing(server, campaign):
    message = queued(campaign)
    token, pks = Message.objects.due(NOW).claim(1, state="claimed")
    begun = sending.begin(pks[0], token, now=NOW)
    Message.objects.filter(pk=message.pk).update(lease_until=datetime(2000, 1, 1, tzinfo=UTC))
    reap()

    with pytest.raises(sending.ClaimLost):
        sending.attempt(begun)

    assert server.mails == []


def test_a_late_answer_heals_what_the_reaper_took_for_lost(server, campaign):
    message = queued(campaign)
    token, pks = Message.objects.due(NOW).claim(1, state="claimed")
    begun = sending.begin(pks[0], token, now=NOW)
    failure = sending.attempt(begun)
    Message.objects.filter(pk=message.pk).update(lease_until=datetime(2000, 1, 1, tzinfo=UTC))
    reap()
    assert fresh(message).state == "unknown"

    sending.finish(begun, failure, now=NOW)

    assert (fresh(message).state, fresh(message).sent_at) == ("sent", NOW)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer; its claims can't meet")
def test_two_workers_send_every_mail_once(server, campaign):
    for n in range(20):
        queued(campaign, email=f"{n}@example.com")

    def work():
        while send_due(NOW, limit=3):
            pass
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(mail.rcpt_tos[0] for mail in server.mails) == sorted(f"{n}@example.com" for n in range(20))
    assert set(Message.objects.values_list("state", flat=True)) == {"sent"}


def unconfirmed(email="ada@example.com", **fields):
    """A visitor who typed an address into a browser, and the event that brought it."""
    lead = make_lead(email="", unconfirmed_email=email, **fields)
    event = make_event(lead=lead, at=NOW)
    ask_for_confirmation(events=[event], recorded=Recorded(now=NOW, types={}))
    return lead, event


def test_an_unconfirmed_address_is_asked_once(server):
    lead, event = unconfirmed()
    ask_for_confirmation(events=[event], recorded=Recorded(now=NOW, types={}))

    send_due()
    send_due()

    (mail,) = server.messages
    assert mail["To"] == "ada@example.com"
    assert "/confirm/" in mail.get_body(("plain",)).get_content()
    assert mail["List-Unsubscribe"] is None
    assert lead.messages.get().state == "sent"


def test_old_and_imported_addresses_are_not_asked(server):
    lead = make_lead(email="", unconfirmed_email="ada@example.com")
    events = [make_event(lead=lead, at=NOW - timedelta(days=3)), make_event(lead=lead, at=NOW, historical=True)]

    ask_for_confirmation(events=events, recorded=Recorded(now=NOW, types={}))

    assert not Message.objects.exists()


def test_an_address_confirmed_meanwhile_is_not_asked(server):
    lead, _ = unconfirmed()
    lead.email, lead.unconfirmed_email = "ada@example.com", ""
    lead.save()
    Identity.objects.create(kind="email", value="ada@example.com", lead=lead, first_lead=lead)

    send_due()

    assert (lead.messages.get().state, lead.messages.get().reason) == ("skipped", "confirmed")
    assert server.mails == []


def test_a_suppressed_address_is_not_asked(server):
    make_contact_point("ada@example.com", suppressed="erased", suppressed_at=NOW)
    lead, _ = unconfirmed()

    send_due()

    assert lead.messages.get().state == "skipped"


def test_messages_not_of_a_campaign_step_any_more_fail_with_a_receipt(server, campaign):
    message = make_message(run=queued(campaign).enrollment, step="gone")

    send_due()

    assert (fresh(message).state, fresh(message).reason) == ("failed", "template")
