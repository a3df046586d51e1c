"""A whole Leadstate of real processes for tests: database, web server, workers, timetable, mail server.

Used where the claim is about concurrency or about dying processes; everything lives in a folder of its own.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from aiosmtpd.controller import Controller

ROOT = Path(__file__).resolve().parent.parent


class Sink:
    """A mail server that notes the Message-ID and the recipient of everything it accepts."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, str]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd names it so
        for line in envelope.content.decode("utf-8", "replace").splitlines():
            if line.lower().startswith("message-id:"):
                self.accepted.append((line.split(":", 1)[1].strip(), envelope.rcpt_tos[0]))
                break
        return "250 taken"

    def received_twice(self) -> list[str]:
        return [name for name, times in Counter(name for name, _ in self.accepted).items() if times > 1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """One running Leadstate. `backend` is "sqlite" (with the filesystem broker) or "postgres" (with Redis)."""

    def __init__(self, folder: Path, *, backend: str) -> None:
        self.folder = folder
        self.backend = backend
        self.port = free_port()
        self.sink = Sink()
        self.smtp = Controller(self.sink, hostname="127.0.0.1", port=free_port())
        self.name = f"leadstate_stack_{uuid.uuid4().hex[:8]}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.key = ""
        if backend == "postgres":
            self.server = os.environ["DATABASE_URL"].rsplit("/", 1)[0]
            # Parallel test runs share the Redis server; a numbered database each keeps their bells apart.
            number = 2 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
            database, broker = f"{self.server}/{self.name}", f"{os.environ['CELERY_BROKER_URL'].rsplit('/', 1)[0]}/{number}"
        else:
            database, broker = f"sqlite:///{folder / 'stack.sqlite3'}", "filesystem://"
        self.env = os.environ | {
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": broker,
            "VAR_DIR": str(folder),
            "DEBUG": "1",
            "LOG_LEVEL": "WARNING",
            "SITE_URL": f"http://127.0.0.1:{self.port}",
            "EMAIL_URL": f"smtp://127.0.0.1:{self.smtp.port}",
            "PYTHONPATH": str(ROOT),
        }

    # --- life -------------------------------------------------------------------------------------
    def __enter__(self) -> "Stack":
        self.smtp.start()
        if self.backend == "postgres":
            with psycopg.connect(f"{self.server}/postgres", autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{self.name}"')
        self.manage("migrate", "-v0")
        self.key = self.manage("source", "add", "Product").strip().splitlines()[-1]
        return self

    def __exit__(self, *error: object) -> None:
        for name in list(self.processes):
            self.kill(name)
        self.smtp.stop()
        if self.backend == "postgres":
            with psycopg.connect(f"{self.server}/postgres", autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')

    def start(self, name: str) -> None:
        """Start `web`, `beat`, or a worker (any other name)."""
        python = [sys.executable, "-m"]
        command = {
            "web": [*python, "gunicorn", "crm.wsgi", "-b", f"127.0.0.1:{self.port}", "-w", "1", "--threads", "8", "--log-level", "warning"],
            "beat": [*python, "celery", "-A", "crm", "beat", "-l", "WARNING"],
        }.get(name) or [
            *python, "celery", "-A", "crm", "worker", "-P", "threads", "-c", "3", "-n", f"{name}@%h", "-l", "WARNING",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ]  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as out:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=out, stderr=out, start_new_session=True)
        if name == "web":
            self.until(self.answers, seconds=30, what="the web server answers")

    def kill(self, name: str) -> None:
        """SIGKILL a process and everything it started."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.request("GET", "/healthz")[0] == 200
        return False

    # --- doors ------------------------------------------------------------------------------------
    def manage(self, *arguments: str, check: bool = True) -> str:
        """Run a management command; what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def ask(self, expression: str) -> Any:
        """Evaluate a Python expression over the models (and the ORM's functions) in a process of its own."""
        code = (
            "import json; from django.db.models import *; from leads.models import *; from campaigns.models import *\n"
            f"print('ANSWER', json.dumps({expression}, default=str))"
        )
        printed = self.manage("shell", "--no-imports", "-c", code)
        return json.loads(printed.rsplit("ANSWER ", 1)[1])

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {self.key}"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in b"{[" and text else text
        finally:
            connection.close()

    def post_all(self, messages: list[Any], *, posters: int = 8) -> list[str]:
        """Post each message as a request of its own from several threads; the receipts of those answered 200."""
        receipts: list[str] = []
        waiting = list(reversed(messages))

        def post() -> None:
            while waiting:
                try:
                    message = waiting.pop()
                except IndexError:
                    return
                for _ in range(5):
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        status, answer = self.request("POST", "/api/events", message)
                        if status == 200:
                            receipts.append(answer["receipt"])
                            break
                    time.sleep(0.2)

        threads = [threading.Thread(target=post) for _ in range(posters)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return receipts

    # --- waiting ----------------------------------------------------------------------------------
    def until(self, condition: Callable[[], Any], *, seconds: float, what: str) -> None:
        """Look until the condition holds; fails with the processes' last words when it does not in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.5)
        raise AssertionError(f"Not within {seconds} s: {what}\n{self.last_words()}")

    def last_words(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in sorted(self.folder.glob("*.log")))

    def free_leases(self) -> None:
        """Let the leases of killed workers pass at once instead of waiting for minutes."""
        expire = "lease_until='2000-01-01T00:00:00Z'"
        self.ask(
            f"[m.objects.exclude(claim_token=None).update({expire})"
            " for m in (Delivery, FoldState, Enrollment, Message, Notification, Rescore)]"
        )


@contextlib.contextmanager
def running(folder: Path, *, backend: str, playbook: str, workers: int = 2) -> Iterator[Stack]:
    """A stack with web, timetable and workers up, and a playbook applied."""
    with Stack(folder, backend=backend) as stack:
        file = folder / "playbook.yaml"
        file.write_text(playbook)
        stack.manage("playbook", "apply", str(file), "--publish")
        for name in ("web", "beat", *(f"worker{number}" for number in range(workers))):
            stack.start(name)
        yield stack
