"""CSV files on their way out: the filtered leads, streamed, and no cell a spreadsheet could run."""

import csv
import io
import re

import pytest
from django.test import Client

from leads.csv_export import HEADER, csv_safe, write_rows
from leads.models import LeadSearch, Source
from tests.factories import make_company, make_lead, make_rep

pytestmark = pytest.mark.django_db

DANGEROUS = re.compile(r"^\s*[=+\-@\t\r\n\x00＝＋－＠]")
EVIL = [
    '=HYPERLINK("http://x","y")',
    "+1",
    "-5",
    "@x",
    "\t=1",
    "\r=1",
    "\n=1",
    "\x00=1",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "  =1",
    "\u00a0=1",
    "\ufeff=1",
]
HARMLESS = ["Ada", "", "a=b", "O'Neil", "49 30 12", "x-y", "été"]


def read(answer):
    return list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("text", EVIL)
def test_text_that_could_begin_a_formula_gets_an_apostrophe(text):
    safe = csv_safe(text)

    assert safe == "'" + text.replace("\x00", "")
    assert not DANGEROUS.match(safe)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays_as_it_is(text):
    assert csv_safe(text) == text


def test_numbers_stay_numbers_and_nothing_is_an_empty_cell():
    assert [csv_safe(value) for value in (-5, 12, 1.5, None, True)] == ["-5", "12", "1.5", "", "True"]


def test_headers_are_cells_too():
    (line,) = write_rows([["=cmd", "name"]])

    assert line == "\ufeff'=cmd,name\r\n"


def test_no_cell_of_an_export_can_be_run(client, rep):
    for n, text in enumerate(EVIL):
        text = text.replace("\x00", "")
        company = make_company(name=f"{text} {n}")
        make_lead(name=text, phone=text, title=text, country=text, company=company, engagement=-15, first_source=Source.built_in())
    evil = make_rep(username="@evil", first_name="=1+1")
    make_lead(name="Owned", owner=evil)

    rows = read(client.get("/leads/export.csv"))

    assert rows[0] == HEADER
    assert len(rows) == len(EVIL) + 2
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if DANGEROUS.match(cell) and not re.fullmatch(r"-\d+", cell)]
    assert {row[HEADER.index("Score")] for row in rows[1:]} == {"-15", "0"}


def test_the_filtered_leads_are_exported(client, rep):
    mine = make_lead(name="Ada", owner=rep, stage_id="mql")
    make_lead(name="Bob")
    make_lead(name="", email="")
    LeadSearch.objects.create(lead=mine, text="ada")

    def names(query):
        return [row[0] for row in read(client.get(f"/leads/export.csv?{query}"))[1:]]

    assert names("") == ["Ada", "Bob"]
    assert names("owner=me") == ["Ada"]
    assert names("stage=mql&q=ada") == ["Ada"]
    assert names("kind=all") == ["Ada", "Bob", ""]


def test_the_chosen_leads_are_exported(client, rep):
    one, _ = make_lead(name="Ada"), make_lead(name="Bob")

    rows = read(client.post("/leads/export.csv", {"lead": f"{one.uid}.0"}))
    nobody = client.post("/leads/export.csv", {})

    assert [row[0] for row in rows[1:]] == ["Ada"]
    assert nobody.status_code == 302


def test_an_export_is_streamed_as_a_file_and_costs_no_query_for_each_lead(client, rep, django_assert_max_num_queries):
    for _ in range(60):
        make_lead(company=make_company(), owner=rep)

    with django_assert_max_num_queries(6):
        answer = client.get("/leads/export.csv")
        rows = read(answer)

    assert answer.streaming
    assert len(rows) == 61
    assert answer["Content-Disposition"].startswith('attachment; filename="leads ')
    assert answer["Cache-Control"] == "no-store"


def test_only_colleagues_take_leads_away():
    assert Client().get("/leads/export.csv").status_code == 302
