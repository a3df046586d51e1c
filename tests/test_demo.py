"""The demo: its processes live and die together, and its people went through the real intake."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, Sum

from campaigns.models import Enrollment
from crm.demo import data
from crm.demo.supervisor import Child, Supervisor
from crm.management.commands import demo
from leads.models import Delivery, Event, Identity, Lead, ScoreEntry, Task, User

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


@pytest.mark.django_db
def test_the_made_up_histories_went_through_the_real_intake(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks():
        count = data.create()

    known = Lead.objects.known()
    stages = dict(known.values_list("stage").annotate(Count("pk")))
    assert 58 <= known.count() <= 60
    assert Event.objects.exclude(source__name="leadstate").count() == count
    assert not Delivery.objects.exclude(state=Delivery.State.PROCESSED).exclude(source__name="leadstate").exists()
    assert set(stages) == {"cold", "mql", "sql", "won", "lost"}
    assert min(stages.values()) >= 3
    assert known.values("company").distinct().count() >= 20
    assert Lead.objects.current().filter(is_known=False).count() == 14
    assert Task.objects.filter(kind=Task.Kind.HANDOFF).exists()
    assert Enrollment.objects.active().exists()
    assert Identity.objects.filter(kind=Identity.Kind.ANONYMOUS_ID, lead__is_known=True).count() > 20
    assert not data.is_empty()
    for lead in known.annotate(total=Sum("entries__points")):
        assert lead.score == (lead.total or 0)
    assert ScoreEntry.objects.values("rule").distinct().count() >= 4


@pytest.mark.django_db
def test_the_team_can_log_in(client):
    data.create_team()

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
