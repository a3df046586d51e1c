"""The forms of the scoring model: saving in the draft, what is refused with the cure, the builder without JavaScript and its doors."""

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leads.builder_form import INPUTS
from leads.fold_state import State
from leads.models import DerivedType, Exclusion, FitRule, FoldState, Gate, IdleRule, ScoringLimits, ScoringRule, SeenProperty, Stage
from leads.publishing import publish
from tests.factories import make_company, make_event, make_lead, make_rep
from tests.test_scoring_page import make_gate, make_marketer, make_rule, words

pytestmark = pytest.mark.django_db

RULE = {"name": "Viewed the prices", "key": "", "event": "Viewed pricing", "points": "10", "g0": "all"}
GATE = {"name": "Ready", "key": "ready", "to": "sql", "g0": "all", "g0r0-what": "score", "g0r0-number": "80"}
FIT = {"name": "Leader", "points": "15", "g0": "any"}


@pytest.fixture
def marketer(client):
    user = make_marketer(first_name="Mia", last_name="Marketer")
    client.force_login(user)
    return user


def field(place, what, op, value=None, kind="text", **more):
    """A row of the builder as a browser posts it."""
    here = f"{place}-"
    typed = {"what": what, "shown": what, "op": op, "kind": kind} | more
    return {here + name: text for name, text in typed.items()} | ({f"{here}value": value} if value is not None else {})


def stage_pks(*keys):
    return [str(Stage.objects.get(key=key).pk) for key in keys]


# --- the pages


def test_every_part_has_a_form_and_every_line_leads_to_it(client, marketer):
    make_rule()
    make_gate(conditions=[{"score": {"at_least": 80}}])
    FitRule.objects.create(key="cto", points=15, when=[{"field": "lead.title", "op": "is", "value": "CTO"}])
    IdleRule.objects.create(key="quiet", points=-5, after="30d")
    ScoringLimits.objects.create(pk=1, fit_max=40)
    Exclusion.objects.create(pk=1, conditions=[{"field": "lead.email", "op": "ends_with", "value": "@us.example"}])
    DerivedType.objects.create(source_type="PAGE_VIEWED", derived_type="VIEWED_PRICING", when=[])

    page = client.get("/scoring/").content.decode()
    addresses = set(re.findall(r'href="(/scoring/(?:rules|fit|idle|derive|limits|exclude|gates)/[^"/]+/)"', page))

    assert len([address for address in addresses if not address.endswith("/new/")]) == 7
    assert len([address for address in addresses if address.endswith("/new/")]) == 5
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200
        assert 'style="' not in answer.content.decode()
    assert "/admin/leads/" not in page


def test_the_forms_are_for_marketers(client):
    rule = make_rule()
    for address in ("/scoring/rules/new/", f"/scoring/rules/{rule.key}/", f"/scoring/rules/{rule.key}/delete/"):
        assert client.get(address).status_code == 302
    client.force_login(make_rep())
    for address in ("/scoring/rules/new/", f"/scoring/rules/{rule.key}/", f"/scoring/rules/{rule.key}/delete/"):
        assert client.get(address).status_code == 403
        assert client.post(address).status_code == 403
    client.force_login(make_marketer())
    assert client.get("/scoring/rules/nothing/").status_code == 404
    assert client.get("/scoring/derive/999/").status_code == 404
    assert client.get("/scoring/limits/1/").status_code == 404
    assert client.get("/scoring/limits/new/").url == "/scoring/limits/edit/"
    assert client.post(f"/scoring/rules/{rule.key}/move/").status_code == 404


# --- saving


def test_a_rule_with_two_conditions_is_saved_in_the_draft(client, marketer):
    row = field("g0r0", "event.plan", "is", "team") | field("g0r1", "lead.traits.seats", "gte", "20", kind="number")

    answer = client.post("/scoring/rules/new/", RULE | row | {"limit_times": "3", "limit_per": "day", "expires_after_0": "90"})

    rule = ScoringRule.objects.get()
    assert answer.url == "/scoring/#rules-viewed-the-prices"
    assert (rule.key, rule.event, rule.points, rule.expires_after) == ("viewed-the-prices", "VIEWED_PRICING", 10, "90d")
    assert (rule.limit_times, rule.limit_per, rule.limit_days) == (3, "day", None)
    assert rule.when == [
        {"field": "event.plan", "op": "is", "value": "team"},
        {"field": "lead.traits.seats", "op": "gte", "value": 20},
    ]
    assert rule.edited_by == marketer
    assert "1 change" not in words(client.get("/scoring/"))
    assert "Viewed the prices : +10 points if plan is “team” and seats is at least 20, at most 3 times a day" in words(
        client.get("/scoring/")
    )


def test_groups_become_one_list_joined_by_and(client, marketer):
    rows = {"g1": "none", "g2": "any"}
    rows |= field("g0r0", "lead.title", "has_word", "CTO") | field("g0r1", "lead.title", "has_word", "VP")
    rows |= field("g1r0", "lead.email", "ends_with", "@us.example") | field("g1r1", "lead.country", "in", "DE\r\nAT")
    rows |= field("g2r0", "company.employees", "between", "20", kind="number", value2="200") | field("g2r1", "company.domain", "exists")

    client.post("/scoring/fit/new/", FIT | rows)

    assert FitRule.objects.get().when == [
        {"any": [{"field": "lead.title", "op": "has_word", "value": "CTO"}, {"field": "lead.title", "op": "has_word", "value": "VP"}]},
        {
            "not": {
                "any": [
                    {"field": "lead.email", "op": "ends_with", "value": "@us.example"},
                    {"field": "lead.country", "op": "in", "value": ["DE", "AT"]},
                ]
            }
        },
        {"any": [{"field": "company.employees", "op": "between", "value": [20, 200]}, {"field": "company.domain", "op": "exists"}]},
    ]


def test_a_gate_with_any_of_is_match_any(client, marketer):
    rows = {"g0": "any", "g0r1-what": "event", "g0r1-event": "viewed pricing", "g0r1-times": "at_least", "g0r1-number": "3"}
    rows |= {"g0r1-within": "7", "g0r1-within-unit": "d", "g0r1-every": "30", "g0r1-every-unit": "m", "g0r1-of": "lead"}

    answer = client.post("/scoring/gates/new/", GATE | rows | {"from_stages": stage_pks("cold", "mql")})

    gate = Gate.objects.get()
    assert answer.status_code == 302
    assert (gate.match, gate.to_id, {stage.key for stage in gate.from_stages.all()}) == ("any", "sql", {"cold", "mql"})
    assert gate.conditions == [
        {"score": {"at_least": 80}},
        {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d", "every": "30m"},
    ]


def test_the_other_parts_are_saved_too(client, marketer):
    excluded = field("g0r0", "lead.email", "ends_with", "@us.example") | {"g0": "all"}
    derived = field("g0r0", "event.path", "is", "/pricing") | {"g0": "all", "source_type": "page viewed", "derived_type": "viewed pricing"}

    answers = [
        client.post("/scoring/exclude/edit/", excluded),
        client.post("/scoring/derive/new/", derived),
        client.post("/scoring/limits/edit/", {"fit_max": "40", "floor": "0"}),
        client.post("/scoring/idle/new/", {"name": "Quiet", "points": "-5", "after_0": "30", "after_1": "d", "every_0": ""}),
    ]

    assert [answer.status_code for answer in answers] == [302] * 4
    assert Exclusion.objects.get().conditions == [{"field": "lead.email", "op": "ends_with", "value": "@us.example"}]
    assert str(DerivedType.objects.get()) == "PAGE_VIEWED as VIEWED_PRICING"
    assert (ScoringLimits.objects.get().fit_max, ScoringLimits.objects.get().floor) == (40, 0)
    assert (IdleRule.objects.get().after, IdleRule.objects.get().every) == ("30d", "")
    assert publish().number == 1


def inputs(html):
    """What a browser would post if nothing was changed."""
    found = {}
    for tag in re.findall(r"<input[^>]*>", html):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        boxed = 'type="checkbox"' in tag or 'type="radio"' in tag
        if name and "disabled" not in tag and (not boxed or " checked" in tag):
            found.setdefault(name[1], []).append(value[1].replace("&quot;", '"') if value else "")
    for name, inner in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', html, re.S):
        options = re.findall(r'<option value="([^"]*)"( selected)?', inner)
        found[name] = [value for value, chosen in options if chosen] or [options[0][0]]
    for name, text in re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', html, re.S):
        found[name] = [text.lstrip("\n")]
    return found


def form_of(client, address):
    return inputs(client.get(address).content.decode().split('id="part-form"')[1].split("</form>")[0])


def test_saving_the_shipped_model_without_a_change_changes_nothing(client, marketer):
    from crm.playbook import apply_shipped

    apply_shipped(active=False)
    before = publish().document
    addresses = re.findall(
        r'href="(/scoring/(?:rules|fit|idle|derive|limits|exclude|gates)/[^"/]+/)"', client.get("/scoring/").content.decode()
    )

    for address in addresses:
        if not address.endswith("/new/"):
            assert client.post(address, form_of(client, address)).status_code == 302, address

    assert publish().document == before
    assert not ScoringRule.objects.exclude(edited_by=None).exists()
    assert not Gate.objects.exclude(edited_by=None).exists()


def test_the_key_stays_once_it_is_published(client, marketer):
    rule = make_rule()
    draft = client.get("/scoring/rules/viewed-pricing/").content.decode()
    publish()
    page = client.get("/scoring/rules/viewed-pricing/").content.decode()

    client.post("/scoring/rules/viewed-pricing/", form_of(client, "/scoring/rules/viewed-pricing/") | {"key": "other", "name": "New name"})

    rule.refresh_from_db()
    assert (rule.key, rule.name) == ("viewed-pricing", "New name")
    assert "Stays as it is: version 1" in page
    assert "disabled" not in re.search(r'<input[^>]*name="key"[^>]*>', draft)[0]


# --- what is refused


@pytest.mark.parametrize(
    ("address", "data", "said"),
    [
        ("rules/new", RULE | {"points": "ten"}, "Write a whole number"),
        ("rules/new", RULE | {"points": ""}, "Write how many points it gives"),
        ("rules/new", RULE | {"event": "!"}, "is no event type"),
        ("rules/new", RULE | {"points": "5", "reset": "engagement"}, "A rule either gives points or sets back"),
        ("rules/new", RULE | {"limit_times": "3"}, "Choose a period, or write within how many days: one of the two"),
        ("rules/new", RULE | {"limit_times": "3", "limit_per": "day", "limit_days": "2"}, "write within how many days: one of the two"),
        ("rules/new", RULE | {"limit_per": "day"}, "Write how often at most"),
        ("rules/new", RULE | {"limit_times": "0", "limit_per": "day"}, "Empty: as often as it happens. Write 1 or more"),
        ("rules/new", RULE | {"limit_times": "3", "limit_days": "0"}, "Or within days Write 1 or more, or leave it empty"),
        ("rules/new", RULE | {"expires_after_0": "soon"}, "Write for how long"),
        ("rules/new", RULE | {"key": "Big Key"}, "Use lower case letters"),
        ("rules/new", RULE | {"key": "taken"}, "taken is the key of one of the fit rules already"),
        ("rules/new", RULE | {"key": "new"}, "Use lower case letters"),
        ("rules/new", RULE | {"name": "", "event": ""}, "Write which event it is about"),
        ("rules/new", RULE | {"g0r0-what": ""}, "Choose what to look at"),
        ("rules/new", RULE | field("g0r0", "event.plan", "is", ""), "Write a value to compare with"),
        ("rules/new", RULE | field("g0r0", "lead.stage", "is", "mql"), "is not known when points are given"),
        ("rules/new", RULE | field("g0r0", "other", "is", "x", path="lead.titel"), "did you mean lead.title"),
        ("fit/new", FIT, "A fit rule without conditions gives everyone its points"),
        ("idle/new", {"name": "Quiet", "points": "-5", "after_0": "5", "after_1": "m"}, "too short to be called idle"),
        ("limits/edit", {"fit_min": "50", "fit_max": "40"}, "Fit_min 50 lies above fit_max 40"),
        ("derive/new", {"source_type": "X", "derived_type": "X", "g0": "all"}, "X cannot be a derived type"),
        ("gates/new", GATE, "Choose at least one stage it leads out of"),
        ("gates/new", {"name": "Ready", "to": "sql", "from_stages": "1", "g0": "all"}, "A gate without conditions"),
    ],
)
def test_what_is_wrong_stands_there_with_the_cure_and_nothing_typed_is_lost(client, marketer, address, data, said):
    FitRule.objects.create(key="taken", points=1, when=[{"field": "lead.title", "op": "exists"}])

    answer = client.post(f"/scoring/{address}/", data | {"name": data.get("name", "A name to keep")})

    assert answer.status_code == 422
    assert said in words(answer)
    for name, text in data.items():
        if (
            text
            and name not in ("g0", "to", "from_stages", "reset", "limit_per")
            and not name.endswith(("op", "kind", "what", "shown", "_1"))
        ):
            assert f'value="{text}"' in answer.content.decode(), name
    assert not ScoringRule.objects.exists()
    assert not Gate.objects.exists()
    assert not ScoringLimits.objects.exists()
    assert FitRule.objects.count() == 1


def test_gates_that_form_a_loop_are_refused(client, marketer):
    make_gate(conditions=[{"score": {"at_least": 80}}])
    back = {"name": "Back", "to": "mql", "from_stages": stage_pks("sql"), "g0": "all", "g0r0-what": "fit", "g0r0-number": "5"}

    answer = client.post("/scoring/gates/new/", back)

    assert answer.status_code == 422
    assert "can all be open at one instant" in words(answer)
    assert Gate.objects.count() == 1


def test_what_was_wrong_elsewhere_does_not_keep_a_rule_from_being_saved(client, marketer):
    make_gate(conditions=[{"scroe": {"at_least": 80}}])

    assert client.post("/scoring/rules/new/", RULE).status_code == 302
    assert client.post("/scoring/rules/new/", RULE | {"name": "Other", "limit_times": "3"}).status_code == 422


def test_an_unknown_type_is_a_warning_and_no_problem(client, marketer):
    rule = RULE | {"event": "Viewd pricing"}

    page = client.get("/scoring/rules/new/")
    saved = client.post("/scoring/rules/new/", rule)
    line = words(client.get("/scoring/"))
    form = words(client.get("/scoring/rules/viewed-the-prices/"))

    assert "never seen" in page.content.decode()
    assert saved.status_code == 302
    assert "VIEWD_PRICING was never seen. Did you mean VIEWED_PRICING?" in line
    assert "VIEWD_PRICING was never seen" in form
    assert publish().number == 1


def test_a_type_that_arrived_says_when(client, marketer):
    make_rule(event="ODD_TYPE")
    SeenProperty.objects.create(type="ODD_TYPE", path="", last_at=timezone.now() - timedelta(hours=2))

    assert "Last seen 2 h" in words(client.get("/scoring/rules/viewed-pricing/"))
    assert "never seen" not in words(client.get("/scoring/"))


# --- removing and order


def test_removing_asks_once_names_it_and_knows_who_did_it(client, marketer):
    make_rule()
    publish()

    asked = client.get("/scoring/rules/viewed-pricing/delete/")
    answer = client.post("/scoring/rules/viewed-pricing/delete/")

    assert "Remove Viewed pricing from the draft?" in words(asked)
    assert answer.url == "/scoring/#rules"
    assert not ScoringRule.objects.exists()
    assert "1 change not live (1 yours)" in words(client.get("/scoring/"))


def test_gates_and_derived_types_change_places_without_dragging(client, marketer):
    make_gate(conditions=[{"score": {"at_least": 80}}])
    second = Gate.objects.create(key="late", name="Late", to=Stage.objects.get(key="won"), conditions=[{"event": "X"}], position=2)
    second.from_stages.add(Stage.objects.get(key="sql"))
    publish()

    answer = client.post("/scoring/gates/late/move/", {"to": "earlier"})
    client.post("/scoring/gates/late/move/", {"to": "earlier"})

    assert answer.url == "/scoring/#gates-late"
    assert list(Gate.objects.values_list("key", flat=True)) == ["late", "hot"]
    assert "Order of the gates" in words(client.get("/scoring/?review"))
    for n in (1, 2):
        DerivedType.objects.create(source_type="A", derived_type=f"B{n}", position=0)
    first, last = DerivedType.objects.all()
    client.post(f"/scoring/derive/{last.pk}/move/", {"to": "earlier"})
    assert list(DerivedType.objects.all()) == [last, first]


def test_a_new_gate_stands_at_the_end(client, marketer):
    make_gate(conditions=[{"score": {"at_least": 80}}], position=7)

    client.post("/scoring/gates/new/", GATE | {"to": "won", "from_stages": stage_pks("sql")})

    assert list(Gate.objects.values_list("key", flat=True)) == ["hot", "ready"]


# --- the builder without JavaScript


def test_the_buttons_of_the_builder_save_nothing_and_lose_nothing(client, marketer):
    typed = RULE | field("g0r0", "event.plan", "is", "te<am>")

    added = client.post("/scoring/rules/new/", typed | {"do": "add:0"})
    grouped = client.post("/scoring/rules/new/", typed | {"do": "group:none"})
    removed = client.post("/scoring/rules/new/", typed | {"do": "remove:0:0"})
    dropped = client.post("/scoring/rules/new/", typed | {"g1": "any"} | field("g1r0", "lead.title", "exists") | {"do": "drop:0"})
    odd = client.post("/scoring/rules/new/", typed | {"do": "remove:9:9"})

    pages = [answer.content.decode() for answer in (added, grouped, removed, dropped, odd)]
    assert {answer.status_code for answer in (added, grouped, removed, dropped, odd)} == {200}
    assert all('value="Viewed the prices"' in page for page in pages)
    assert ['value="te&lt;am&gt;"' in page for page in pages] == [True, True, False, False, True]
    assert 'name="g0r1-what"' in pages[0]
    assert '<option value="none" selected>' in pages[1]
    assert 'name="g1r0-what"' in pages[1]
    assert 'name="g0r0-what"' not in pages[2]
    assert '<option value="any" selected>' in pages[3]
    assert not ScoringRule.objects.exists()


def test_another_field_brings_other_operators_and_inputs(client, marketer):
    SeenProperty.objects.create(type="", path="lead.traits.trial", kind="flag", examples=[True], last_at=timezone.now())
    asked = field("g0r0", "lead.title", "has_word", "CTO") | {"g0r0-what": "lead.traits.trial", "do": "show"}

    page = client.post("/scoring/rules/new/", RULE | asked).content.decode()

    assert re.search(r'<select[^>]*name="g0r0-value"', page)
    assert "has the word" not in page.split('name="g0r0-op"')[1].split("</select>")[0]
    numbers = client.post("/scoring/rules/new/", RULE | asked | {"g0r0-what": "lead.score"}).content.decode()
    assert "is between" in numbers.split('name="g0r0-op"')[1].split("</select>")[0]
    pair = client.post("/scoring/rules/new/", RULE | field("g0r0", "lead.score", "between", "1", kind="number") | {"do": "show"})
    assert 'name="g0r0-value2"' in pair.content.decode()
    lines = client.post("/scoring/rules/new/", RULE | field("g0r0", "lead.country", "in", "DE\nAT") | {"do": "show"})
    assert re.search(r'<textarea[^>]*name="g0r0-value"', lines.content.decode())
    none = client.post("/scoring/rules/new/", RULE | field("g0r0", "lead.country", "exists") | {"do": "show"})
    assert 'name="g0r0-value"' not in none.content.decode()


def test_a_gate_asks_for_stages_by_their_names(client, marketer):
    row = field("g0r0", "lead.stage", "in", "mql") | {"do": "show"}

    page = client.post("/scoring/gates/new/", {"name": "G", "to": "sql", "g0": "all"} | row).content.decode()

    assert '<option value="mql" selected>Marketing qualified</option>' in page
    assert "multiple" in re.search(r'<select[^>]*name="g0r0-value"[^>]*>', page)[0]


def test_what_is_offered_is_known_or_seen_with_examples_masked(client, marketer):
    make_lead(name="Ada Lovelace", email="ada@acme.example", title="CTO", phone="+49 30 1234567", company=make_company(name="Acme"))
    SeenProperty.objects.create(type="VIEWED_PRICING", path="event.plan", kind="text", examples=["team", "pro"], last_at=timezone.now())
    SeenProperty.objects.create(type="OTHER", path="event.secret_plan", kind="text", examples=[], last_at=timezone.now())

    page = client.post("/scoring/rules/new/", RULE | {"g0r0-what": "", "do": "show"}).content.decode()

    assert "plan (team, pro)" in page
    assert "email (a***@acme.example)" in page
    assert "title (CTO)" in page
    assert "Ada" not in page.split('id="part-form"')[1]
    assert "1234567" not in page
    assert "secret_plan" not in page
    assert "lead.stage" not in page


# --- what is deeper stays as text


DEEP = [{"any": [{"all": [{"score": {"at_least": 1}}, {"fit": {"at_least": 2}}]}, {"event": "DEMO_REQUESTED"}]}]


def test_deeper_conditions_are_text_and_come_back_as_they_were(client, marketer):
    gate = make_gate(conditions=DEEP, match="all")

    page = client.get("/scoring/gates/hot/").content.decode()
    client.post("/scoring/gates/hot/", form_of(client, "/scoring/gates/hot/"))

    gate.refresh_from_db()
    assert 'name="conditions-text"' in page
    assert "(score is at least 1 and fit is at least 2) or Demo requested" in page
    assert (gate.conditions, gate.match, gate.edited_by) == (DEEP, "all", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {score: {at_least: 80}", "Line 1: not YAML"),
        ("- {score: {at_least: 80}}\n- {scroe: {at_least: 5}}", "Line 2: 'scroe' is no condition; did you mean score"),
        ("CTO", "Write a list of conditions"),
        ("score: {at_least: 80}", "Write a list of conditions"),
        ("- &a {score: {at_least: 80}}", "anchor &amp;a is not supported"),
    ],
)
def test_text_that_cannot_be_read_says_where_and_why(client, marketer, text, said):
    gate = make_gate(conditions=DEEP, match="all")

    answer = client.post(
        "/scoring/gates/hot/", {"name": "Hot", "key": "hot", "to": "sql", "from_stages": stage_pks("mql"), "conditions-text": text}
    )

    gate.refresh_from_db()
    assert answer.status_code == 422
    assert said in " ".join(answer.content.decode().split()).replace("&#x27;", "'")
    assert text.split("\n")[0].replace("&", "&amp;") in answer.content.decode()
    assert gate.conditions == DEEP


def test_text_and_groups_turn_into_each_other(client, marketer):
    rows = {"name": "Hot", "to": "sql", "from_stages": stage_pks("mql")}

    text = client.post(
        "/scoring/gates/new/", rows | {"g0": "any", "g0r0-what": "score", "g0r0-number": "80", "do": "text"}
    ).content.decode()
    back = client.post("/scoring/gates/new/", rows | {"conditions-text": "- score: {at_least: 80}", "match": "any", "do": "rows"})
    stays = client.post("/scoring/gates/new/", rows | {"conditions-text": "- not: {not: {event: X}}", "match": "all", "do": "rows"})
    wrong = client.post("/scoring/gates/new/", rows | {"g0": "any", "g0r0-what": "score", "g0r0-number": "", "do": "text"})

    assert "- score:" in text
    assert '<option value="any" selected>' in text
    assert '<option value="any" selected>Any of</option>' in back.content.decode()
    assert "deeper than groups can show" in words(stays)
    assert "Write a whole number" in words(wrong)


ODD = st.sampled_from(
    ["", "x", "\x00", "🙂", "1e999", "-1", "²", "99999999999999999999", "any", "event", "other", "lead.title", "between", "in", "d"]
)
NAMES = [
    "g0",
    "g1",
    "name",
    "key",
    "event",
    "points",
    "to",
    "do",
    "match",
    "conditions-text",
    "from_stages",
    "expires_after_0",
    "limit_days",
]
NAMES += [f"g{g}r{r}-{name}" for g in (0, 1) for r in (0, 1) for name in ("what", "shown", *INPUTS)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["rules", "fit", "gates", "derive", "exclude", "limits", "idle"]), st.dictionaries(st.sampled_from(NAMES), ODD))
@example("rules", {"name": "", "g0": "", "g0r0-what": "", "g0r0-kind": "x"})
def test_whatever_is_posted_the_form_answers(client, marketer, part, data):
    key = "edit" if part in ("limits", "exclude") else "new"

    for headers in ({}, {"HX-Request": "true", "HX-Target": "builder"}, {"HX-Request": "true", "HX-Target": "builder-words"}):
        assert client.post(f"/scoring/{part}/{key}/", data, headers=headers).status_code in (200, 302, 422)


# --- sentence and number


def test_the_sentence_and_the_number_of_leads(client, marketer):
    for stage, points in [("mql", 10), ("mql", 80), ("mql", 95), ("cold", 90)]:
        lead = make_lead(stage_id=stage, engagement=points)
        FoldState.objects.create(lead=lead, state=State(stage, engagement=points).to_json())
    gate = GATE | {"from_stages": stage_pks("mql"), "do": "show"}

    text = words(client.post("/scoring/gates/new/", gate))

    assert "Marketing qualified → Sales qualified when score is at least 80" in text
    assert "2 of 3 leads match now." in text


def test_htmx_gets_the_builder_or_only_the_words(client, marketer):
    htmx = {"HX-Request": "true"}

    builder = client.post("/scoring/rules/new/", RULE, headers=htmx | {"HX-Target": "builder"}).content.decode()
    said = client.post("/scoring/rules/new/", RULE, headers=htmx | {"HX-Target": "builder-words"}).content.decode()

    assert builder.lstrip().startswith('<fieldset class="builder"')
    assert 'id="type-note" hx-swap-oob="true"' in builder
    assert said.lstrip().startswith('<p class="sentence">')
    assert "+10 points" in said
    assert not ScoringRule.objects.exists()


def test_the_cost_of_a_form_does_not_grow_with_what_was_seen(client, marketer):
    make_rule()
    make_event(lead=make_lead(), type="VIEWED_PRICING")

    def count():
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/scoring/rules/viewed-pricing/").status_code == 200
        return len(queries)

    count()
    few = count()
    for n in range(50):
        SeenProperty.objects.create(type="VIEWED_PRICING", path=f"event.p{n}", kind="text", examples=["x"], last_at=timezone.now())
        make_lead(company=make_company())
    make_event(lead=make_lead(), type="VIEWED_PRICING")

    assert count() == few <= 30
