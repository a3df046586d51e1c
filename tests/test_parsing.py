"""From bytes to messages: every odd body has an answer, and a bad message costs its neighbors nothing."""

import contextlib
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads.models import Delivery, Source
from leads.parsing import BadRequest, parse, without_ip

Door = Delivery.Door
RECEIPT = uuid.UUID(int=1)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SERVER = Source(pk=7, name="server", scope="server")
BROWSER = Source(pk=8, name="browser", scope="browser")
GOOD = {"userId": "jane", "eventType": "Viewed Pricing"}


def read(body, *, door=Door.EVENTS, source=SERVER, receipt=RECEIPT, received_at=NOW):
    """Parse a body, given as bytes or as something to encode."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(raw, door=door, source=source, receipt=receipt, received_at=received_at)


def one(body, **options):
    """The only message of a body."""
    incoming, rejected = read(body, **options)
    assert not rejected
    [message] = incoming
    return message


def code_of(body, **options):
    """The code with which a single message is refused."""
    incoming, rejected = read(body, **options)
    assert not incoming
    [reject] = rejected
    assert reject.message
    return reject.code


def refused(body, **options):
    """Status and code with which a whole body is refused."""
    with pytest.raises(BadRequest) as caught:
        read(body, **options)
    return caught.value.status, caught.value.code


def event(**fields):
    return {**GOOD, **fields}


def raw_event(metadata):
    """A message whose metadata is written by hand."""
    return b'{"userId": "jane", "eventType": "E", "metadata": {"x": ' + metadata + b"}}"


# --- the body ---


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" \n", "empty_body"),
        (b"not json", "invalid_json"),
        (b"{'a': 1}", "invalid_json"),
        (b'{"a": 1,}', "invalid_json"),
        (b'{"a": 1} // why', "invalid_json"),
        (b'{"a": 1} x', "invalid_json"),
        (b'[{"a": 1} {"b": 2}]', "invalid_json"),
        (b'{"a": "\x01"}', "invalid_json"),
        (b'{"a": "\x00"}', "invalid_json"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        ('{"a": 1}'.encode("utf-16"), "invalid_utf8"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "invalid_json"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_as_a_whole(body, code):
    assert refused(body) == (400, code)
    assert refused(body, door=Door.BATCH) == (400, code)
    assert refused(body, door=Door.TRACK) == (400, code)


def test_one_byte_order_mark_is_ignored():
    assert one(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()).user_id == "jane"


def test_nesting_of_64_is_fine_and_brackets_in_texts_do_not_count():
    deep = b"[" * 62 + b"]" * 62

    assert one(raw_event(deep)).properties["x"]
    assert one(event(metadata={"x": "[" * 1000 + '"\\'})).properties["x"].startswith("[[")


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 500_000, b'"ip":"' + b'\\"' * 500_000, b'{"NaN":' * 10 + b'"\\' * 400_000])
def test_hostile_bodies_are_refused_in_linear_time(body):
    started = datetime.now(UTC)

    without_ip(body)
    for door in (Door.EVENTS, Door.BATCH, Door.NDJSON):
        with contextlib.suppress(BadRequest):
            read(body, door=door)

    assert datetime.now(UTC) - started < timedelta(seconds=5)


@pytest.mark.parametrize("body", [b"null", b'"x"', b"5", b"true"])
def test_a_bare_value_is_no_message(body):
    assert code_of(body) == "expected_object"
    assert code_of(body, door=Door.TRACK) == "expected_object"
    assert code_of(body, door=Door.BATCH) == "expected_object"


@pytest.mark.parametrize("body", [{"batch": {}}, {"batch": None}, {}, {"batch": "x"}])
def test_a_batch_must_be_a_list(body):
    assert code_of(body, door=Door.BATCH) == "batch_not_array"


def test_an_empty_batch_is_empty():
    assert read({"batch": []}, door=Door.BATCH) == ([], [])
    assert read([]) == ([], [])


def test_500_messages_are_taken_and_501_are_not():
    assert len(read([GOOD] * 500)[0]) == 500
    assert refused([GOOD] * 501) == (413, "batch_too_large")
    assert refused({"batch": [GOOD] * 501}, door=Door.BATCH) == (413, "batch_too_large")
    assert refused(b"{}\n" * 501, door=Door.NDJSON) == (413, "batch_too_large")


def test_the_good_neighbors_of_bad_messages_are_kept():
    bodies = [b"null", b"[]", raw_event(b"NaN"), raw_event(b"1e400"), b'{"userId": "a", "userId": "b"}', json.dumps(GOOD).encode()]
    body = b"[" + b",".join(bodies) + b"]"

    incoming, rejected = read(body)

    assert [message.index for message in incoming] == [5]
    assert [(reject.index, reject.code) for reject in rejected] == [
        (0, "expected_object"),
        (1, "expected_object"),
        (2, "invalid_number"),
        (3, "number_out_of_range"),
        (4, "duplicate_key"),
    ]


def test_lines_are_messages_and_a_broken_line_is_rejected_alone():
    lines = [json.dumps(GOOD).encode(), b"", b'{"userId": "cut', b"[1]", b"  ", json.dumps(event(userId="joe")).encode(), b"[" * 100]

    incoming, rejected = read(b"\r\n".join(lines), door=Door.NDJSON)

    assert [(message.index, message.user_id) for message in incoming] == [(0, "jane"), (3, "joe")]
    assert [(reject.index, reject.code) for reject in rejected] == [(1, "invalid_json"), (2, "expected_object"), (4, "too_deep")]


def test_a_message_has_at_most_32_kib():
    texts = {f"k{number}": "x" * 8000 for number in range(5)}

    incoming, rejected = read([event(metadata=texts), GOOD])

    assert len(incoming) == 1
    assert rejected[0].code == "item_too_large"


# --- numbers, texts, keys ---


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (b"NaN", "invalid_number"),
        (b"Infinity", "invalid_number"),
        (b"-Infinity", "invalid_number"),
        (b"1e400", "number_out_of_range"),
        (b"-1e400", "number_out_of_range"),
        (b"9" * 4301, "number_too_long"),
    ],
)
def test_numbers_nothing_can_hold_are_rejected(number, code):
    assert code_of(raw_event(number)) == code
    assert code_of(b'{"batch": [' + raw_event(number) + b"]}", door=Door.BATCH) == code


def test_nan_in_a_text_is_a_text():
    incoming, rejected = read(b"[" + raw_event(b'"NaN -Infinity"') + b"," + raw_event(b"NaN") + b"]")

    assert incoming[0].properties == {"x": "NaN -Infinity"}
    assert rejected[0].index == 1


@pytest.mark.parametrize("number", [2**63, 10**29, -1, 0])
def test_large_whole_numbers_are_kept(number):
    assert one(event(metadata={"x": number})).properties == {"x": number}


def test_duplicate_keys_are_rejected_wherever_they_are():
    assert code_of(raw_event(b'{"a": 1, "a": 2}')) == "duplicate_key"


def test_nul_and_half_surrogates_become_the_replacement_character():
    message = one(raw_event(rb'"a\u0000b \ud800 \udc00\ud83d \ud83d\ude00 \\ud800 \\\ud800"'))

    assert message.properties == {"x": "a\ufffdb \ufffd \ufffd\ufffd \U0001f600 \\ud800 \\\ufffd"}


@pytest.mark.parametrize("field", ["userId", "messageId", "eventType", "email", "anonymousId"])
@pytest.mark.parametrize("char", ["\u0000", "\ud800", "a\nb"])
def test_ids_with_control_characters_are_rejected(field, char):
    assert code_of(event(**{field: f"a{char}c"})) == "invalid_character"


def test_properties_have_limits():
    assert code_of(event(metadata={str(number): 1 for number in range(201)})) == "too_many_keys"
    assert code_of(event(metadata={"k" * 129: 1})) == "key_too_long"
    assert code_of(event(metadata={"a": [{"b": "x" * 8193}]})) == "string_too_long"
    assert code_of(event(traits={"a": "x" * 8193})) == "string_too_long"


@pytest.mark.parametrize("text", ["<script>", "{{7*7}}", "=cmd()", "'; DROP TABLE", "\u202eabc", "\u200b", "é" + "\u0301" * 1000])
def test_odd_texts_are_only_texts(text):
    assert one(event(metadata={"x": text})).properties == {"x": text}


# --- types ---


@pytest.mark.parametrize(
    ("name", "key"),
    [("Viewed Pricing", "VIEWED_PRICING"), ("viewed-pricing", "VIEWED_PRICING"), ("a.b.c", "A_B_C"), ("__proto__", "PROTO")],
)
def test_types_are_matched_by_key(name, key):
    assert one(event(eventType=name)).type == key


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (None, "required"),
        ("", "required"),
        (5, "type_error"),
        ("!!!", "invalid_format"),
        ("x" * 101, "invalid_format"),
        ("email clicked", "reserved_type"),
        ("EMAIL_SENT", "reserved_type"),
        ("Unsubscribed", "reserved_type"),
    ],
)
def test_types_that_cannot_be_taken(name, code):
    assert code_of(event(eventType=name)) == code


@pytest.mark.parametrize("name", ["CONTRACT_SIGNED", "payment succeeded", "Subscription-Started"])
def test_a_browser_key_cannot_send_trusted_types(name):
    assert code_of(event(eventType=name), source=BROWSER) == "trusted_type"
    assert one(event(eventType=name)).type


def test_a_trusted_type_can_be_allowed_for_a_browser_key():
    source = Source(pk=9, name="shop", scope="browser", allowed_types=["PAYMENT_SUCCEEDED"])

    assert one(event(eventType="Payment Succeeded"), source=source).type == "PAYMENT_SUCCEEDED"


# --- identity ---


def test_somebody_must_be_named():
    assert code_of({"eventType": "E"}) == "identity_required"
    assert code_of({"eventType": "E", "userId": None, "email": "", "anonymousId": " "}) == "identity_required"


@pytest.mark.parametrize("value", ["null", "undefined", "guest", "0", "None", "NaN", "[object Object]", "Anonymous"])
@pytest.mark.parametrize("field", ["userId", "anonymousId", "email"])
def test_ids_that_mean_nobody_are_rejected(field, value):
    assert code_of({**GOOD, field: value}) == "illegal_identity"


@pytest.mark.parametrize("value", [5, True, {"a": 1}, ["jane"]])
def test_ids_are_texts(value):
    assert code_of(event(userId=value)) == "type_error"
    assert code_of(event(messageId=value)) == "type_error"


def test_ids_have_a_length():
    assert code_of(event(userId="x" * 255)) == "invalid_format"
    assert code_of(event(messageId="x" * 256)) == "invalid_format"
    assert code_of(event(messageId="")) == "invalid_format"


@pytest.mark.parametrize("email", ["a@b", '"a b"@x.io', "a b@x.io", "a" * 250 + "@x.io", "@x.io", "jane", "a@x..io", "a@[1.2.3.4]"])
def test_what_is_no_address_is_rejected(email):
    assert code_of(event(email=email)) == "invalid_email"


def test_addresses_are_compared_in_one_form():
    assert one(event(email=" Jane@ACME.io ")).email == "jane@acme.io"
    assert one(event(email="jane@MÜNCHEN.de")).email == "jane@münchen.de"


def test_an_address_among_the_traits_names_the_person_and_is_a_trait():
    message = one({"userId": "u", "traits": {"email": "Jane@acme.io"}}, door=Door.IDENTIFY)

    assert message.email == "jane@acme.io"
    assert message.traits == {"email": "jane@acme.io"}
    assert one(event(email="Jane@acme.io")).traits == {"email": "jane@acme.io"}


# --- the Segment methods ---


def test_a_page_view_has_path_url_title_and_name():
    body = {"userId": "u", "name": "Pricing", "properties": {"url": "https://x.io/pricing?a=1", "title": "T"}}

    message = one(body, door=Door.PAGE)

    assert message.type == "PAGE_VIEWED"
    assert message.properties == {"url": "https://x.io/pricing?a=1", "title": "T", "name": "Pricing", "path": "/pricing"}
    assert one({"userId": "u", "properties": {"url": "http://[bad"}}, door=Door.PAGE).properties["path"] == "/"


def test_identify_takes_its_traits_from_the_context_when_it_has_none():
    body = {"userId": "u", "context": {"traits": {"plan": "pro"}}}

    assert one(body, door=Door.IDENTIFY).traits == {"plan": "pro"}
    assert one({**body, "event": "E"}, door=Door.TRACK).traits == {}


def test_a_group_is_the_company_and_its_address_is_not_the_persons():
    message = one({"userId": "u", "groupId": "acme", "traits": {"name": "Acme", "email": "info@acme.io"}}, door=Door.GROUP)

    assert message.type == "GROUPED"
    assert message.email is None
    assert message.traits == {"company": {"id": "acme", "name": "Acme", "email": "info@acme.io"}}
    assert code_of({"userId": "u"}, door=Door.GROUP) == "required"


def test_an_alias_names_the_id_to_join():
    message = one({"userId": "u", "previousId": "anon-9"}, door=Door.ALIAS)

    assert (message.type, message.previous_id, message.user_id) == ("ALIASED", "anon-9", "u")
    assert code_of({"userId": "u"}, door=Door.ALIAS) == "required"


def test_a_company_may_be_a_name():
    assert one(event(traits={"company": "Acme"})).traits == {"company": {"name": "Acme"}}
    assert code_of(event(traits={"company": 5})) == "type_error"


def test_a_batch_says_of_each_message_what_it_is():
    body = {"batch": [{"userId": "u", "type": "screen", "name": "Home"}, {"userId": "u", "type": "dance"}, {"userId": "u"}]}

    incoming, rejected = read(body, door=Door.BATCH)

    assert (incoming[0].kind, incoming[0].type, incoming[0].properties) == ("screen", "SCREEN_VIEWED", {"name": "Home"})
    assert [reject.code for reject in rejected] == ["unknown_type", "required"]


@pytest.mark.parametrize("field", ["metadata", "traits"])
@pytest.mark.parametrize("value", ["x", 5, [1], True])
def test_properties_and_traits_are_objects(field, value):
    assert code_of(event(**{field: value})) == "type_error"
    assert one(event(**{field: None}))


def test_internal_facts_may_have_reserved_types_and_name_a_lead_by_its_uid():
    body = [{"type": "EMAIL_CLICKED", "messageId": "m", "leadUid": "abc", "timestamp": "2026-03-01T11:00:00Z", "properties": {"link": 1}}]

    message = one(body, door=Door.INTERNAL)

    assert (message.type, message.lead_uid, message.properties) == ("EMAIL_CLICKED", "abc", {"link": 1})


# --- consent ---


def test_consent_comes_with_its_proof():
    message = one(event(email="a@b.io", consent={"newsletter": "granted"}, proof="form\n7"))

    assert message.consent == {"newsletter": "granted"}
    assert message.proof == "form\n7"


@pytest.mark.parametrize("consent", ["yes", ["newsletter"], {"newsletter": True}, {"newsletter": "maybe"}, {"newsletter": ["granted"]}])
def test_consent_is_granted_or_denied(consent):
    assert code_of(event(consent=consent)) == "invalid_consent"


def test_a_browser_key_cannot_set_consent():
    assert code_of(event(consent={"newsletter": "granted"}), source=BROWSER) == "consent_not_allowed"


# --- time ---


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05",
        "2026-W01-1",
        "20260101",
        "2026-01-05T10:00:00",
        "1767225600",
        "1e10",
        "2026-01-05T10:00:60Z",
        "2026-01-05T24:00:00Z",
        "now",
        "2026-02-30T10:00:00Z",
        "2026-01-05T10:00:00+99:00",
        "２０２６-01-05T10:00:00Z",
    ],
)
def test_a_timestamp_is_a_full_time_with_its_offset(text):
    assert code_of(event(timestamp=text)) == "invalid_datetime"


@pytest.mark.parametrize("value", [1767225600, 1767225600.5, True, [], {}])
def test_a_timestamp_is_a_text(value):
    assert code_of(event(timestamp=value)) == "invalid_datetime"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1812-06-24T04:00:00Z"])
def test_a_timestamp_has_a_range(text):
    assert code_of(event(timestamp=text)) in {"out_of_range", "occurred_at_in_future"}


@pytest.mark.parametrize(
    "text", ["2026-03-01T11:00:00Z", "2026-03-01T12:00:00.000+01:00", "2026-03-01t11:00:00,0z", "2026-03-01 06:00:00-0500"]
)
def test_timestamps_are_read_in_utc(text):
    assert one(event(timestamp=text)).at == NOW - timedelta(hours=1)


def test_without_a_timestamp_it_happened_when_we_got_it():
    assert one(event()).at == NOW
    assert one(event(timestamp=None)).at == NOW


def test_the_past_is_welcome_and_the_future_is_not():
    assert one(event(timestamp="2021-03-01T12:00:00Z")).at.year == 2021
    assert one(event(timestamp="2026-03-01T12:10:00Z")).at == NOW
    assert one(event(timestamp="2026-03-02T12:00:00Z")).at == NOW
    assert code_of(event(timestamp="2026-03-02T12:00:01Z")) == "occurred_at_in_future"


def test_a_wrong_clock_is_corrected_by_when_it_says_it_sent():
    three_days_fast = {"batch": [{"userId": "u", "type": "track", "event": "E", "timestamp": "2026-03-04T11:59:00Z"}]}

    message = one({**three_days_fast, "sentAt": "2026-03-04T12:00:00Z"}, door=Door.BATCH)

    assert message.at == NOW - timedelta(minutes=1)
    assert code_of(three_days_fast, door=Door.BATCH) == "occurred_at_in_future"


def test_a_single_message_carries_its_own_sent_at():
    body = {"userId": "u", "event": "E", "timestamp": "2026-03-01T10:00:00Z", "sentAt": "2026-03-01T11:00:00Z"}

    assert one(body, door=Door.TRACK).at == NOW - timedelta(hours=1)
    assert one({**body, "sentAt": "yesterday"}, door=Door.TRACK).at == NOW - timedelta(hours=2)


# --- ids and digests ---


def test_a_given_message_id_is_kept():
    assert one(event(messageId="m-1")).message_id == "m-1"


def test_with_a_timestamp_the_id_comes_from_source_and_content():
    body = event(timestamp="2026-03-01T11:00:00Z")

    first = one(body).message_id

    assert one(body, receipt=uuid.UUID(int=2), received_at=NOW + timedelta(days=1)).message_id == first
    assert one({**body, "timestamp": "2026-03-01T12:00:00+01:00", "context": {"a": 1}}).message_id == first
    assert one({**body, "metadata": {"a": 1}}).message_id != first
    assert one(body, source=BROWSER).message_id != first


def test_without_a_timestamp_the_id_comes_from_receipt_and_place():
    incoming, _ = read([GOOD, 5, GOOD])

    assert [message.message_id for message in incoming] == [str(uuid.uuid5(RECEIPT, "0")), str(uuid.uuid5(RECEIPT, "2"))]


def test_the_digest_leaves_out_how_and_when_it_was_sent():
    body = {"userId": "u", "event": "E", "messageId": "m", "timestamp": "2026-03-01T10:00:00Z", "properties": {"a": 1}}
    digest = one(body, door=Door.TRACK).digest

    again = {**body, "sentAt": "2026-03-01T11:30:00Z", "context": {"library": {"name": "x"}}, "integrations": {"All": True}, "channel": "s"}

    assert len(digest) == 32
    assert one(again, door=Door.TRACK).digest == digest


@pytest.mark.parametrize(
    "change",
    [
        {"event": "F"},
        {"userId": "v"},
        {"anonymousId": "a"},
        {"timestamp": "2026-03-01T10:00:01Z"},
        {"properties": {"a": 2}},
        {"traits": {"b": 1}},
    ],
)
def test_the_digest_is_over_the_content(change):
    body = {"userId": "u", "event": "E", "messageId": "m", "timestamp": "2026-03-01T10:00:00Z", "properties": {"a": 1}}

    assert one({**body, **change}, door=Door.TRACK).digest != one(body, door=Door.TRACK).digest


# --- addresses of machines ---


def test_ip_addresses_are_taken_out_wherever_they_are():
    body = b'{"ip":"1.2.3.4","context":{"i\\u0070" : ["1.1.1.1","::1"],"t":"\\"ip\\":\\"5\\""},"ship":"ip","list":["ip","b"],"n":{"ip":34}}'

    clean = without_ip(body)

    assert json.loads(clean) == {
        "ip": None,
        "context": {"ip": None, "t": '"ip":"5"'},
        "ship": "ip",
        "list": ["ip", "b"],
        "n": {"ip": None},
    }


# --- anything at all ---

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12)
fields = st.sampled_from(
    ["userId", "eventType", "event", "type", "metadata", "properties", "traits", "email", "timestamp", "consent", "messageId"]
)
messages = st.dictionaries(fields, values, max_size=8)
bodies = (
    st.binary(max_size=300)
    | st.builds(lambda value: json.dumps(value).encode(), values | messages | st.lists(messages, max_size=4))
    | st.builds(lambda value: json.dumps({"batch": value}).encode(), st.lists(messages | values, max_size=4))
    | st.builds(
        lambda value, at, junk: (raw := json.dumps(value).encode())[:at] + junk + raw[at:],
        messages,
        st.integers(0, 60),
        st.binary(max_size=3),
    )
)


@settings(max_examples=400, deadline=None)
@given(body=bodies, door=st.sampled_from(Door.values), source=st.sampled_from([SERVER, BROWSER]))
def test_any_bytes_are_read_or_refused_and_always_alike(body, door, source):
    def outcome():
        try:
            return read(without_ip(body), door=Door(door), source=source)
        except BadRequest as problem:
            assert problem.status in {400, 413}
            return problem.code

    first = outcome()

    assert outcome() == first
    if isinstance(first, tuple):
        for message in first[0]:
            assert message.at <= NOW
            json.dumps([message.properties, message.traits], allow_nan=False).encode()
            assert "\x00" not in json.dumps([message.message_id, message.user_id, message.properties], ensure_ascii=False)
