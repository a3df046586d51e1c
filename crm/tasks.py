"""The timetable's two tasks."""

from celery import shared_task

from crm import sweep


@shared_task(name="crm.tasks.tick")
def tick() -> None:
    """Ring for everything that is due."""
    sweep.ring_for_due_work()


@shared_task(name="crm.tasks.housekeeping")
def housekeeping() -> None:
    """Empty old bodies and delete old receipts."""
    sweep.keep_house()
