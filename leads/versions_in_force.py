"""Which version of the scoring model was in force from when, and every version compiled."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, reduce
from operator import or_

from leads import engine
from leads.models import ScoringVersion
from leads.of_company import OfCompany

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(at: datetime) -> int:
    """Microseconds since 1970, the engine's only notion of time."""
    return (at - EPOCH) // MICROSECOND


def from_micros(at: int) -> datetime:
    """The other way round."""
    return EPOCH + timedelta(microseconds=at)


@lru_cache(maxsize=256)
def compiled(version_id: int) -> engine.Model:
    """The compiled model of a published version; versions are immutable, so it never goes stale."""
    return engine.compile_model(ScoringVersion.objects.get(pk=version_id).document, version_id)


def live_model() -> engine.Model | None:
    """The model that scores new events, or None when nothing was published yet."""
    pk = ScoringVersion.objects.order_by("-number").values_list("pk", flat=True).first()
    return compiled(pk) if pk else None


@dataclass(frozen=True, slots=True)
class Versions:
    """The publications that count, oldest first: the last one for the past too always was in force, those before it never were."""

    published: tuple[engine.Published, ...]

    @property
    def live(self) -> engine.Model | None:
        """The version that scores new events."""
        return compiled(self.published[-1].version) if self.published else None

    @property
    def of_company(self) -> OfCompany:
        """What any of them asks of somebody's colleagues."""
        return reduce(or_, (compiled(each.version).of_company for each in self.published), OfCompany())

    def up_to(self, version_id: int | None) -> "Versions":
        """As it was while that version was the live one; None: before the first publication."""
        return Versions(()) if version_id is None else read_versions(up_to=version_id)

    def models(self, also: Iterable[int | None] = ()) -> dict[int, engine.Model]:
        """Every version that was in force, and those named."""
        wanted = {each.version for each in self.published} | {pk for pk in also if pk is not None}
        return {pk: compiled(pk) for pk in wanted}


def read_versions(*, up_to: int | None = None) -> Versions:
    """The publications that count now, or counted while the version `up_to` (its id) was live."""
    found: list[engine.Published] = []
    for pk, published_at, rescored in ScoringVersion.objects.order_by("number").values_list("pk", "published_at", "rescored"):
        if rescored:
            found = [engine.Published(engine.EARLIEST, pk)]
        else:
            found.append(engine.Published(max([to_micros(published_at), *(each.at for each in found[-1:])]), pk))
        if pk == up_to:
            break
    return Versions(tuple(found))
