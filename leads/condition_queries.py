"""An audience as a database filter: as narrow as it can be said in SQL without ever leaving out a lead that matches."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from leads.condition_nodes import All, AnyOf, Field, IdleFor, InCampaign, InStageFor, Node, Not, Number

#: Text columns that are empty when nothing is known.
TEXTS = ("name", "email", "phone", "title", "country", "timezone")
NUMBERS = ("score", "engagement", "fit")
LARGEST = 2**31 - 1  # what an integer column compares with
COMPARISONS = {"is": "", "gt": "__gt", "gte": "__gte", "lt": "__lt", "lte": "__lte"}

type Filter = tuple[Q, bool]
UNFILTERED: Filter = (Q(), False)


def to_q(node: Node, *, campaign_q: Callable[[InCampaign], Q], now: datetime) -> Filter:
    """A filter over Lead, and whether it says everything.

    When it does not, evaluate the condition for each lead it lets through. `campaign_q` filters leads by a
    condition on campaigns, exactly. Text is compared in Python only: databases fold letters differently.
    """
    if isinstance(node, All | AnyOf):
        return _join(node, [to_q(each, campaign_q=campaign_q, now=now) for each in node.nodes])
    if isinstance(node, Not):
        inner, exact = to_q(node.node, campaign_q=campaign_q, now=now)
        return (~inner, True) if exact and inner else UNFILTERED
    if isinstance(node, Number):
        return _number(node.axis, "gte", node.at_least)
    if isinstance(node, InStageFor):
        return Q(stage_since__lte=now - timedelta(seconds=node.seconds)), True
    if isinstance(node, IdleFor):
        return _idle(now - timedelta(seconds=node.seconds)), True
    if isinstance(node, InCampaign):
        return campaign_q(node), True
    if isinstance(node, Field):
        return _field(node)
    return UNFILTERED  # event counts: derived types are known to scoring models only


def _idle(since: datetime) -> Q:
    """Filter by the last thing a person did; who never did anything is idle since they were first seen."""
    return Q(last_event_at__lte=since) | Q(last_event_at=None, first_seen_at__lte=since)


def _join(node: All | AnyOf, filters: list[Filter]) -> Filter:
    exact = all(each for _, each in filters)
    joined = Q()
    if isinstance(node, All):
        for each, _ in filters:
            joined &= each
        return joined, exact
    if not all(each for each, _ in filters):
        return Q(), exact
    for each, _ in filters:
        joined |= each
    return joined, exact


def _field(node: Field) -> Filter:
    name = node.path.removeprefix("lead.")
    if name in NUMBERS:
        return _number(name, node.op, node.value)
    if name == "stage":
        return _stage(node.op, node.value)
    if name in TEXTS and node.op in ("exists", "missing"):
        empty = Q(**{name: ""})
        return (empty if node.op == "missing" else ~empty), True
    if name in TEXTS and not node.test(None):
        return ~Q(**{name: ""}), False
    return UNFILTERED


def _number(name: str, op: str, value: Any) -> Filter:
    """Filter by points; anything but whole numbers of the columns' size is left to Python."""
    if not all(type(each) is int and abs(each) <= LARGEST for each in (value if isinstance(value, list) else [value])):
        return UNFILTERED
    if op in COMPARISONS:
        return Q(**{f"{name}{COMPARISONS[op]}": value}), True
    return (Q(**{f"{name}__range": value}), True) if op == "between" else UNFILTERED


def _stage(op: str, value: Any) -> Filter:
    """Filter by stage; keys are compared without case."""
    values = value if isinstance(value, list) else [value]
    if op not in ("is", "is_not", "in", "not_in") or not all(isinstance(each, str) for each in values):
        return UNFILTERED
    chosen = Q()
    for each in values:
        chosen |= Q(stage__key__iexact=each)
    return (~chosen if op in ("is_not", "not_in") else chosen), True
