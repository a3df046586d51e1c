"""The admin of leads: everything staff edit, and all history to read."""

from leads.admin import facts, people, scoring, staff

__all__ = ["facts", "people", "scoring", "staff"]
