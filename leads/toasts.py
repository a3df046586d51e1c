"""Short confirmations at the lower left, with Undo where undo exists; for answers to htmx.

Answers that are whole pages use Django's messages, which the shell shows in the same place.
"""

from django.http import HttpResponse
from django_htmx.http import trigger_client_event


def with_toast(response: HttpResponse, text: str, *, undo: str = "", is_error: bool = False) -> HttpResponse:
    """`response`, and a toast with `text` when it arrives; `undo` is the address its Undo button posts to."""
    toast = {"text": text, "undo": undo, "level": "error" if is_error else "success"}
    return trigger_client_event(response, "toast", toast)  # type: ignore[no-any-return,unused-ignore]
