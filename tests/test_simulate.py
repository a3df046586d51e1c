import io
import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.apps import apps
from django.core.management import CommandError, call_command

from campaigns.models import Campaign
from leads.models import Workspace
from tests.factories import make_campaign, make_consent, make_event, make_lead, make_rep, make_step

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 9, 16, 50, tzinfo=UTC)  # a Friday, 17:50 in Berlin


@pytest.fixture(autouse=True)
def _frozen():
    with time_machine.travel(NOW, tick=False):
        yield


def run(campaign, lead, *, event=None, tmp_path=None):
    arguments = [campaign if isinstance(campaign, str) else campaign.key, "--lead", str(lead if isinstance(lead, str) else lead.uid)]
    if event is not None:
        file = tmp_path / "event.json"
        file.write_text(event if isinstance(event, str) else json.dumps(event))
        arguments += ["--event", str(file)]
    out = io.StringIO()
    call_command("simulate", *arguments, stdout=out)
    return out.getvalue()


def everything():
    """Every row of every table of ours."""
    models = [model for app in ("leads", "campaigns") for model in apps.get_app_config(app).get_models(include_auto_created=True)]
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in models}


def api_campaign(**fields):
    return make_campaign(
        **{
            "key": "API_DEEP_DIVE_SEQUENCE",
            "steps": [
                make_step("welcome", after="20m", message={"subject": "Hi {{ lead.first_name }}", "body": "You read *{{ event.page }}*."}),
                make_step("limits", after="1d", when=[{"event": "VIEWED_PRICING", "since": "ever", "times": {"at_most": 0}}]),
                make_step("tell-sales", after="2h", notify={"text": "Read both API mails"}),
            ],
        }
        | fields
    )


def agreed(**fields):
    lead = make_lead(**fields)
    make_consent(email=lead.email, at=NOW - timedelta(days=30))
    return lead


def test_the_plan_has_local_times_mails_and_what_is_skipped(tmp_path):
    Workspace.objects.create(pk=1, sending={"window": {"days": "mon-fri", "hours": "08:00-18:00"}}, timezone="UTC")
    lead = agreed(name="Ada Lovelace", timezone="Europe/Berlin")
    make_event(lead=lead, type="VIEWED_PRICING", at=NOW - timedelta(days=1))

    plan = run(api_campaign(), lead, event={"eventType": "Downloaded API docs", "metadata": {"page": "limits"}}, tmp_path=tmp_path)

    assert "Started DOWNLOADED_API_DOCS; times are Europe/Berlin." in plan
    lines = [line for line in plan.splitlines() if line.startswith(("Fri", "Sat", "Sun", "Mon", "Tue"))]
    assert lines == [
        "Fri 2026-01-09 18:10  welcome: held (window)",
        "Mon 2026-01-12 08:00  welcome: sent",
        "Tue 2026-01-13 08:00  limits: skipped (when: never VIEWED_PRICING (1/0))",
        "Tue 2026-01-13 10:00  tell-sales: notified",
    ]
    assert "    Subject: Hi Ada" in plan
    assert "You read " in plan
    assert plan.rstrip().endswith("The run is then completed.")


def test_nothing_is_written_and_nothing_is_sent(tmp_path, settings):
    campaign, lead = api_campaign(), agreed(name="Ada")
    make_rep()
    before = everything()

    run(campaign, lead, event={"eventType": "DOWNLOADED_API_DOCS", "metadata": {"page": "x"}}, tmp_path=tmp_path)

    assert everything() == before
    assert not settings.MAILBOX_DIR.exists() or not any(settings.MAILBOX_DIR.rglob("*.eml"))


def test_a_mail_that_would_not_go_out_is_shown_with_the_reason():
    plan = run(make_campaign(), make_lead())

    assert "welcome: skipped (no_consent)" in plan
    assert "Subject: About welcome" in plan


def test_a_mail_whose_template_fails_says_why():
    plan = run(make_campaign(steps=[make_step(message={"subject": "Hi", "body": "Order {{ event.order_id }}"})]), agreed())

    assert "welcome: failed (" in plan
    assert "order_id" in plan


def test_a_paused_campaign_can_be_tried_and_stays_paused():
    campaign = make_campaign(status="paused")

    assert "welcome: sent" in run(campaign, agreed())
    assert Campaign.objects.get().status == "paused"


def test_a_refused_entry_says_why(tmp_path):
    event = {"eventType": "DOWNLOADED_API_DOCS", "timestamp": (NOW - timedelta(days=3)).isoformat()}

    assert "Nothing happens; the run is refused: too_old." in run(make_campaign(), make_lead(), event=event, tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({"eventType": "SIGNED_UP"}, 'SIGNED_UP does not start C; its trigger is {"event": "DOWNLOADED_API_DOCS"}'),
        ({"metadata": {}}, "the event is refused"),
        ("{", 'is not JSON .* write one event such as {"eventType": "SIGNED_UP"}'),
        ([], "must hold one event"),
    ],
)
def test_a_bad_event_says_what_is_wrong(tmp_path, event, sentence):
    with pytest.raises(CommandError, match=sentence):
        run(make_campaign(key="C"), make_lead(), event=event, tmp_path=tmp_path)


def test_a_missing_file_says_so():
    with pytest.raises(CommandError, match=r"/nowhere/event\.json can't be read: No such file"):
        call_command("simulate", make_campaign().key, "--lead", str(make_lead().uid), "--event", "/nowhere/event.json")


def test_unknown_names_say_what_there_is():
    campaign = make_campaign(key="KNOWN")
    with pytest.raises(CommandError, match=r"There is no campaign 'OTHER'\. Known: KNOWN\."):
        run("OTHER", make_lead())
    with pytest.raises(CommandError, match="'x' is not the uid of a lead"):
        run(campaign, "x")
    with pytest.raises(CommandError, match="There is no lead"):
        run(campaign, "00000000-0000-0000-0000-000000000000")


def test_who_cannot_enter_says_why():
    campaign = make_campaign()
    with pytest.raises(CommandError, match="is anonymous"):
        run(campaign, make_lead(email=""))
    Campaign.objects.update(live=None)
    with pytest.raises(CommandError, match="was never published"):
        run(campaign, make_lead())
