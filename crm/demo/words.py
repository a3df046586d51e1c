"""What the demo's sales team writes down."""

from leads.models import Activity

Outcome = Activity.Outcome
CALLS: dict[str, list[str]] = {
    Outcome.REACHED: [
        "Short call. They compare three products until the end of the month and want to test with real data first.",
        "Talked about limits and prices. The technical side is settled, procurement comes next.",
        "Good call. Two more colleagues will look at it this week.",
        "They run a home-made version today. Two people keep it alive, and one of them leaves.",
    ],
    Outcome.INTERESTED: [
        "Wants a demo with their own events. Sent three dates.",
        "They are ready to start with one team and grow from there. Asked for an offer.",
        "Decision before the end of the quarter. Needs a data processing agreement.",
    ],
    Outcome.NO_ANSWER: ["Rang through to voicemail. Left my number.", "No answer, wrote a short mail."],
    Outcome.CALL_BACK: ["In a meeting, call again tomorrow before noon.", "On the train, bad line. We talk tomorrow."],
}
MEETINGS = [
    "Demo with four people. Questions about audit logs and single sign-on; both are fine.",
    "Went through the integration with their engineers. They start a pilot on Monday.",
    "Showed the sandbox. The budget is there, the signature needs two people.",
]
NOTES = [
    "Uses webhooks a lot. Retries are what they care about.",
    "The CTO decides, procurement only signs.",
    "They looked at two others. Ours was the only one with a sandbox that works.",
    "Prefers mail to the phone.",
    "Asked twice about hosting in the EU. Sent the page about it.",
    "Team of eight now, fourteen next year.",
]
TODOS = [
    "Send the security questionnaire",
    "Send the offer for 25 seats",
    "Ask for the name of their data protection officer",
    "Call again about the pilot",
    "Send the data processing agreement",
    "Check the sandbox together",
]
LOST_NOTES = ["Said so on the phone.", "Mail of this morning.", "Two months without an answer.", "They stay with what they have."]
REJECT_NOTES = ["A student who writes a thesis.", "Only wants to compare prices for a report.", "Asked us to come back next year.", ""]
