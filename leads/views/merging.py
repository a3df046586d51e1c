"""Are these two one person? Pairs that wait for an answer, two leads side by side, and taking them apart again."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from leads import merging, pairs
from leads.access import rep_page, signed_in
from leads.gates import UNDO_FOR
from leads.merging import AlreadyApart, CannotMerge, merge_by_hand, unmerge
from leads.models import Lead, Merge, MergeReview
from leads.toasts import with_toast

PAGE = "leads/reviews.html"
FIND = "leads/merge.html"
COMPARE = "leads/compare.html"
# Proposed while one types.
PROPOSED = 8


def get_person(uid: UUID) -> Lead:
    """Somebody who can be merged: known, and not part of another lead."""
    return get_object_or_404(Lead.objects.known().select_related("company", "owner", "stage"), uid=uid)


# --- pairs that wait ------------------------------------------------------------------------------


@require_safe
@rep_page
def reviews(request: HttpRequest) -> HttpResponse:
    """The pairs nobody has decided on, side by side."""
    return render_reviews(request)


def render_reviews(request: HttpRequest, **extra: Any) -> HttpResponse:
    """The page, or its list alone for htmx."""
    found, more = pairs.open_pairs()
    template = f"{PAGE}#reviews" if request.htmx else PAGE  # type: ignore[attr-defined]
    return render(request, template, {"pairs": found, "more": more} | extra)


@require_POST
@rep_page
def ask_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Take back that two are two people: the pair waits again."""
    review = get_object_or_404(MergeReview, pk=pk)
    if merging.ask_again(review, by_user=signed_in(request)):
        return undone(request, "The pair waits for an answer again.", reverse("leads:reviews"))
    return undone(request, "Only your own last answer can be taken back, for ten minutes.", reverse("leads:reviews"), is_error=True)


# --- two leads ------------------------------------------------------------------------------------


@require_safe
@rep_page
def find_other(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Look for the lead that is the same person."""
    lead = get_person(uid)
    words = request.GET.get("q", "")[:100].lower().split()
    found = Lead.objects.for_board().exclude(pk=lead.pk)
    for word in words:
        found = found.filter(search__text__contains=word)
    context = {"lead": lead, "q": request.GET.get("q", "")[:100], "found": list(found[:PROPOSED]) if words else pairs.perhaps_same(lead)}
    return render(request, f"{FIND}#found" if request.htmx else FIND, context)  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def compare_two(request: HttpRequest, uid: UUID, other: UUID) -> HttpResponse:
    """Show two leads side by side (GET); make them one, or say that they are two (POST with `keep`: a uid, or `apart`)."""
    if request.method != "POST":
        one, two = get_person(uid), get_person(other)
        return redirect(one) if one == two else render(request, COMPARE, {"pair": pairs.compare(one, two), "asked_from": one})
    people = Lead.objects.in_bulk([uid, other], field_name="uid")
    if len(people) < 2:
        return answer(request, "One of the two was forgotten meanwhile, or they are one already.", is_error=True)
    one, two = people[uid], people[other]
    if request.POST.get("keep") == "apart":
        review = merging.keep_apart(one, two, by_user=signed_in(request))
        return answer(request, f"{one} and {two} stay two people.", undo=reverse("leads:ask-again", args=[review.pk]))
    kept, gone = (two, one) if request.POST.get("keep") == str(two.uid) else (one, two)
    try:
        merge = merge_by_hand(kept, gone, by_user=signed_in(request))
    except CannotMerge as error:
        return answer(request, str(error), is_error=True)
    return answer(request, f"{gone} is part of {kept} now.", undo=reverse("leads:undo-merge", args=[merge.pk]), to=kept)


def answer(request: HttpRequest, said: str, *, undo: str = "", to: Lead | None = None, is_error: bool = False) -> HttpResponse:
    """The pairs that are left and a toast for htmx, else where the question was asked: to the pairs, or to the lead that was kept."""
    if request.htmx:  # type: ignore[attr-defined]
        return with_toast(render_reviews(request, answered=True), said, undo=undo, is_error=is_error)
    told = mark_safe(render_to_string(f"{COMPARE}#told", {"said": said, "undo": undo}, request))  # noqa: S308 (escaped by the template)
    messages.add_message(request, messages.ERROR if is_error else messages.SUCCESS, told)
    return redirect(to) if to and request.POST.get("next") != "reviews" else redirect("leads:reviews")


# --- apart again ----------------------------------------------------------------------------------


@require_POST
@rep_page
def undo_merge(request: HttpRequest, pk: int) -> HttpResponse:
    """Take one's own merge of a moment ago back, as if nothing had been decided."""
    merge, user = get_object_or_404(Merge.objects.select_related("absorbed"), pk=pk), signed_in(request)
    address = merge.absorbed.get_absolute_url()
    if merge.by_user_id != user.pk or timezone.now() - merge.at > UNDO_FOR:
        return undone(request, "Only your own merge can be taken back like this, for ten minutes. See Take apart.", address, is_error=True)
    try:
        lead = unmerge(merge, by_user=user, remember=False)
    except AlreadyApart as error:
        return undone(request, str(error), address, is_error=True)
    return undone(request, f"Taken back: {lead} is a lead of their own again.", lead.get_absolute_url())


@require_POST
@rep_page
def take_apart(request: HttpRequest, pk: int) -> HttpResponse:
    """Say that a merge was wrong, however long ago: both are themselves again, and are not merged by messages any more."""
    merge = get_object_or_404(Merge.objects.select_related("absorbed"), pk=pk)
    try:
        lead = unmerge(merge, by_user=signed_in(request))
    except AlreadyApart as error:
        messages.error(request, str(error))
        return redirect(merge.absorbed)
    messages.success(request, f"{lead} is a lead of their own again, with everything that came by their keys.")
    return redirect(lead)


def undone(request: HttpRequest, said: str, address: str, *, is_error: bool = False) -> HttpResponse:
    """Tell that something was taken back: a toast, and pages fetch themselves; without htmx on to `address`."""
    if not request.htmx:  # type: ignore[attr-defined]
        messages.add_message(request, messages.ERROR if is_error else messages.SUCCESS, said)
        return redirect(address)
    told = with_toast(HttpResponse(status=204), said, is_error=is_error)
    return trigger_client_event(told, "reviews-changed")  # type: ignore[no-any-return,unused-ignore]
