"""Misconfiguration is told by name, with its cure."""

import pytest
from django.core.checks import run_checks

pytestmark = pytest.mark.django_db


def problems():
    return {problem.id: problem for problem in run_checks() if problem.id.startswith("leadstate.")}


def test_the_defaults_are_fine(settings):
    settings.DEBUG = True

    assert problems() == {}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("hooks.slack.com/services/T0", "must begin with https://"),
        ("http://127.0.0.1/hook", "not a public address"),
        ("http://2130706433/hook", "not a public address"),
        ("https://hooks.slack.com:8443/x", "Port 8443 is refused"),
    ],
)
def test_a_chat_webhook_that_would_be_refused_is_an_error(settings, url, reason):
    settings.CHAT_WEBHOOK_URL = url

    problem = problems()["leadstate.E001"]

    assert reason in problem.msg
    assert "incoming webhook" in problem.hint
    assert problem.is_serious()


def test_a_good_chat_webhook_and_an_allowed_private_one_are_fine(settings):
    settings.DEBUG = True
    for url in ("https://hooks.slack.com/services/T0/B0/x", "http://10.1.2.3:8065/hooks/x"):
        settings.CHAT_WEBHOOK_URL = url
        settings.PRIVATE_HOSTS_ALLOWED = ["10.1.2.3"]

        assert problems() == {}


def test_working_hours_that_cannot_be_read_are_an_error(settings):
    settings.WORKING_HOURS = "9 to 5"

    problem = problems()["leadstate.E002"]

    assert "'9 to 5' is not a span of working hours" in problem.msg
    assert "mon-fri 09:00-17:00" in problem.hint


def test_an_unknown_time_zone_is_an_error(settings):
    settings.TIME_ZONE = "Europe/Atlantis"

    assert "Europe/Atlantis" in problems()["leadstate.E003"].msg


def test_a_live_system_is_warned_of_what_would_hurt_later(settings):
    settings.DEBUG = False
    settings.SENDER_ADDRESS = " "
    settings.EMAIL_URL = "mailbox://"
    settings.ADDRESS_HASH_KEY = settings.SECRET_KEY

    found = problems()

    assert sorted(found) == ["leadstate.W001", "leadstate.W002", "leadstate.W003"]
    assert not any(problem.is_serious(40) for problem in found.values())
    assert all(problem.hint for problem in found.values())


def test_a_live_system_set_up_well_is_not_warned(settings):
    settings.DEBUG = False
    settings.SENDER_ADDRESS = "Main Street 1, 10115 Berlin"
    settings.EMAIL_URL = "smtp://mail.example.com:587/?tls=1"
    settings.ADDRESS_HASH_KEY = "a key of its own"

    assert problems() == {}
