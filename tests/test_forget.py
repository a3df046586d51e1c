"""Forgetting somebody leaves nothing that names them but a hash."""

import json
import mailbox
from email.message import EmailMessage
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from campaigns.models import Campaign, CampaignVersion, Enrollment, Message
from leads import intake, tasks, whatif
from leads.intake import record_internal
from leads.models import (
    Consent,
    ContactPoint,
    Delivery,
    Event,
    Gate,
    Identity,
    Lead,
    LeadSearch,
    Stage,
    Task,
    Topic,
    WhatIf,
    hash_address,
)
from leads.replay import draft_to_try
from tests.factories import make_lead, make_rep, make_source, make_transition

pytestmark = pytest.mark.django_db
ADA = "ada@canary.example"


@pytest.fixture
def product():
    return make_source()[0]


def post(source, *messages, door="events", drain=True, body=None, **fields):
    body = body if body is not None else json.dumps(list(messages)).encode()
    delivery = Delivery.objects.create(source=source, door=door, body=body, message_count=len(messages) or 1, **fields)
    if drain:
        intake.drain_all()
        delivery.refresh_from_db()
    return delivery


def forget(*args):
    out = StringIO()
    call_command("forget", *args, stdout=out)
    return out.getvalue()


def whole_database():
    """Every value of every row, as text."""
    texts = []
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            if model._meta.managed:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")
                for row in cursor.fetchall():
                    texts += [
                        bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value) for value in row
                    ]
    return "\n".join(texts).lower()


def make_message(lead, **fields):
    number = Campaign.objects.count() + 1
    campaign = Campaign.objects.create(key=f"CAMPAIGN_{number}", name="Campaign", trigger={"manual": True})
    version = CampaignVersion.objects.create(campaign=campaign, number=1, document={})
    enrollment = Enrollment.objects.create(
        campaign=campaign, version=version, lead=lead, first_lead=lead, cause="manual:1", cause_at=timezone.now(), run_key=lead.email
    )
    return Message.objects.create(
        **{"enrollment": enrollment, "step": "hi", "lead": lead, "first_lead": lead, "to": lead.email, "due_at": timezone.now()} | fields
    )


def test_nothing_that_names_the_person_is_left(product):
    colleague = {"userId": "bob", "email": "bob@canary.example", "eventType": "TEAMMATE_INVITED", "metadata": {"invited": ADA.upper()}}
    post(product, {"anonymousId": "canary-anon", "eventType": "PAGE_VIEWED", "metadata": {"path": "/canary-path"}})
    post(
        product,
        {
            "messageId": f"signup-{ADA}",
            "userId": "canary-user",
            "anonymousId": "canary-anon",
            "email": ADA,
            "eventType": "SIGNED_UP",
            "traits": {"name": "Canary Lovelace", "phone": "canary-phone", "title": "canary-title", "note": "canary-note"},
        },
        colleague,
        idempotency_key=f"canary-key-{ADA}",
    )
    lead = Lead.objects.get(email=ADA)
    make_message(lead, subject="Dear Canary Lovelace", text="canary-text")
    Task.objects.create(lead=lead, title="Call Canary Lovelace")
    LogEntry.objects.create(
        user=make_rep(),
        content_type=ContentType.objects.get_for_model(Lead),
        object_id=str(lead.pk),
        object_repr="Canary Lovelace",
        action_flag=CHANGE,
        change_message="canary-change",
    )
    assert whole_database().count("canary") > 20

    out = forget(ADA)

    left = whole_database().replace("bob@canary.example", "").replace("canary.example", "")
    assert "canary" not in left
    assert "ada@" not in left
    assert not Lead.objects.filter(pk=lead.pk).exists()
    assert Event.objects.get().properties == {"invited": "[erased]"}
    assert ContactPoint.objects.get(address_hash=hash_address(ADA)).suppressed == ContactPoint.Suppression.ERASED
    assert f"Forgotten: {ADA}" in out
    assert "deleted        2  events" in out
    assert "deleted        1  messages" in out
    assert "emptied        2  raw bodies" in out
    assert "blanked        1  events of other people" in out
    assert "suppressed     1  addresses" in out


def test_simulations_forget_too_also_one_that_is_running(product):
    gate = Gate.objects.create(key="titled", to=Stage.objects.get(key="mql"), conditions=[{"field": "lead.title", "op": "exists"}])
    gate.from_stages.add(Stage.objects.get(key="cold"))
    post(
        product,
        *(
            {"userId": who, "email": f"{who}@canary.example", "traits": {"title": f"{who}-title"}, "eventType": "X"}
            for who in ("ada", "bob")
        ),
    )
    done, running = (whatif.start_simulation(draft_to_try(), seconds=9) for _ in range(2))
    WhatIf.objects.filter(pk=done.pk).update(state="done")
    token, _ = WhatIf.objects.due(timezone.now()).claim(1)
    assert whole_database().count("ada-title") > 2

    forget(ADA)
    with pytest.raises(whatif.Stopped):
        whatif.run(running, token)  # its worker still knows Ada
    tasks.run_what_ifs()

    assert "ada-title" not in whole_database()
    assert [[each["why"] for each in row.result["moves"]["titled"]] for row in WhatIf.objects.all()] == [
        [["title is known (“bob-title”)"]]
    ] * 2
    assert set(WhatIf.objects.values_list("state", "claim_token")) == {("done", None)}


def test_others_keep_what_is_theirs(product):
    post(product, {"userId": "bob", "email": "bob@example.com", "eventType": "SIGNED_UP"})
    other = Lead.objects.get(email="bob@example.com")
    kept = make_message(other)
    post(product, {"userId": "ada", "email": ADA, "eventType": "SIGNED_UP"})

    forget(ADA)

    assert list(Lead.objects.all()) == [other]
    assert list(other.events.values_list("type", flat=True)) == ["SIGNED_UP"]
    assert list(Message.objects.all()) == [kept]
    assert LeadSearch.objects.get().text.startswith("bob@example.com")
    assert Delivery.objects.exclude(body=b"").count() == 1
    assert Delivery.objects.count() == 2


def test_all_addresses_of_the_person_stay_suppressed_and_consent_loses_its_proof(product):
    post(product, {"userId": "ada", "email": ADA, "eventType": "SIGNED_UP"})
    post(product, {"userId": "ada", "email": "ada@home.example", "eventType": "SIGNED_UP"})
    point, _ = ContactPoint.objects.get_or_create(address_hash=hash_address(ADA))
    topic = Topic.objects.create(key="canary-news", name="News")
    Consent.objects.create(contact_point=point, topic=topic, status="granted", source="form", proof="I, Ada, agree")

    forget(ADA)

    for address in (ADA, "ada@home.example"):
        assert ContactPoint.objects.get(address_hash=hash_address(address)).suppressed == "erased"
    consent = Consent.objects.get()
    assert (consent.status, consent.proof) == ("granted", "")


def test_a_merged_lead_is_forgotten_with_the_one_it_became(product):
    post(product, {"anonymousId": "visitor", "eventType": "PAGE_VIEWED"})
    post(product, {"anonymousId": "visitor", "email": ADA, "eventType": "SIGNED_UP"})
    absorbed = make_lead(email="old@example.com", merged_into=Lead.objects.get(email=ADA))
    absorbed.identities.update(value="ancient@example.com")

    forget("ancient@example.com")

    assert not Lead.objects.exists()
    assert not Event.objects.exists()


def test_a_lead_with_a_past_in_sales_is_forgotten_too():
    make_rep()
    lead = make_lead(email=ADA)
    transition = make_transition(lead=lead)
    Task.objects.create(lead=lead, title="x", transition=transition, kind="handoff")
    task = Task.objects.create(lead=make_lead(), title="y")
    task.colleagues.add(lead)

    forget(" Ada@Canary.Example ")

    assert list(Task.objects.all()) == [task]
    assert not task.colleagues.exists()


def test_a_visitor_who_typed_the_address_is_forgotten_but_not_somebody_known():
    visitor = make_lead(email="", unconfirmed_email=ADA)
    known = make_lead(unconfirmed_email=ADA)
    Message.objects.create(kind="confirmation", lead=known, first_lead=known, to=ADA, due_at=timezone.now())

    forget(ADA)

    assert list(Lead.objects.all()) == [known]
    known.refresh_from_db()
    assert known.unconfirmed_email == ""
    assert visitor.email == ""
    assert not Message.objects.exists()


def test_what_waits_in_the_inbox_is_recorded_and_deleted_with_the_rest(product):
    post(product, {"userId": "ada", "email": ADA, "eventType": "SIGNED_UP"}, drain=False)

    out = forget(ADA)

    assert "deleted        1  events" in out
    assert not Lead.objects.exists()
    assert bytes(Delivery.objects.get().body) == b""


@pytest.mark.parametrize(
    ("door", "body"),
    [
        ("events", b'[{"userId":"bob","eventType":"X"},{"userId":"ada","eventType":"X"},{"userId":"eve","eventType":"X"}]'),
        ("ndjson", b'{"userId":"bob","eventType":"X"}\n\n{"userId":"ada","eventType":"X"}\n{"userId":"eve","eventType":"X"}'),
        (
            "batch",
            b'{"sentAt":"2026-06-08T09:00:00Z","writeKey":"k","batch":[{"type":"track","userId":"bob","event":"X"},'
            b'{"type":"track","userId":"u","event":"X","properties":{"to":"\\u0061DA@canary.example"}},{"type":"track","userId":"eve","event":"X"}]}',
        ),
    ],
)
def test_a_request_that_is_due_later_loses_only_the_messages_about_them(product, door, body):
    post(product, {"userId": "ada", "email": ADA, "eventType": "SIGNED_UP"})
    later = post(
        product, door=door, body=body, drain=False, due_at=timezone.now() + timezone.timedelta(seconds=60), message_ids=["1", "2", "3"]
    )

    out = forget(ADA)

    Delivery.objects.update(due_at=timezone.now())
    intake.drain_all()
    later.refresh_from_db()
    assert "refused        1  messages about them that still waited" in out
    assert (later.state, later.stored) == (Delivery.State.PROCESSED, 2)
    assert [line["index"] for line in later.rejected] == [1]
    assert sorted(Identity.objects.values_list("value", flat=True)) == ["bob", "eve"]


def test_a_click_that_is_due_later_does_not_bring_the_person_back():
    lead = make_lead(email=ADA)
    record_internal([{"type": "EMAIL_CLICKED", "leadUid": str(lead.uid)}], due_in=timezone.timedelta(seconds=15))

    forget(ADA)

    Delivery.objects.update(due_at=timezone.now())
    intake.drain_all()
    assert not Lead.objects.exists()
    assert Delivery.objects.get().state == Delivery.State.PROCESSED


def test_while_a_worker_records_something_about_them_nothing_is_changed(product):
    post(product, {"userId": "ada", "email": ADA, "eventType": "SIGNED_UP"})
    post(product, {"userId": "ada", "eventType": "SIGNED_UP"}, drain=False)
    Delivery.objects.due(timezone.now()).claim(1)

    with pytest.raises(CommandError, match=r"Nothing was changed; run it again in a minute\."):
        forget(ADA)

    assert Lead.objects.get().email == ADA


def test_an_unknown_address_says_so_and_changes_nothing():
    out = forget(ADA)

    assert f"Nobody here has the address {ADA}." in out
    assert "add --suppress" in out
    assert not ContactPoint.objects.exists()


def test_an_unknown_address_can_be_suppressed_all_the_same():
    out = forget(ADA, "--suppress")

    assert "Nobody here" in out
    assert ContactPoint.objects.get().suppressed == "erased"


def test_forgetting_twice_is_harmless_and_keeps_the_suppression():
    make_lead(email=ADA)
    forget(ADA)

    assert "Nobody here" in forget(ADA)
    assert ContactPoint.objects.get().suppressed == "erased"


def test_what_is_no_address_is_refused():
    with pytest.raises(CommandError, match="'ada' is not a mail address"):
        forget("ada")


def test_mails_in_the_local_mailbox_go_too(settings):
    make_lead(email=ADA)
    box = mailbox.Maildir(settings.MAILBOX_DIR, create=True)
    for to in (ADA, "bob@example.com"):
        mail = EmailMessage()
        mail["To"] = to
        mail.set_content("Grüße")
        box.add(mail)

    out = forget(ADA)

    assert [mail["To"] for mail in mailbox.Maildir(Path(settings.MAILBOX_DIR))] == ["bob@example.com"]
    assert "deleted        1  mails in the local mailbox" in out
