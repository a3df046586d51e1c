"""Who listens to what: the only signal connections, in order."""

from campaigns import colleagues, confirmation, enrollment, runs, tracking
from campaigns.type_uses import campaign_uses
from leads import handoff, scoring, seen
from leads.signals import events_arriving, events_recorded, leads_merged, leads_parted, leads_transitioned
from leads.type_uses import tell_uses


def connect() -> None:
    """Connect every receiver. Called once, when Django is ready; receivers of one signal run in the order given here."""
    events_arriving.connect(tracking.judge_clicks)

    events_recorded.connect(scoring.score_events)
    events_recorded.connect(enrollment.enroll_on_events)
    events_recorded.connect(confirmation.ask_for_confirmation)
    events_recorded.connect(seen.note_seen)

    leads_transitioned.connect(handoff.hand_over)
    leads_transitioned.connect(enrollment.enroll_on_transitions)
    leads_transitioned.connect(colleagues.release_colleagues)
    leads_transitioned.connect(scoring.follow_hand_moves)

    leads_merged.connect(runs.merge_runs)
    leads_parted.connect(runs.part_runs)

    tell_uses(campaign_uses)
