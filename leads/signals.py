"""What happens here that the rest may listen to. Connected in crm/wiring.py, and only there.

Every signal carries a list, is sent once per group, and is sent inside the transaction that wrote the
rows: a receiver touches the database only, and an error in it rolls the group back (it is tried again).
A receiver must be safe to call twice with the same list.
"""

from django.dispatch import Signal

#: Sent once per group of deliveries before its events are stored, so that a receiver can tell who did it.
#: Arguments: arrivals (list[leads.intake.Arrival]); a receiver may set `arrival.verdict`.
events_arriving = Signal()

#: Sent after new events were stored, again when their automation is retried, and for the events of an
#: anonymous lead that joined a known one (they count as triggers now).
#: Arguments: events (list[Event], in fact order, `event.lead` loaded), recorded (leads.intake.Recorded).
#: Not sent for duplicates.
events_recorded = Signal()

#: Sent after stages changed, with the moves that won: one transition per entry, in order.
#: A lead that moved twice in one fold appears twice; effects belong to its last transition only.
#: Arguments: transitions (list[Transition], `transition.lead` loaded), now (datetime).
leads_transitioned = Signal()

#: Sent after anonymous or double leads were merged, before their survivors are refolded.
#: Arguments: merges (dict[int, int]: absorbed lead id → survivor's id).
leads_merged = Signal()

#: Sent after leads that had been merged were taken apart, before both are refolded; both are locked.
#: Arguments: parted (dict[int, int]: id of a lead whose rows go back → id of the lead that has them from now on),
#: survivors (set[int]: ids of the leads that had them).
leads_parted = Signal()
