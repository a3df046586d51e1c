"""Who listens to what: the only signal connections, in order."""

from leads import handoff, scoring
from leads.signals import events_recorded, leads_transitioned


def connect() -> None:
    """Connect every receiver. Called once, when Django is ready; receivers of one signal run in the order given here."""
    events_recorded.connect(scoring.score_events)

    leads_transitioned.connect(handoff.hand_over)
