"""The nouns of the app, one module for each family."""

from leads.models.claims import Claimable, ClaimableQuerySet
from leads.models.facts import Checkpoint, Event, FoldState, ScoreEntry
from leads.models.imports import CsvImport
from leads.models.people import (
    Company,
    Consent,
    ContactPoint,
    Identity,
    Lead,
    LeadSearch,
    Merge,
    MergeReview,
    Topic,
    hash_address,
    normalize_email,
)
from leads.models.sales import Activity, Notification, Task
from leads.models.scoring import (
    DerivedType,
    Draft,
    Exclusion,
    FitRule,
    IdleRule,
    Rescore,
    ScoringLimits,
    ScoringRule,
    ScoringVersion,
    WhatIf,
)
from leads.models.seen import SeenProperty
from leads.models.sources import BUILT_IN, Delivery, Source, digest_key
from leads.models.staff import SavedView, User, Workspace
from leads.models.stages import Gate, Reason, Stage, Transition

__all__ = [
    "BUILT_IN",
    "Activity",
    "Checkpoint",
    "Claimable",
    "ClaimableQuerySet",
    "Company",
    "Consent",
    "ContactPoint",
    "CsvImport",
    "Delivery",
    "DerivedType",
    "Draft",
    "Event",
    "Exclusion",
    "FitRule",
    "FoldState",
    "Gate",
    "Identity",
    "IdleRule",
    "Lead",
    "LeadSearch",
    "Merge",
    "MergeReview",
    "Notification",
    "Reason",
    "Rescore",
    "SavedView",
    "ScoreEntry",
    "ScoringLimits",
    "ScoringRule",
    "ScoringVersion",
    "SeenProperty",
    "Source",
    "Stage",
    "Task",
    "Topic",
    "Transition",
    "User",
    "WhatIf",
    "Workspace",
    "digest_key",
    "hash_address",
    "normalize_email",
]
