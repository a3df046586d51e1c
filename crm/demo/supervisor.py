"""Keeps a few processes running side by side: starts them, restarts them with back-off, stops them all together."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

# A process that lived shorter than this failed quickly; after so many quick failures in a row it is given up, and all stop.
QUICK_SECONDS = 10.0
MAX_QUICK_FAILURES = 5
# How long processes may take to finish what they are at before they are killed.
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.1
PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One process to keep alive."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    quick_failures: int = 0

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self, environment: Mapping[str, str], now: float) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches only the supervisor."""
        # Nothing untrusted is in the command; preexec_fn is safe because the supervisor has no threads.
        self.process = subprocess.Popen(  # noqa: S603
            self.command, env=dict(environment), start_new_session=True, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent
        )
        self.started_at = now

    def plan_restart(self, now: float) -> None:
        """Decide when to start it again: at once after a long life, later and later after quick failures."""
        self.process = None
        self.quick_failures = self.quick_failures + 1 if now - self.started_at < QUICK_SECONDS else 0
        self.start_at = now + (2 ** (self.quick_failures - 1) * 0.5 if self.quick_failures else 0)

    def send(self, signum: int) -> None:
        """Signal the process and everything it started."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signum)
        except ProcessLookupError:
            return


def die_with_parent() -> None:
    """Ask Linux to end this process when the supervisor dies, even by SIGKILL; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Supervisor:
    """Runs children until a signal comes or one of them is given up. `tell` gets sentences for people."""

    children: Sequence[Child]
    environment: Mapping[str, str]
    tell: Callable[[str], None]
    on_tick: Callable[[], None] = lambda: None
    asked_to_stop: bool = False
    gave_up: bool = field(default=False, init=False)

    def run(self) -> int:
        """Keep everything running; return 0 after a signal, 1 when a child was given up."""
        handlers = {signum: signal.signal(signum, self.stop) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            while not (self.asked_to_stop or self.gave_up):
                self.look_after(time.monotonic())
                self.on_tick()
                time.sleep(POLL_SECONDS)
        finally:
            self.end_all()
            for signum, handler in handlers.items():
                signal.signal(signum, handler)
        return 1 if self.gave_up else 0

    def stop(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """Ask for the end; also the signal handler."""
        self.asked_to_stop = True

    def look_after(self, now: float) -> None:
        """Start what should run and does not."""
        for child in self.children:
            if child.process is not None and not child.is_running:
                self.bury(child, now)
            if child.process is None and not self.gave_up and now >= child.start_at:
                child.start(self.environment, now)

    def bury(self, child: Child, now: float) -> None:
        """Note how a child ended; give up when it fails again and again."""
        assert child.process is not None  # noqa: S101  look_after's condition, told to mypy
        code = child.process.returncode
        child.send(signal.SIGKILL)  # what it may have left behind
        child.plan_restart(now)
        if child.quick_failures >= MAX_QUICK_FAILURES:
            self.tell(f"{child.name} ended with {code} for the {child.quick_failures}th time within seconds; giving up.")
            self.gave_up = True
        else:
            self.tell(f"{child.name} ended with {code}; starting it again.")

    def end_all(self) -> None:
        """SIGTERM to all, then SIGKILL to those that are still there after the grace time."""
        for child in self.children:
            if child.is_running:
                child.send(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(child.is_running for child in self.children) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for child in self.children:
            child.send(signal.SIGKILL)
            if child.process is not None:
                child.process.wait()
