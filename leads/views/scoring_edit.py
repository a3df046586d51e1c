"""The forms of the scoring model: rules, fit, quiet, limits, who does not count, derived types and gates. Saving changes the draft only."""

from dataclasses import replace
from functools import cached_property
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from leads.access import marketer_page, signed_in
from leads.builder import Written
from leads.builder_cells import boxes
from leads.builder_form import Builder, wished
from leads.conditions import ConditionError, Place
from leads.draft_entries import ORDERED, Refused, delete_entry, find_entry, move_entry, save_entry
from leads.forms_scoring import FORMS, PartForm
from leads.known_fields import Offer, known_types, offer
from leads.matching import count_words
from leads.model_words import conditions_phrase
from leads.publishing import draft_document, rule_entry
from leads.scoring_draft import PARTS, SENTENCES, SINGLE, anchor_of, key_of, stage_names
from leads.seen import seen_types
from leads.type_warnings import happening, warning
from leads.vocabulary import event_key

NAMES = {
    "gates": "gate",
    "rules": "rule",
    "fit": "fit rule",
    "idle": "quiet rule",
    "limits": "limits",
    "exclude": "who does not count",
    "derive": "derived type",
}
WHEN = {
    Place.RULE: "Only if",
    Place.FIT: "While",
    Place.EXCLUDE: "Nobody counts while",
    Place.EVENT: "When",
    Place.GATE: "Opens when",
}
# Rows that were settled stay as they are; with nothing on offer the others are read as text.
NOTHING = Offer()
EMPTY = {Place.RULE: "It counts each time, whatever else holds.", Place.EVENT: "All of these events count as the other type too."}


@require_http_methods(["GET", "HEAD", "POST"])
@marketer_page
def new_entry(request: HttpRequest, part: str) -> HttpResponse:
    """A form for one more; of limits and exclusion there is only one, which opens."""
    if part in SINGLE:
        return redirect("leads:scoring-entry", part=part, key="edit")
    return Editing(request, part, PARTS[part][0]()).answer()


@require_http_methods(["GET", "HEAD", "POST"])
@marketer_page
def entry(request: HttpRequest, part: str, key: str) -> HttpResponse:
    """The form of one part of the model. Every button of the builder leads here too, and saves nothing."""
    return Editing(request, part, find_or_404(part, key)).answer()


@require_http_methods(["GET", "HEAD", "POST"])
@marketer_page
def delete(request: HttpRequest, part: str, key: str) -> HttpResponse:
    """Ask once, then remove it from the draft."""
    row = find_or_404(part, key)
    if row._state.adding:
        raise Http404
    title = str(row)
    if request.method == "POST":
        delete_entry(part, row, by_user=signed_in(request))
        messages.success(request, f"Removed from the draft: {title}. It counts until that is published.")
        return redirect(f"{reverse('leads:scoring')}#{part}")
    context = {"part": part, "key": key, "title": title, "what": NAMES[part], "back": reverse("leads:scoring-entry", args=[part, key])}
    return render(request, "leads/scoring_delete.html", context)


@require_POST
@marketer_page
def move(request: HttpRequest, part: str, key: str) -> HttpResponse:
    """Put a gate or a derived type one place earlier or later in the draft."""
    row = find_or_404(part, key)
    if part not in ORDERED:
        raise Http404
    move_entry(row, by=-1 if request.POST.get("to") == "earlier" else 1, by_user=signed_in(request))
    return redirect(f"{reverse('leads:scoring')}#{anchor_of(part, row)}")


def find_or_404(part: str, key: str) -> Any:
    """The row of the draft that is asked for."""
    if (row := find_entry(part, key)) is None:
        raise Http404
    return row


class Editing:
    """One request to one form: the fields, the builder, and what is said about them."""

    def __init__(self, request: HttpRequest, part: str, row: Any) -> None:
        self.request, self.part, self.row = request, part, row
        self.form: PartForm = FORMS[part](request.POST if request.method == "POST" else None, instance=row)
        # What is typed may rename the row before it is saved; addresses keep to the draft.
        self.is_stored = row.pk is not None and not row._state.adding
        self.title, self.anchor = (str(row), anchor_of(part, row)) if self.is_stored else ("", part)
        self.key = key_of(part, row) if self.is_stored or part in SINGLE else ""
        self.here = reverse("leads:scoring-entry", args=[part, self.key]) if self.key else reverse("leads:scoring-new", args=[part])
        self.form.follow(self.here)
        self.before = Written(getattr(row, self.form.column, []), getattr(row, "match", "all"))
        self.builder = self.find_builder()
        self.tried = False

    def find_builder(self) -> Builder | None:
        """The builder as posted, or as the draft has it."""
        if self.form.place is None:
            return None
        gate = self.part == "gates"
        if self.request.method == "POST":
            return Builder.of_post(self.form.place, self.request.POST, gate=gate)
        return Builder.of_document(self.form.place, self.before, gate=gate)

    def answer(self) -> HttpResponse:
        """Save, or do what a button of the builder asks for, or just show the form."""
        if self.request.method != "POST":
            return self.show()
        wish = wished(self.request.POST)
        if not wish and not self.request.htmx:  # type: ignore[attr-defined]
            return self.save()
        self.form.is_valid()
        if self.builder and wish:
            self.builder.act(wish)
        return self.show()

    # --- saving

    def save(self) -> HttpResponse:
        """Save in the draft and lead back to the line; else the form again, with what is wrong beside each field."""
        self.tried = True
        fits = self.form.is_valid()
        if self.builder:
            self.builder.settle(self.offer())
        written = self.builder.read(self.before) if self.builder else Written([])
        if fits and written and self.store(written):
            messages.success(self.request, "Saved in the draft. It counts once that is published.")
            return redirect(f"{reverse('leads:scoring')}#{anchor_of(self.part, self.row)}")
        return self.show(status=422)

    def store(self, written: Written) -> bool:
        """Write the row; what could not be published goes to the fields it is about."""
        row = self.form.save(commit=False)
        if self.builder:
            setattr(row, self.form.column, written.conditions)
        if self.part == "gates":
            row.match = written.match
        if self.part in SINGLE:
            row.pk = 1
        try:
            save_entry(self.part, row, by_user=signed_in(self.request), origins=self.form.cleaned_data.get("from_stages"))
        except Refused as error:
            for word, message in error.problems:
                self.refuse(self.form.field_of(word), f"{message[:1].upper()}{message[1:]}.")
            return False
        return True

    def refuse(self, name: str | None, message: str) -> None:
        """Say what is wrong at the field, at the conditions, or at the head of the form."""
        if name == "conditions" and self.builder:
            self.builder.refuse(message)
        else:
            self.form.add_error(name if name != "conditions" else None, message)

    # --- showing

    def show(self, status: int = 200) -> HttpResponse:
        """The page, its builder alone, or only the words about it: what htmx asks for."""
        target = str(self.request.htmx.target or "") if self.request.htmx else ""  # type: ignore[attr-defined]
        if target == "builder-words":
            return render(self.request, "leads/scoring_form.html#said", self.words_context())
        context = self.builder_context() | self.words_context() | {"part": self.part, "here": self.here, "type_note": self.type_note()}
        if target == "builder":
            return render(self.request, "leads/scoring_form.html#answer", context)
        return render(self.request, "leads/scoring_form.html", context | self.page_context(), status=status)

    def builder_context(self) -> dict[str, Any]:
        """What the builder needs; nothing for a part without conditions."""
        if self.builder is None:
            return {}
        choices, place = self.offer(), self.builder.place
        self.builder.settle(choices)
        found = boxes(self.builder, choices, stage_names())
        for cell in (cell for box in found for cell in box.cells if cell.mode == "event"):
            cell.warning = warning(event_key(cell.row.get("event")), self.happening)
        return {"builder": self.builder, "boxes": found, "when": WHEN[place], "empty": EMPTY.get(place, "")}

    @cached_property
    def happening(self) -> set[str]:
        """The event types there are, as far as anybody knows."""
        return happening(draft_document())

    def page_context(self) -> dict[str, Any]:
        """What the page needs besides the builder."""
        part, key = self.part, self.key
        return {
            "what": NAMES[part],
            "form": self.form,
            "tried": self.tried,
            "title": self.title,
            "delete": reverse("leads:scoring-delete", args=[part, key]) if self.is_stored else "",
            "back": f"{reverse('leads:scoring')}#{self.anchor}",
            "types": known_types([]) if part in ("rules", "derive", "gates") else [],
        }

    def event(self) -> str:
        """The type the form is about, as typed."""
        field = {"rules": "event", "derive": "source_type"}.get(self.part, "")
        return event_key(str(self.form[field].value() or "")) if field else ""

    def type_note(self) -> dict[str, Any] | None:
        """When the type was seen last, or that it never was; None when no type is chosen."""
        if not (name := self.event()):
            return None
        return {"last": seen_types().get(name), "warning": warning(name, self.happening)}

    def offer(self) -> Offer:
        """What conditions may look at here."""
        groups = self.builder.groups if self.builder else []
        counted = {event_key(row.get("event")) for group in groups for row in group.rows if row.what == "event"}
        return offer(self.form.place or Place.FIT, event=self.event(), counted=counted - {""})

    def words_context(self) -> dict[str, str]:
        """What the form says as a sentence, and how many it holds for."""
        looking = replace(self.builder, errors={}, problem="") if self.builder else None
        if looking:
            looking.settle(NOTHING)
        written = looking.read(self.before) if looking else Written([])
        if written is None:
            incomplete = "The sentence stands here as soon as every condition is complete."
            return {"sentence": "", "count": "", "incomplete": looking.problem if looking and looking.problem else incomplete}
        return {"sentence": self.sentence(written), "count": self.count(written), "incomplete": ""}

    def sentence(self, written: Written) -> str:
        """What the form says, as /scoring/ will; only the conditions while the fields can't be read."""
        if not self.form.is_bound and not self.key:
            return ""
        if self.form.is_bound and self.form.errors:
            return conditions_phrase(written.conditions, self.form.place, stage_names()) if self.form.place and written.conditions else ""
        return SENTENCES[self.part](self.as_entry(written), stage_names())

    def as_entry(self, written: Written) -> Any:
        """The form as an entry of the document."""
        row, part = self.row, self.part
        if part == "exclude":
            return written.conditions
        if part == "rules":
            return rule_entry(row) | {"when": written.conditions}
        if part == "derive":
            return {"from": self.event(), "as": row.derived_type, "when": written.conditions}
        if part == "gates":
            origins = [stage.key for stage in self.origins()]
            return {"key": row.key, "from": origins, "to": row.to_id, "conditions": written.conditions, "match": written.match}
        names = {"fit": ("points",), "idle": ("points", "after", "every")}.get(part) or tuple(self.form.fields)
        return {name: getattr(row, name) for name in names} | {"when": written.conditions}

    def origins(self) -> list[Any]:
        """The stages a gate leads out of, as chosen."""
        if self.form.is_bound:
            return list(self.form.cleaned_data.get("from_stages") or [])
        return list(self.row.from_stages.all()) if self.row.pk else []

    def count(self, written: Written) -> str:
        """How many leads, or events, match now."""
        place = self.form.place
        if place is None or (not written.conditions and place in (Place.FIT, Place.EXCLUDE, Place.GATE)):
            return ""
        origins = [stage.key for stage in self.origins()] if place == Place.GATE else []
        try:
            return count_words(place, written.conditions, match=written.match, origins=origins, event=self.event())
        except ConditionError:
            return ""
