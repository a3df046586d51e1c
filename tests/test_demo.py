"""The demo: its processes live and die together, and its people went through the real intake."""

import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from campaigns.models import Enrollment, Message
from crm.demo import data, trickle
from crm.demo.cast import cast_people
from crm.demo.firms import FIRMS
from crm.demo.progress import Progress
from crm.demo.script import rng_of
from crm.demo.supervisor import Child, Supervisor
from crm.management.commands import demo
from crm.playbook import apply_shipped
from crm.refolding import rebuild, rebuildable
from crm.verify import verify
from leads.intake import drain_all
from leads.models import (
    Activity,
    Company,
    Delivery,
    Event,
    Identity,
    Lead,
    Notification,
    Source,
    Task,
    Transition,
    User,
    Workspace,
)
from leads.sla import clock_of
from leads.working_time import WorkingHours

ROOT = Path(__file__).parent.parent
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes() if Path("/proc").is_dir() else True


def wait_until(holds, seconds=10):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def supervise(*children, on_tick=lambda supervisor: None):
    said = []
    supervisor = Supervisor(children, dict(os.environ), tell=said.append)
    supervisor.on_tick = lambda: on_tick(supervisor)
    return supervisor.run(), said


def test_a_process_that_ends_is_started_again_and_all_stop_together():
    short, long = Child("short", [sys.executable, "-c", "pass"]), Child("long", SLEEP)
    seen = set()

    def stop_after_two_lives(supervisor):
        if short.process:
            seen.add(short.process.pid)
        if len(seen) == 2:
            supervisor.stop()

    status, said = supervise(short, long, on_tick=stop_after_two_lives)

    assert status == 0
    assert "short ended with 0; starting it again." in said
    assert not long.is_running


def test_a_process_that_fails_at_once_again_and_again_is_given_up(monkeypatch):
    broken, healthy = Child("broken", [sys.executable, "-c", "raise SystemExit(3)"]), Child("healthy", SLEEP)
    monkeypatch.setattr(Child, "plan_restart", patiently(Child.plan_restart))

    status, said = supervise(broken, healthy)

    assert status == 1
    assert said[-1] == "broken ended with 3 for the 5th time within seconds; giving up."
    assert not healthy.is_running


def patiently(plan):
    """The same plan without the waiting."""

    def planned(child, now):
        plan(child, now)
        child.start_at = now

    return planned


def test_waiting_grows_with_every_quick_failure_and_a_long_life_forgives_them():
    child = Child("web", SLEEP)
    waits = []
    for now in (1.0, 2.0, 3.0):
        child.started_at = now
        child.plan_restart(now + 0.5)
        waits.append(child.start_at - now - 0.5)
    child.started_at = 10.0
    child.plan_restart(100.0)

    assert waits == [0.5, 1.0, 2.0]
    assert (child.quick_failures, child.start_at) == (0, 100.0)


def test_a_child_that_ignores_sigterm_is_killed(monkeypatch):
    stubborn = Child(
        "stubborn", [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]
    )
    monkeypatch.setattr("crm.demo.supervisor.GRACE_SECONDS", 0.3)
    started = time.monotonic()

    def stop_later(supervisor):
        if time.monotonic() - started > 1:
            supervisor.stop()

    status, _ = supervise(stubborn, on_tick=stop_later)

    assert status == 0
    assert not stubborn.is_running


def test_the_next_port_is_taken_when_somebody_has_the_first(live_port):
    assert demo.free_port(live_port) > live_port


@pytest.fixture
def live_port():
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_links_follow_the_port_unless_somebody_set_the_address(settings):
    settings.SITE_URL = "http://localhost:8000"
    assert demo.address(8003) == "http://localhost:8003"
    settings.SITE_URL = "https://crm.example.com"
    assert demo.address(8003) == "https://crm.example.com"


def test_two_demos_do_not_share_a_folder(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    with demo.one_at_a_time(), pytest.raises(CommandError, match="running on"):
        call_command("demo")


def test_only_the_embedded_database_is_reset(settings):
    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}}

    with pytest.raises(CommandError, match="embedded database only"):
        demo.forget_everything()


NOON = datetime(2026, 6, 17, 11, 30, tzinfo=UTC)
SUNDAY_NIGHT = datetime(2026, 6, 14, 23, 10, tzinfo=UTC)


@pytest.mark.django_db
def test_two_weeks_of_history_are_made_by_the_product_itself(settings):
    looks = []

    count = data.create(now=NOON, firms=33, every=4, visitors=6, days=14, on_look=lambda day, leads: looks.append((day, leads)))

    assert Event.objects.count() == count > 200
    it_holds_together()
    time_passed(looks)
    sales_has_worked_and_has_work()
    people_are_believable()
    mails_were_sent_and_read(settings.MAILBOX_DIR)


def it_holds_together():
    with time_machine.travel(NOON, tick=False):
        broken = [f"{finding.invariant.name}: {finding.rows[:2]}" for finding in verify() if finding.broken]
        appended = sum(lines for _, lines in rebuild(rebuildable()))

    assert broken == []
    assert appended == 0
    assert not Delivery.objects.filter(received_at__lte=NOON).exclude(state=Delivery.State.PROCESSED).exists()
    assert not Delivery.objects.exclude(error="", rejected=[]).exists()


def time_passed(looks):
    days = [day for day, _ in looks]
    moves = Transition.objects.exclude(gate="")

    assert days == sorted(days)
    assert (days[0], days[-1], looks[-1][1]) == (0, 14, Lead.objects.known().count())
    assert not moves.filter(recorded_at__lt=F("at")).exists()
    assert not moves.filter(recorded_at__gt=F("at") + timedelta(hours=16)).exists()
    assert moves.dates("recorded_at", "day").count() > 7
    assert not Event.objects.filter(at__gt=NOON).exists()
    assert timezone.now() > NOON


def sales_has_worked_and_has_work():
    handoffs = Task.objects.filter(kind=Task.Kind.HANDOFF)
    waiting = handoffs.filter(touched_at=None, done_at=None)
    rita = User.objects.get(username="rep")
    with override_settings(WORKING_HOURS=data.working_hours(NOON)):
        clocks = [clock for task in waiting.filter(owner=rita) if (clock := clock_of(task, NOON))]

    assert any(clock.is_over for clock in clocks)
    assert any(clock.is_urgent and not clock.is_over for clock in clocks)
    assert waiting.filter(owner=None).exists()
    assert handoffs.filter(colleagues__isnull=False).exists()
    assert handoffs.exclude(accepted_at=None).exists()
    assert {activity.kind for activity in Activity.objects.all()} == set(Activity.Kind)
    assert Task.objects.filter(kind=Task.Kind.MANUAL, owner=rita, done_at=None, due_at__date=NOON.date()).exists()
    assert Transition.objects.exclude(actor=None).exists()
    assert User.objects.get(username="lena").away_until > NOON.date()


def people_are_believable():
    known = Lead.objects.known()

    assert set(known.values_list("stage__key", flat=True)) >= {"cold", "mql", "sql", "won"}
    assert Lead.objects.current().filter(is_known=False).count() >= 6
    assert Identity.objects.filter(kind=Identity.Kind.ANONYMOUS_ID, lead__is_known=True).count() > 12
    assert Lead.objects.exclude(merged_into=None).exists()
    assert not known.exclude(email__endswith=".example").exists()
    assert not Company.objects.exclude(domain__endswith=".example").exists()
    assert not Company.objects.filter(value=None).exists()


def mails_were_sent_and_read(folder):
    sent = Message.objects.filter(state=Message.State.SENT)
    files = len(list((folder / "new").iterdir()))

    assert sent.filter(sent_at__gt=NOON - data.FILES_KEPT).count() <= files < sent.count() + Notification.objects.count()
    assert sent.filter(sent_at__lt=NOON - data.FILES_KEPT).exists()
    assert Event.objects.filter(type="EMAIL_CLICKED", verdict="").exists()
    assert Message.objects.filter(state=Message.State.SKIPPED, reason="no_consent").exists()
    assert Enrollment.objects.active().exists()
    assert "window" not in Workspace.current().sending


def test_the_cast_is_the_same_every_time():
    first, second = cast_people(rng_of("cast")), cast_people(rng_of("cast"))

    assert first == second
    assert len({person.email for person in first}) == len(first)
    assert len([person for person in first if not person.is_newcomer]) == pytest.approx(400, abs=20)
    assert len(FIRMS) == len({firm.domain for firm in FIRMS}) == 150


@pytest.mark.parametrize("now", [NOON, SUNDAY_NIGHT])
def test_rita_lives_where_it_is_a_working_day(now):
    local = now.astimezone(ZoneInfo(data.ritas_zone(now)))
    sales = WorkingHours.parse(data.working_hours(now))

    assert sales.add(now, timedelta(minutes=30), local.tzinfo) == now + timedelta(minutes=30)


@pytest.mark.django_db(transaction=True)
def test_while_the_demo_runs_people_come_and_go(live_server):
    apply_shipped(active=True)
    key = trickle.fresh_key()
    life = trickle.Trickle(cast_people(rng_of("cast")), random.Random(1))

    posts = [post for _ in range(40) for post in life.next_posts(timezone.now())] + list(life.ask_for_demo(timezone.now()))
    taken = trickle.send(live_server.url, key, posts)
    drain_all()

    assert taken
    assert Source.objects.get(name=trickle.SOURCE).deliveries.count() == len(posts)
    assert not Delivery.objects.exclude(rejected=[]).exists()
    assert Lead.objects.known().filter(stage="sql").exists()
    assert Lead.objects.current().filter(is_known=False).exists()
    assert trickle.fresh_key() != key
    assert not trickle.send("http://127.0.0.1:9", key, posts[:1])


def test_a_history_that_was_interrupted_is_made_anew(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "demo.sqlite3"}}
    (tmp_path / "demo.sqlite3").write_text("half")

    with pytest.raises(CommandError, match="anew"), demo.noted_as_unfinished():
        raise KeyboardInterrupt
    interrupted = demo.unfinished().exists()
    demo.forget_everything()

    assert interrupted
    assert list(tmp_path.iterdir()) == []


def test_progress_is_a_bar_on_a_terminal_and_a_few_lines_elsewhere():
    for is_terminal in (True, False):
        out = OutputWrapper(StringIO())
        out._out.isatty = lambda answer=is_terminal: answer
        progress = Progress(out, days=90)
        for day in (0, 0, 14, 15, 16, 90):
            progress(day, day * 4)
        progress.end(3000)
        said = out._out.getvalue()

        assert "Day 90 of 90 · 360 leads" in said
        assert said.count("\r") == (5 if is_terminal else 0)
        assert ("Day 14" in said) == is_terminal
        assert "3,000 events recorded" in said


@pytest.mark.django_db
def test_the_team_can_log_in(client):
    data.create_team("Europe/Berlin")

    answers = [client.post("/login/", {"username": name, "password": data.PASSWORD}).status_code for name in ("rep", "marketer", "admin")]

    assert answers == [302, 302, 302]
    assert User.objects.get(username="marketer").is_editor
    assert not User.objects.get(username="rep").is_staff


def test_the_whole_demo_serves_pages_and_ctrl_c_leaves_nothing_behind(tmp_path, live_port):
    """Slow (some ten seconds): the real processes, from nothing to the board and back."""
    environment = {
        **os.environ,
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'demo.sqlite3'}",
        "CELERY_BROKER_URL": "filesystem://",
        "SITE_URL": "http://localhost:8000",
        "DEBUG": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--empty", "--port", str(live_port + 1)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        address = next(line.split()[-1] for line in process.stdout if line.startswith("Leadstate runs at"))
        healthy = urllib.request.urlopen(f"{address}healthz").status
        login = urllib.request.urlopen(address).url
        children = [int(pid) for pid in subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True).split()]
        process.send_signal(signal.SIGINT)
        status = process.wait(timeout=30)
        wait_until(lambda: not any(is_alive(pid) for pid in children))
    finally:
        process.kill()

    assert healthy == 200
    assert login == f"{address}login/?next=/"
    assert len(children) == 3
    assert status == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_killing_the_supervisor_leaves_no_orphans(tmp_path):
    script = (
        "import os, sys; from crm.demo.supervisor import Child, Supervisor; "
        "child = Child('sleeper', [sys.executable, '-c', 'import time; time.sleep(60)']); "
        "said = []\n"
        "def tick():\n"
        "    if child.process and not said: said.append(1); print(child.process.pid, flush=True)\n"
        "Supervisor([child], dict(os.environ), tell=print, on_tick=tick).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())

    process.send_signal(signal.SIGKILL)
    process.wait()

    wait_until(lambda: not is_alive(pid))
