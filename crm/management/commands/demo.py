"""`manage.py demo`: everything on one port, on a fresh machine, with believable data; Ctrl-C stops all of it."""

import argparse
import fcntl
import http.client
import logging
import os
import shutil
import socket
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from crm.demo import data, trickle
from crm.demo.progress import Progress
from crm.demo.supervisor import Child, Supervisor
from crm.demo.world import changed
from leads.models import User

HOST = "127.0.0.1"
PORTS_TRIED = 50
LOG_INS = [
    ("rep", "sells: board, today, leads, companies"),
    ("marketer", "edits campaigns and scoring; may read the mailbox"),
    ("admin", "may do everything"),
]
QUIET_CELERY = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


class Command(BaseCommand):
    help = "Run web, worker and timetable on one port, with believable data. Ctrl-C stops all of it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="the next free one is taken when somebody has it (default 8000)")
        parser.add_argument("--reset", action="store_true", help="forget the embedded database, broker and mailbox first")
        parser.add_argument("--empty", action="store_true", help="make nothing up: no data, no log-ins, no playbook")
        parser.add_argument("--no-trickle", action="store_true", help="nobody does anything while the demo runs")
        parser.add_argument("--trickle-to", default="", help=argparse.SUPPRESS)  # how the supervisor starts that process

    def handle(self, *args: Any, port: int, reset: bool, empty: bool, no_trickle: bool, trickle_to: str, **options: Any) -> None:
        if trickle_to:
            trickle.run(trickle_to)
            return
        with one_at_a_time():
            if reset or (is_embedded() and unfinished().exists()):
                forget_everything()
            self.prepare(address(free_port(port)), empty=empty)
            status = self.supervise(free_port(port), empty=empty, lively=not (empty or no_trickle))
        if status:
            raise CommandError("Stopped: a process failed again and again; its last words are above.")
        self.stdout.write("Stopped.")

    def prepare(self, site_url: str, *, empty: bool) -> None:
        """Bring the database up to date, and fill it when it is empty; the links in its mails lead to `site_url`."""
        logging.disable(logging.WARNING)  # people read this terminal; errors are shown
        if is_behind():
            self.stdout.write("Preparing the database …")
            call_command("migrate", verbosity=0)
        if not empty and data.is_empty():
            self.stdout.write(f"Making up {data.DAYS} days of history. This is done once; the next start is quick.")
            with noted_as_unfinished(), changed(settings, SITE_URL=site_url):
                progress = Progress(self.stdout, days=data.DAYS)
                progress.end(data.create(on_look=progress))
        connections.close_all()
        logging.disable(logging.NOTSET)

    def supervise(self, port: int, *, empty: bool, lively: bool) -> int:
        """Run the processes until Ctrl-C; say where to look once the pages answer."""
        site_url = address(port)
        greeting = self.greeting(site_url, empty=empty)
        waiting = [True]

        def greet() -> None:
            if waiting[0] and answers(port, host=urllib.parse.urlsplit(site_url).netloc):
                waiting[0] = False
                self.stdout.write(greeting)
                self.stdout.flush()

        children = processes(port) + ([trickle_process(site_url)] if lively else [])
        return Supervisor(children, environment_for(site_url, made_up=not empty), tell=self.stderr.write, on_tick=greet).run()

    def greeting(self, site_url: str, *, empty: bool) -> str:
        """What is said when everything runs."""
        lines = ["", f"Leadstate runs at {site_url}/", ""]
        if not empty:
            lines += [f"  {name:<9} {what}" for name, what in LOG_INS]
            lines += [f"  password  {data.PASSWORD}", "", f"  Mail goes to {site_url}/mailbox/ and nowhere else."]
        elif not User.objects.exists():
            lines += ["  Nobody can log in yet: python manage.py createsuperuser"]
        connections.close_all()
        return "\n".join([*lines, "  Ctrl-C stops everything.", ""])


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the lock of this data folder: two demos on one database and one broker would take each other's work."""
    with (settings.VAR_DIR / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CommandError(f"A demo is running on {settings.VAR_DIR} already. Stop it, or set VAR_DIR to another folder.") from None
        yield


def forget_everything() -> None:
    """Delete the embedded database, the broker's folder and the mailbox. Raises CommandError for a database server."""
    database = settings.DATABASES["default"]
    if not is_embedded():
        raise CommandError("RESET works on the embedded database only; drop and create yours by hand.")
    connections.close_all()
    for suffix in ("", "-wal", "-shm", "-journal", ".unfinished"):
        Path(f"{database['NAME']}{suffix}").unlink(missing_ok=True)
    for file in settings.VAR_DIR.glob("beat-schedule*"):
        file.unlink()
    shutil.rmtree(settings.MAILBOX_DIR, ignore_errors=True)
    for folder in (settings.VAR_DIR / "broker").glob("*"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)


def processes(port: int) -> list[Child]:
    """Web, worker and timetable; the timetable is a process of its own, or a killed worker would leave it behind."""
    # Containers run as root; Celery's page of warning about that would hide the log-ins.
    celery = [
        sys.executable,
        "-W",
        "ignore:You're running the worker",
        "-m",
        "celery",
        "-q",
        "-A",
        "crm",
        "--workdir",
        str(settings.BASE_DIR),
    ]
    gunicorn = [sys.executable, "-m", "gunicorn", "crm.wsgi", "--chdir", str(settings.BASE_DIR), "--bind", f"{HOST}:{port}"]
    return [
        Child("web", [*gunicorn, "--workers", "1", "--threads", "8", "--log-level", "warning"]),
        Child("worker", [*celery, "worker", "-P", "threads", "-c", "4", "-l", "warning", *QUIET_CELERY]),
        Child("timetable", [*celery, "beat", "-l", "warning"]),
    ]


def trickle_process(site_url: str) -> Child:
    """Somebody does something now and then."""
    return Child("visitors", [sys.executable, str(settings.BASE_DIR / "manage.py"), "demo", "--trickle-to", site_url])


def environment_for(site_url: str, *, made_up: bool) -> dict[str, str]:
    """What the processes are told. Where people are made up no mail and no chat leaves this machine, whatever `.env` says."""
    environment = {**os.environ, "SITE_URL": site_url, "PYTHONUNBUFFERED": "1"}
    environment.setdefault("LOG_LEVEL", "ERROR")
    if made_up:
        environment |= {"EMAIL_URL": "mailbox://", "CHAT_WEBHOOK_URL": "", "WORKING_HOURS": data.working_hours(timezone.now())}
    return environment


def is_behind() -> bool:
    """Whether the database lacks tables or columns of this version; asked because it is much quicker than `migrate`."""
    executor = MigrationExecutor(connections["default"])
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def is_embedded() -> bool:
    """Whether the database is a file of ours, which may be thrown away."""
    return str(settings.DATABASES["default"]["ENGINE"]) == "django.db.backends.sqlite3"


def unfinished() -> Path:
    """A file beside the embedded database while its history is being made: one that was interrupted is made anew."""
    return Path(f"{settings.DATABASES['default']['NAME']}.unfinished")


@contextmanager
def noted_as_unfinished() -> Iterator[None]:
    """Leave the note if the block does not come to its end, whatever the reason."""
    if is_embedded():
        unfinished().touch()
    try:
        yield
    except KeyboardInterrupt:
        what_next = "the next start makes the data anew" if is_embedded() else "drop the database and create it anew"
        raise CommandError(f"Stopped half way; {what_next}.") from None
    if is_embedded():
        unfinished().unlink()


def free_port(port: int) -> int:
    """`port`, or the next one nobody listens on. Raises CommandError when there is none near."""
    for candidate in range(port, min(port + PORTS_TRIED, 65_536)):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind((HOST, candidate))
            except OSError:
                continue
            return candidate
    raise CommandError(f"No free port from {port} on; choose another with PORT=.")


def address(port: int) -> str:
    """SITE_URL with the real port when it points to this machine; otherwise somebody has set it on purpose."""
    parts = urllib.parse.urlsplit(settings.SITE_URL)
    if parts.hostname in {"localhost", HOST}:
        return f"http://{parts.hostname}:{port}"
    return str(settings.SITE_URL)


def answers(port: int, *, host: str) -> bool:
    """Whether /healthz says 200 to somebody who asks for `host`."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/healthz", headers={"Host": host})
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()
