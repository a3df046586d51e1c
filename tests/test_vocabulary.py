"""Event types by key, and durations."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.vocabulary import event_key, format_duration, is_reserved, parse_duration


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Viewed Pricing", "VIEWED_PRICING"),
        ("viewed-pricing", "VIEWED_PRICING"),
        ("VIEWED_PRICING", "VIEWED_PRICING"),
        ("  viewed.pricing!  ", "VIEWED_PRICING"),
        ("viewedPricing", "VIEWEDPRICING"),
        ("step 2: Done", "STEP_2_DONE"),
        ("---", ""),
        ("", ""),
    ],
)
def test_an_event_type_is_known_by_its_key(name, key):
    assert event_key(name) == key


@given(st.text(max_size=50))
def test_a_key_is_its_own_key(name):
    assert event_key(event_key(name)) == event_key(name)


@pytest.mark.parametrize("key", ["EMAIL_CLICKED", "EMAIL_BOUNCED", "UNSUBSCRIBED"])
def test_what_only_the_product_records_is_reserved(key):
    assert is_reserved(key)


@pytest.mark.parametrize("key", ["SIGNED_UP", "EMAILED_SUPPORT", "VIEWED_EMAIL_SETTINGS"])
def test_other_types_are_not_reserved(key):
    assert not is_reserved(key)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("7d", 604_800), ("2w", 1_209_600), (" 7D ", 604_800)]
)
def test_durations_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-7d", "1.5h", "7y", "1000000d", None, 7])
def test_a_bad_duration_says_how_to_write_it(text):
    with pytest.raises(ValueError, match="for example 10m or 7d"):
        parse_duration(text)


@given(st.integers(1, 99_999), st.sampled_from("smhdw"))
def test_a_duration_survives_being_written(number, unit):
    duration = parse_duration(f"{number}{unit}")

    assert parse_duration(format_duration(duration)) == duration
