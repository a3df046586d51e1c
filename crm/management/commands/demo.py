"""`manage.py demo`: everything on one port, on a fresh machine, with believable data; Ctrl-C stops all of it."""

import fcntl
import http.client
import logging
import os
import shutil
import socket
import sys
import urllib.parse
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from crm.demo import data
from crm.demo.supervisor import Child, Supervisor
from leads.models import User

HOST = "127.0.0.1"
PORTS_TRIED = 50
QUIET_CELERY = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


class Command(BaseCommand):
    help = "Run web, worker and timetable on one port, with believable data. Ctrl-C stops all of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="the next free one is taken when somebody has it (default 8000)")
        parser.add_argument("--reset", action="store_true", help="forget the embedded database, broker and mailbox first")
        parser.add_argument("--empty", action="store_true", help="make nothing up: no data, no log-ins, no playbook")

    def handle(self, *args: Any, port: int, reset: bool, empty: bool, **options: Any) -> None:
        with one_at_a_time():
            if reset:
                forget_everything()
            self.prepare(empty=empty)
            port = free_port(port)
            status = self.supervise(port, empty=empty)
        if status:
            raise CommandError("Stopped: a process failed again and again; its last words are above.")
        self.stdout.write("Stopped.")

    def prepare(self, *, empty: bool) -> None:
        """Bring the database up to date, and fill it when it is empty."""
        logging.disable(logging.WARNING)  # people read this terminal; errors are shown
        self.stdout.write("Preparing the database …")
        call_command("migrate", verbosity=0)
        if not empty and data.is_empty():
            self.stdout.write("Making up 60 days of history …")
            self.stdout.write(f"{data.create()} events posted and processed.")
        connections.close_all()
        logging.disable(logging.NOTSET)

    def supervise(self, port: int, *, empty: bool) -> int:
        """Run the three processes until Ctrl-C; say where to look once the pages answer."""
        site_url = address(port)
        greeting = self.greeting(site_url, empty=empty)
        waiting = [True]

        def greet() -> None:
            if waiting[0] and answers(port, host=urllib.parse.urlsplit(site_url).netloc):
                waiting[0] = False
                self.stdout.write(greeting)
                self.stdout.flush()

        environment = {**os.environ, "SITE_URL": site_url, "PYTHONUNBUFFERED": "1"}
        environment.setdefault("LOG_LEVEL", "ERROR")
        return Supervisor(processes(port), environment, tell=self.stderr.write, on_tick=greet).run()

    def greeting(self, site_url: str, *, empty: bool) -> str:
        """What is said when everything runs."""
        lines = ["", f"Leadstate runs at {site_url}/", ""]
        if not empty:
            lines += [f"  {name:<9} {what}" for name, what in (("rep", "the board"), ("marketer", "+ the admin"), ("admin", "everything"))]
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
    if database["ENGINE"] != "django.db.backends.sqlite3":
        raise CommandError("RESET works on the embedded database only; drop and create yours by hand.")
    connections.close_all()
    for suffix in ("", "-wal", "-shm", "-journal"):
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
