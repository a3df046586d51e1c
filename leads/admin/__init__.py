"""The admin of leads: everything staff edit, and all history to read."""

from leads.admin import desk, facts, people, scoring, staff

__all__ = ["desk", "facts", "people", "scoring", "staff"]
