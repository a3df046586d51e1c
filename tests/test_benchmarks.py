"""`make bench` measures what it says: the limit of a drain writes what the drain wrote, the sums hold, and the checks can fail."""

from collections import Counter

import msgspec
import pytest
from django.apps import apps
from django.test import override_settings

from benchmarks import raw, rows, world
from benchmarks.measure import Row, measure
from leads import intake, publishing
from leads.documents import ModelDoc
from leads.models import Delivery, Lead, Source

pytestmark = pytest.mark.django_db


@pytest.fixture
def published():
    publishing.replace_draft(msgspec.convert(world.MODEL, ModelDoc))
    publishing.publish()


def rows_of_all_tables():
    """How many rows each of our tables has."""
    ours = ("leads", "campaigns", "crm")
    models = [model for model in apps.get_models() if model._meta.app_label in ours]
    return Counter({model._meta.label: model._base_manager.count() for model in models})


@pytest.mark.parametrize("size", [1, 7])
def test_the_limit_of_a_drain_writes_as_many_rows_of_every_table_as_the_drain(published, size):
    users = world.people("user", 20)
    world.deliver(world.messages(users), size=size)
    deliveries = list(Delivery.objects.filter(state=Delivery.State.PENDING).values_list("pk", flat=True))
    before = rows_of_all_tables()
    intake.drain_all()
    drained = rows_of_all_tables() - before
    written = raw.read_written(deliveries)
    before = rows_of_all_tables()
    raw.write_again(written)

    assert drained["leads.Event"] == 20
    assert drained["leads.ScoreEntry"] > 0
    assert rows_of_all_tables() - before == drained
    assert not Delivery.objects.exclude(state=Delivery.State.PROCESSED).exists()


def test_what_the_limit_wrote_is_taken_away_and_the_sums_hold(published):
    users = world.people("user", 20)
    world.deliver(world.messages(users), size=7)
    deliveries = list(Delivery.objects.filter(state=Delivery.State.PENDING).values_list("pk", flat=True))
    intake.drain_all()
    before = rows_of_all_tables()
    written = raw.read_written(deliveries)
    raw.write_again(written)
    assert not world.books_balance()
    raw.remove(written)

    assert rows_of_all_tables() == before
    assert world.books_balance()


def test_points_that_no_ledger_line_gave_are_noticed(published):
    world.people("user", 10)
    assert world.books_balance()
    lead = Lead.objects.filter(engagement__gt=0).first()
    Lead.objects.filter(pk=lead.pk).update(engagement=lead.engagement + 1)

    assert not world.books_balance()


def test_everybody_measured_stands_where_gates_are_tried_and_stay_shut(published):
    world.people("user", 10)

    assert set(Lead.objects.filter(is_known=True).values_list("stage", flat=True)) == {"sql"}


@pytest.mark.django_db(transaction=True)  # the handler closes connections that are in a transaction
def test_both_requests_of_the_accept_row_are_answered(published):
    with override_settings(ALLOWED_HOSTS=["localhost"], SECURE_SSL_REDIRECT=False):
        row = rows.accept_row()

        assert row.ours() == row.limit() == rows.REQUESTS
    assert Delivery.objects.filter(source=Source.objects.get(name="Accepting")).count() == rows.REQUESTS


def test_a_row_is_measured_by_turns_and_its_first_round_does_not_count():
    turns = []

    def work(name):
        turns.append(name)
        return 1

    result = measure(Row("one ÷ two", 0.5, lambda: work("ours"), lambda: work("limit")), rounds=3)

    assert turns == ["ours", "limit"] * 4
    assert result.min <= result.median <= result.max
    assert result.rounds == 3
