import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import DatabaseError
from django.urls import reverse
from django.utils import timezone

from campaigns import tracking
from campaigns.models import Click, Link, Message
from campaigns.tokens import Purpose, confirm_url, link_url, make_token, read_token, unsubscribe_url
from campaigns.urls import mailbox_patterns
from leads.intake import drain_all
from leads.models import Consent, Delivery, Event, Lead
from tests.factories import make_campaign, make_consent, make_enrollment, make_lead, make_message

pytestmark = pytest.mark.django_db

SENT = datetime(2026, 3, 3, 12, tzinfo=UTC)
URL = "https://docs.example.com/start?a=1&b=2"


@pytest.fixture
def clock():
    with time_machine.travel(SENT + timedelta(hours=1), tick=False) as traveller:
        yield traveller


@pytest.fixture
def message(clock):
    run = make_enrollment(campaign=make_campaign(key="DOCS"), lead=make_lead(email="ada@example.com"))
    return make_message(run=run, state="sent", sent_at=SENT)


def make_link(message, position=1, url=URL):
    return Link.objects.create(message=message, position=position, url=url)


def path_of(url):
    return re.sub(r"^https?://[^/]+", "", url)


def clicked(client, link, method="get", **headers):
    return getattr(client, method)(path_of(link_url(link)), headers=headers)


def events(clock):
    """The events that came of it, after the delay for clicks."""
    clock.shift(timedelta(seconds=16))
    drain_all()
    return list(Event.objects.order_by("at", "message_id"))


def test_a_token_is_short_and_good_for_one_purpose_only():
    token = make_token(2**48 - 1, Purpose.CLICK)

    assert len(token) == 24
    assert read_token(token, Purpose.CLICK) == 2**48 - 1
    assert read_token(token, Purpose.UNSUBSCRIBE) is None
    for bad in ["", "x", "ä" * 24, token[:-1], token + "A", "A" * 24, token.swapcase(), "=" * 24]:
        assert read_token(bad, Purpose.CLICK) is None


def test_tokens_made_under_a_former_key_stay_good(settings):
    token = make_token(7, Purpose.UNSUBSCRIBE)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new key"

    assert read_token(token, Purpose.UNSUBSCRIBE) == 7


def test_a_click_leads_on_and_becomes_an_event_15_seconds_later(client, message, clock):
    link = make_link(message)

    answer = clicked(client, link)

    assert (answer.status_code, answer["Location"]) == (302, URL)
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies
    drain_all()
    assert not Event.objects.exists()
    (event,) = events(clock)
    assert (event.type, event.lead, event.verdict, event.at) == ("EMAIL_CLICKED", message.lead, "", SENT + timedelta(hours=1))
    assert event.properties == {"message": str(message.uid), "campaign": "DOCS", "step": "welcome", "url": URL, "link": 1}


def test_the_address_in_a_mail_holds_no_address(message):
    assert re.fullmatch(r"http://localhost:8000/c/[\w-]{24}", link_url(make_link(message)))


@pytest.mark.parametrize("token", ["x", "A" * 24, "https:%2F%2Fevil.example", "..%2f..%2f", "%00", "ä" * 24])
def test_a_bad_token_is_a_plain_404(client, token):
    for prefix in ["/c/{}", "/u/{}", "/confirm/{}/"]:
        answer = client.get(prefix.format(token))
        assert answer.status_code == 404
        assert "Location" not in answer


def test_a_token_of_a_link_that_is_gone_is_a_404(client, message):
    link = make_link(message)
    address = path_of(link_url(link))
    link.delete()

    assert client.get(address).status_code == 404


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//evil.example", "ftp://x.example"])
def test_only_web_addresses_are_followed(client, message, url):
    assert clicked(client, make_link(message, url=url)).status_code == 404
    assert not Click.objects.exists()


def test_a_click_can_not_be_posted(client, message):
    assert clicked(client, make_link(message), method="post").status_code == 405


def test_a_head_is_suspect(client, message, clock):
    assert clicked(client, make_link(message), method="head").status_code == 302

    assert [event.verdict for event in events(clock)] == ["suspect"]


def test_a_prefetch_leads_on_without_being_recorded(client, message):
    assert clicked(client, make_link(message), **{"Sec-Purpose": "prefetch;prerender"}).status_code == 302

    assert not Click.objects.exists()


@pytest.mark.parametrize(("seconds", "verdict"), [(59, "suspect"), (60, "")])
def test_a_click_within_a_minute_of_sending_is_suspect(client, message, clock, seconds, verdict):
    clock.move_to(SENT + timedelta(seconds=seconds))

    clicked(client, make_link(message))

    assert [event.verdict for event in events(clock)] == [verdict]


@pytest.mark.parametrize(
    ("gaps", "verdicts"),
    [
        ([2, 3], ["suspect"] * 3),
        ([2, 4], [""] * 3),
        ([3600, 2, 2], ["", "suspect", "suspect", "suspect"]),
    ],
)
def test_three_links_within_five_seconds_are_suspect(client, message, clock, gaps, verdicts):
    links = [make_link(message, position) for position in range(1, len(gaps) + 2)]

    clicked(client, links[0])
    for gap, link in zip(gaps, links[1:], strict=True):
        clock.shift(timedelta(seconds=gap))
        clicked(client, link)

    assert [event.verdict for event in events(clock)] == verdicts


def test_the_same_link_three_times_is_no_burst(client, message, clock):
    link = make_link(message)

    for _ in range(3):
        clicked(client, link)

    assert [event.verdict for event in events(clock)] == ["", "", ""]


def test_judging_takes_the_same_statements_for_one_click_and_for_many(message, django_assert_num_queries):
    for position in range(1, 21):
        tracking.record_click(make_link(message, position), method="GET", at=timezone.now())
    arrivals = [arrival_of(click) for click in Click.objects.all()]

    for some in (arrivals[:1], arrivals):
        with django_assert_num_queries(2):
            tracking.judge_clicks(arrivals=some)
    with django_assert_num_queries(0):
        tracking.judge_clicks(arrivals=[])


def arrival_of(click):
    """The arrival of a click's event, as the intake reads it."""
    from leads.intake import read

    (arrival,) = [
        arrival
        for delivery in Delivery.objects.select_related("source")
        for arrival in read(delivery)
        if arrival.incoming.message_id == str(click.event_message_id)
    ]
    return arrival


def test_a_click_that_can_not_be_recorded_leads_on(client, message, monkeypatch):
    def fail(*args, **kwargs):
        raise DatabaseError("read only")

    monkeypatch.setattr("campaigns.views.record_click", fail)

    assert clicked(client, make_link(message)).status_code == 302


def test_a_flood_of_clicks_is_followed_but_not_recorded(client, message, monkeypatch):
    monkeypatch.setattr(tracking, "MAX_CLICKS", 3)
    link = make_link(message)

    assert [clicked(client, link).status_code for _ in range(5)] == [302] * 5

    assert Click.objects.count() == 3


# --- unsubscribe ----------------------------------------------------------------------------------


def denied():
    return [(consent.topic.key if consent.topic else None, consent.source) for consent in Consent.objects.filter(status="denied")]


def test_looking_at_the_unsubscribe_page_changes_nothing(client, message):
    for method in ("get", "head"):
        assert getattr(client, method)(path_of(unsubscribe_url(message))).status_code == 200

    assert not Consent.objects.exists()
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart"])
def test_one_click_unsubscribe_needs_neither_cookies_nor_csrf(message, clock, content_type):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    address = path_of(unsubscribe_url(message))
    if content_type == "multipart":
        answer = client.post(address, {"List-Unsubscribe": "One-Click"})
    else:
        answer = client.post(address, "List-Unsubscribe=One-Click", content_type=content_type)

    assert answer.status_code == 200
    assert not answer.cookies
    assert denied() == [("newsletter", "unsubscribe link")]
    assert Consent.objects.get().proof == f"one-click, message {message.uid}"
    (event,) = events(clock)
    assert (event.type, event.lead, event.properties["topic"]) == ("UNSUBSCRIBED", message.lead, "newsletter")


def test_unsubscribing_twice_says_no_once(client, message, clock):
    address = path_of(unsubscribe_url(message))

    assert [client.post(address).status_code for _ in range(3)] == [200] * 3

    assert len(denied()) == 1
    assert len(events(clock)) == 1


def test_unsubscribing_again_after_a_new_yes_counts(client, message, clock):
    address = path_of(unsubscribe_url(message))
    client.post(address)
    clock.shift(timedelta(days=1))
    make_consent(email="ada@example.com")
    clock.shift(timedelta(days=1))
    client.post(address)

    assert len(denied()) == 2
    assert [event.type for event in events(clock)] == ["UNSUBSCRIBED"] * 2


def test_one_may_say_no_to_all_marketing(client, message, clock):
    address = path_of(unsubscribe_url(message))
    page = client.get(address).content.decode()
    assert 'name="scope" value="topic"' in page
    assert 'name="scope" value="all"' in page

    answer = client.post(address, {"scope": "all"})

    assert "You get no more marketing mail" in answer.content.decode()
    assert denied() == [(None, "unsubscribe link")]
    assert events(clock)[0].properties["topic"] == "all"


def test_the_address_the_mail_went_to_says_no_whatever_the_lead_has_now(client, message):
    Lead.objects.update(email="new@example.com")

    client.post(path_of(unsubscribe_url(message)))

    assert Consent.objects.get().contact_point == message.contact_point


def test_a_campaign_without_topic_unsubscribes_from_all_marketing(client, clock):
    run = make_enrollment(campaign=make_campaign(topic=None, class_="product"), lead=make_lead())
    message = make_message(run=run, state="sent", sent_at=SENT)

    client.post(path_of(unsubscribe_url(message)), "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")

    assert denied() == [(None, "unsubscribe link")]


def test_somebody_forgotten_may_still_unsubscribe(client, message):
    address = path_of(unsubscribe_url(message))
    Message.objects.all().delete()

    assert client.get(address).status_code == 200
    assert client.post(address).status_code == 200


# --- confirmation ---------------------------------------------------------------------------------


@pytest.fixture
def question(clock):
    lead = make_lead(email="", unconfirmed_email="ada@example.com")
    return Message.objects.create(kind="confirmation", lead=lead, first_lead=lead, to="ada@example.com", due_at=SENT, state="sent")


def test_looking_at_the_confirmation_page_confirms_nothing(client, question):
    answer = client.get(path_of(confirm_url(question)))

    assert "ada@example.com" in answer.content.decode()
    assert not Delivery.objects.exists()


def test_confirming_makes_the_address_the_leads_own(client, question, clock):
    answer = client.post(path_of(confirm_url(question)))

    assert "is confirmed" in answer.content.decode()
    assert [event.type for event in events(clock)] == ["EMAIL_CONFIRMED"]
    question.lead.refresh_from_db()
    assert (question.lead.email, question.lead.is_known) == ("ada@example.com", True)

    client.post(path_of(confirm_url(question)))
    assert len(events(clock)) == 1


def test_an_unsubscribe_token_confirms_nothing(client, question):
    token = make_token(question.pk, Purpose.UNSUBSCRIBE)

    assert client.post(f"/confirm/{token}/").status_code == 404


# --- the local mailbox ----------------------------------------------------------------------------


@pytest.fixture
def mailed(settings):
    from django.core.mail import EmailMultiAlternatives

    settings.MAILERS = {"default": {"BACKEND": "campaigns.transport.MailboxBackend", "OPTIONS": {"folder": str(settings.MAILBOX_DIR)}}}
    mail = EmailMultiAlternatives(subject="Grüße <b>", body="Plain ünd simple", to=["ada@example.com"])
    mail.attach_alternative('<p style="color:red">"Rich"</p><script>alert(1)</script>', "text/html")
    mail.send(using="default")


def test_the_mailbox_is_for_staff(client, mailed, django_user_model):
    assert client.get(reverse("campaigns:mailbox")).status_code == 302
    client.force_login(django_user_model.objects.create_user("rep"))
    assert client.get(reverse("campaigns:mailbox")).status_code == 403


def test_the_mailbox_shows_mails_in_a_sandbox(admin_client, mailed):
    page = admin_client.get(reverse("campaigns:mailbox")).content.decode()
    assert "Grüße &lt;b&gt;" in page
    key = re.search(r'href="\?mail=([^"]+)"', page)[1]

    answer = admin_client.get(reverse("campaigns:mailbox") + f"?mail={key}")

    page = answer.content.decode()
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert(1)" not in page
    assert "Plain ünd simple" in page
    assert "style-src 'self' 'unsafe-inline'" in answer["Content-Security-Policy"]
    assert "unsafe-inline" not in answer["Content-Security-Policy"].partition("script-src")[2].partition(";")[0]


def test_the_mailbox_has_an_empty_state_and_knows_what_it_has(admin_client):
    assert "No mail yet" in admin_client.get(reverse("campaigns:mailbox")).content.decode()
    assert admin_client.get(reverse("campaigns:mailbox") + "?mail=../../etc/passwd").status_code == 404


def test_there_is_no_mailbox_where_mail_goes_out():
    assert mailbox_patterns("smtp://mail.example.com") == []
    assert len(mailbox_patterns("mailbox://")) == 1
