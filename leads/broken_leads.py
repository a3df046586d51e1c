"""Leads that could not be folded: they keep what went wrong, and can be tried again."""

import traceback
from collections.abc import Iterable

import structlog
from django.db import transaction
from django.db.utils import OperationalError
from django.utils import timezone

from leads import engine, scoring
from leads.models import FoldState, Stage

log = structlog.get_logger(__name__)


def mark_broken(lead_pk: int, error: Exception) -> None:
    """Keep with the lead what went wrong when it was folded."""
    told = {
        "error": f"{type(error).__name__}: {error}"[:2000],
        "traceback": "".join(traceback.format_exception(error)),
        "failed_at": timezone.now(),
    }
    nothing = {"state": engine.start(scoring_stages()).to_json()}
    FoldState.objects.update_or_create(lead_id=lead_pk, defaults=told, create_defaults=told | nothing)


def scoring_stages() -> list[engine.StageInfo]:
    """The stages as the engine sees them."""
    return [engine.StageInfo(stage.key, stage.position, stage.kind) for stage in Stage.objects.order_by("position", "pk")]


def try_again(lead_pks: Iterable[int]) -> int:
    """Fold leads once more that could not be folded; how many of them still cannot."""
    pks = list(lead_pks)
    for pk in pks:
        now = timezone.now()
        try:
            with transaction.atomic():
                scoring.refold([pk], now=now)
                # Folded: unless the fold has marked it anew, the old mark goes.
                FoldState.objects.filter(pk=pk, failed_at__lt=now).update(error="", traceback="", failed_at=None)
        except OperationalError:
            raise
        except Exception as error:
            log.exception("try_again_failed", lead=pk, error=type(error).__name__)
            mark_broken(pk, error)
    return FoldState.objects.broken().filter(pk__in=pks).count()
