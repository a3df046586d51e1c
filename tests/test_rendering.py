import re

import pytest
from django.utils import timezone

from campaigns.documents import read_document
from campaigns.envelope import make_mail
from campaigns.models import Message
from campaigns.rendering import TemplateProblem, check_template, render, render_confirmation
from tests.factories import make_campaign, make_company, make_enrollment, make_event, make_lead, make_message, make_rep

pytestmark = pytest.mark.django_db

NASTY = '# *Ada* [x](https://evil.example) <script>alert(1)</script> `"\n\nSubject: x\r\nBcc: all@example.com'


def rendered(body, *, subject="Hello", lead=None, properties=None, **document):
    """The mail of a one-step campaign, and its envelope."""
    lead = lead or make_lead(name="Ada Lovelace", title="CTO")
    campaign = make_campaign(steps=[{"key": "welcome", "message": {"subject": subject, "body": body}}], **document)
    run = make_enrollment(campaign=campaign, lead=lead, event=make_event(lead=lead, properties=properties or {}))
    message = make_message(run=run)
    doc = read_document(run.version.document)
    mail = render(message, document=doc, step=doc.steps[0], now=timezone.now())
    return mail, make_mail(message, mail, document=doc)


def test_html_and_text_come_from_one_source():
    mail, _ = rendered("# Hi {{ lead.first_name }}\n\nA **bold** move:\n\n- one\n- two\n\n```\ncurl -d '{}' x\n```", tracking=False)

    assert '<h1 style="' in mail.html
    assert ">Hi Ada</h1>" in mail.html
    assert "<strong>bold</strong>" in mail.html
    assert "Hi Ada\n------\n\nA bold move:\n\n- one\n- two\n\n    curl -d '{}' x\n" in mail.text


def test_a_name_injects_neither_markdown_nor_html_nor_headers():
    lead = make_lead(name=NASTY)
    mail, envelope = rendered("Dear {{ lead.name }}, **{{ lead.name }}** and `{{ lead.name }}`", subject="For {{ lead.name }}", lead=lead)
    raw = envelope.message().as_bytes()

    assert "<script" not in mail.html
    assert 'href="https://evil.example' not in mail.html
    assert "<em>Ada" not in mail.html
    assert mail.links == []
    assert "[x](https://evil.example) <script>" in mail.text
    assert "\n" not in mail.subject
    assert re.findall(rb"(?m)^(?:Bcc|Subject):", raw) == [b"Subject:"]


def test_template_code_in_a_name_is_printed_as_it_is():
    mail, _ = rendered("Dear {{ lead.name }}", lead=make_lead(name="{{ unsubscribe_url }} {% raw zqvalue0qz"))

    assert "Dear {{ unsubscribe_url }} {% raw zqvalue0qz" in mail.text


def test_control_characters_and_turned_text_are_taken_out():
    mail, _ = rendered("Dear {{ lead.name }}.", lead=make_lead(name="A\x1bda\u202e\x7f Byron"))

    assert "Dear Ada Byron." in mail.text


def test_a_missing_value_without_default_stops_the_mail():
    with pytest.raises(TemplateProblem, match=r"line 3: lead.title is undefined; give it a default"):
        rendered("Hi\n\n{{ lead.title }}", lead=make_lead(name="Ada"))


def test_a_default_takes_the_place_of_a_missing_value():
    mail, _ = rendered(
        'Hi {{ lead.first_name | default: "there" }}, {% if company.name %}{{ company.name }}{% else %}no firm{% endif %}.',
        lead=make_lead(),
        subject="{{ event.plan | default: 'Plan' }}",
    )

    assert "Hi there, no firm." in mail.text
    assert mail.subject == "Plan"


def test_values_of_event_company_campaign_and_sender(settings):
    settings.SENDER_NAME = "Acme"
    rep = make_rep(first_name="Rita", last_name="Rep")
    lead = make_lead(name="Ada", company=make_company(name="Engines Ltd", traits={"seats": 5}), owner=rep)
    body = "{{ company.name }} {{ company.traits.seats }} {{ event.order.id }} {{ campaign.name }} {{ sender.name }} {{ sender.email }}"
    mail, envelope = rendered(body, lead=lead, properties={"order": {"id": "o-1"}}, name="Cart")

    assert f"Engines Ltd 5 o-1 Cart Rita Rep {rep.email}" in mail.text
    assert envelope.reply_to == [rep.email]


def test_links_are_replaced_by_tokens_and_collected(settings):
    settings.SITE_URL = "https://crm.example.com"
    docs = "https://docs.example.com/?a=1&b=2"
    body = f"[Docs]({docs}) again [here]({docs}), <https://x.example/y>, <mailto:a@b.example>"
    mail, _ = rendered(body)

    assert mail.links == [docs, "https://x.example/y"]
    assert "docs.example.com" not in mail.html
    assert len(set(re.findall(r"https://crm\.example\.com/c/([\w-]{24})(?![\w-])", mail.html))) == 2
    assert re.search(r"Docs \(https://crm\.example\.com/c/[\w-]{24}\)", mail.text)
    assert "mailto:a@b.example" in mail.html


def test_without_tracking_links_stay_as_they_are():
    mail, _ = rendered("[Docs](https://docs.example.com/)", tracking=False)

    assert mail.links == []
    assert 'href="https://docs.example.com/"' in mail.html


def test_a_value_inside_a_link_is_percent_encoded_once():
    properties = {"q": "a b&c=d/é", "url": "https://shop.example/cart?id=1"}
    body = """
[a](https://x.example/?q={{ event.q }}) [b](https://x.example/?q={{ event.q | url_encode }})
[c]({{ event.url }}) [d]({{ event.url }}&n={{ event.q }})
"""
    mail, _ = rendered(body, properties=properties)

    encoded = "a%20b%26c%3Dd%2F%C3%A9"
    assert mail.links == [
        f"https://x.example/?q={encoded}",
        "https://shop.example/cart?id=1",
        f"https://shop.example/cart?id=1&n={encoded}",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//evil.example",
        "/path",
        "https://ok.example\\@evil.example",
        "https://a@evil.example",
        "data:text/html,x",
        "https://x.example/a b",
    ],
)
def test_a_value_that_is_a_bad_link_stops_the_mail(url):
    with pytest.raises(TemplateProblem, match="link"):
        rendered("[Cart]({{ event.url }})", properties={"url": url})


def test_marketing_mail_has_sender_and_unsubscribe_link_in_both_parts(settings):
    settings.SENDER_NAME, settings.SENDER_ADDRESS = "Acme & Co", "1 Main St, Springfield"
    mail, envelope = rendered("Hello")
    leave = envelope.extra_headers["List-Unsubscribe"].strip("<>")

    assert "Acme &amp; Co · 1 Main St, Springfield" in mail.html
    assert f'href="{leave}"' in mail.html
    assert "Acme & Co · 1 Main St, Springfield" in mail.text
    assert f"Unsubscribe: {leave}" in mail.text


def test_transactional_mail_has_no_unsubscribe_link():
    mail, envelope = rendered("Hello", class_="transactional")

    assert "/u/" not in mail.html + mail.text
    assert "List-Unsubscribe" not in envelope.extra_headers


@pytest.mark.parametrize(
    "site", ["http://localhost:8000", "https://" + "x" * 39 + ".com", "https://" + "a-long-label." * 6 + "example.com"]
)
def test_headers_arrive_as_they_were_written(settings, site):
    settings.SITE_URL = site
    _, envelope = rendered("Hello", key="API_DEEP_DIVE_SEQUENCE")
    raw = envelope.message().as_bytes().decode()
    head = raw.partition("\n\n")[0].replace("\n ", " ")
    headers = dict(line.split(": ", 1) for line in head.splitlines())
    host = site.split("//")[1].split(":")[0]

    assert "=?" not in head
    assert re.fullmatch(rf"<{re.escape(site)}/u/[\w-]{{24}}>", headers["List-Unsubscribe"])
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert headers["List-Id"] == f"<newsletter.{host}>"
    assert headers["Message-ID"] == f"<{Message.objects.get().uid}@{host}>"
    assert headers["Auto-Submitted"] == "no"


def test_mails_fit_into_seven_bits():
    _, envelope = rendered("Grüße, {{ lead.name }} 🎉", lead=make_lead(name="Zoë"), subject="Für {{ lead.name }}")
    raw = envelope.message().as_bytes()

    assert raw.isascii()
    assert b"8bit" not in raw
    assert max(map(len, raw.splitlines())) < 998


def test_a_confirmation_quotes_nothing_a_stranger_typed():
    lead = make_lead(name="Buy at evil.example", email="")
    message = Message.objects.create(kind="confirmation", lead=lead, first_lead=lead, to="ada@example.com", due_at=timezone.now())
    mail = render_confirmation(message)

    assert "evil" not in mail.html + mail.text + mail.subject
    assert re.search(r"http://localhost:8000/confirm/[\w-]{24}/", mail.text)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("Hi\n{{ lead.nmae }}", r"line 2: lead has no field nmae; did you mean name\?"),
        ("{{ customer }}", "there is no variable customer"),
        ("{{ lead }}", "lead has several fields"),
        ("{{ lead.owner.password }}", "lead has no field owner"),
        ("{{ lead.__class__ }}", "lead has no field __class__"),
        ("{{ settings.SECRET_KEY }}", "there is no variable settings"),
        ("{{ lead.name | upcas }}", r"there is no filter upcas; did you mean upcase\?"),
        ("{{ lead.name", "line 1"),
        ("{% if lead.name %}x", "expected tag endif"),
        ("{% include 'x' %}", "unexpected tag 'include'"),
        ("{% assign x = 1 %}", "unexpected tag 'assign'"),
        ("{% debug %}", "unexpected tag 'debug'"),
        ("{% if customer %}{% endif %}", "there is no variable customer"),
        ("[x](javascript:alert(1))", "must be a whole address"),
        ("[x](/docs)", "must be a whole address"),
        ("[x](https:///nohost)", "no plain host name"),
        ("[x](http://169.254.169.254/)", "no plain host name"),
        ("[x](https://ok\\\\@evil.example)", "link"),
        ("![x](data:image/png;base64,AAAA)", "must be a whole address"),
        ("x" * 80_001, "80000 is the most"),
        ("zqvalue0qz", "reserved"),
    ],
)
def test_a_bad_template_is_refused_with_place_and_cure(source, says):
    with pytest.raises(TemplateProblem, match=says):
        check_template(source, marketing=True)


@pytest.mark.parametrize(
    "source",
    [
        "{{ lead.name | default: 'there' }} {{ lead.traits.anything }} {{ event.order.id }} {{ unsubscribe_url }}",
        "{{ nickname | default: 'x' }}",
        "[x](https://x.example/{{ event.id }}) [y]({{ event.url }}) [z](mailto:a@b.example)",
        "{% for item in event.items %}{{ item.name }} {{ forloop.index }}{% endfor %}",
        "{% if lead.score > 50 and company.name %}a{% elsif event.x %}b{% else %}c{% endif %}",
        "<b>raw html is shown, not obeyed</b>",
    ],
)
def test_a_good_template_passes(source):
    check_template(source, marketing=True)


@pytest.mark.parametrize(
    ("source", "properties"),
    [
        ("{% for i in (1..100000000) %}a{% endfor %}", {}),
        ("{{ 1 | divided_by: 0 }}", {}),
        ("{% for x in event.list %}{{ x }}{% endfor %}", {"list": ["y" * 8000] * 30}),
        ("{% for x in event.list %}[a](https://x.example/{{ x }}) {% endfor %}", {"list": list(range(300))}),
        ("{{ event.n | divided_by: 2 | slice: 'a' }}", {"n": 4}),
    ],
)
def test_whatever_goes_wrong_in_rendering_is_a_template_problem(source, properties):
    with pytest.raises(TemplateProblem):
        rendered(source, properties=properties)


def test_html_in_a_template_is_shown_and_not_obeyed():
    mail, _ = rendered("<img src=x onerror=alert(1)> <b>x</b>")

    assert "<img" not in mail.html
    assert "&lt;b&gt;x&lt;/b&gt;" in mail.html


def test_an_empty_subject_stops_the_mail_and_a_long_one_is_cut():
    with pytest.raises(TemplateProblem, match="subject is empty"):
        rendered("Hello", subject="{{ event.x | default: ' ' }}")

    mail, _ = rendered("Hello", subject="{{ event.x }}", properties={"x": "y" * 400})
    assert len(mail.subject) == 300
