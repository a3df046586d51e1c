"""CSV files on their way in: what is refused and why, what a row becomes, and that a kill or a second try changes nothing."""

import csv
import html
import io
import time
import uuid
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from crm import sweep
from leads import csv_import as importing
from leads import intake
from leads.csv_reading import MAX_BYTES, Unreadable, data_rows, open_file
from leads.models import Company, Consent, ContactPoint, CsvImport, Delivery, Event, Lead, Notification, Topic, User
from leads.privacy import forget
from leads.tasks import record_imports
from tests.factories import make_consent, make_contact_point, make_lead, make_rep, make_version
from tests.test_pages import count_queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def marketer():
    user = User.objects.create_user("mia", is_staff=True)
    user.groups.add(*[user.groups.model.objects.get(name="Marketing")])
    return user


def send(client, data, *, name="people.csv", encoding=""):
    data = data.encode() if isinstance(data, str) else data
    return client.post("/leads/import/", {"file": SimpleUploadedFile(name, data), "encoding": encoding})


def upload(client, data, **kwargs):
    answer = send(client, data, **kwargs)
    assert answer.status_code == 302, problem_of(answer)
    return CsvImport.objects.latest("pk")


def problem_of(answer):
    form = answer.context["form"] if answer.context else None
    return html.unescape(form.errors.as_text()) if form else answer.content[:300]


def mapping_of(csv_import, **changes):
    """The form as the page shows it, with changes; columns by number."""
    data = {f"field-{n}": column["field"] for n, column in enumerate(csv_import.mapping["columns"])}
    return data | changes


def start(client, csv_import, **changes):
    return client.post(f"/leads/import/{csv_import.uid}/", mapping_of(csv_import, action="start", **changes))


def run(client, data, *, name="people.csv", encoding="", **changes):
    """Upload, map, start, and let the worker work."""
    csv_import = upload(client, data, name=name, encoding=encoding)
    answer = start(client, csv_import, **changes)
    assert answer.status_code == 302, problem_of(answer)
    record_imports()
    csv_import.refresh_from_db()
    return csv_import


def errors(csv_import):
    return {line["row"]: line["message"] for line in csv_import.errors}


# --- the file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b"  \n\n", "empty"),
        (b"email,name\n", "no rows below"),
        (b"email,name\n\n ,\n", "no rows below"),
        (b"ada@example.com,Ada\nbob@example.com,Bob\n", "already a person"),
        (b"email,Email \nada@example.com,x\n", "twice"),
        (b",,\nada@example.com,x,y\n", "can't be read as column names"),
        (b'"email,name\nada@example.com,Ada\n', "can't be read as column names"),
        ((",".join(f"c{n}" for n in range(5000)) + "\nx\n").encode(), "5,000 columns"),
        (b"PK\x03\x04\x14\x00rest of a workbook", "Excel or zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel"),
        (b"%PDF-1.7", "PDF"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "HTML"),
        ("email\nada@example.com".encode("utf-32"), "UTF-32"),
        ("email,name\nada@example.com,Ada\n".encode("utf-16-le"), "UTF-16"),
        (b"email,name\nada@example.com,\x81\x8d\n", "unknown encoding"),
    ],
)
def test_what_is_no_csv_is_refused_in_words_that_name_the_line_or_the_kind(client, rep, data, told):
    answer = send(client, data)

    assert answer.status_code == 422
    assert told in problem_of(answer)
    assert told in html.unescape(answer.content.decode())
    assert not CsvImport.objects.exists()


def test_a_file_that_is_too_large_is_refused_before_it_is_read(client, rep):
    answer = send(client, b"email\n" + b"x" * MAX_BYTES)

    assert answer.status_code == 422
    assert "10 MB" in problem_of(answer)


def test_too_many_rows_are_refused():
    with pytest.raises(Unreadable, match="50,000 rows"):
        open_file(b"email\n" + b"a@example.com\n" * 50_001)


@pytest.mark.parametrize(
    ("data", "encoding", "name"),
    [
        ("email,name\nada@example.com,Zoë Müller\n".encode("utf-8-sig"), "utf-8", "Zoë Müller"),
        ("email,name\nada@example.com,Zoë Müller\n".encode("utf-16"), "utf-16", "Zoë Müller"),
        ("email,name\nada@example.com,Łukasz\n".encode(), "utf-8", "Łukasz"),
        (b"email,name\rada@example.com,Lone CR\r", "utf-8", "Lone CR"),
        (b"email,name\r\nada@example.com,Mixed\nbob@example.com,Bob\r\n", "utf-8", "Mixed"),
        (b'email,name\nada@example.com,"Two\nlines"\n', "utf-8", "Two\nlines"),
        (b"email;name\nada@example.com;Semi\n", "utf-8", "Semi"),
        (b"email\tname\nada@example.com\tTab\n", "utf-8", "Tab"),
        (b"email|name\nada@example.com|Bar\n", "utf-8", "Bar"),
    ],
)
def test_encodings_line_ends_and_delimiters_are_found(client, rep, data, encoding, name):
    csv_import = run(client, data)

    assert csv_import.mapping["encoding"] == encoding
    assert Lead.objects.get(email="ada@example.com").name == name
    assert csv_import.state == "done"


def test_guessed_letters_are_looked_at_before_anything_is_imported(client, rep):
    csv_import = upload(client, "email,name\nada@example.com,Müller\n".encode("cp1252"))

    page = client.get(f"/leads/import/{csv_import.uid}/").content.decode()
    refused = start(client, csv_import)
    taken = start(client, csv_import, reads_right="on")
    record_imports()

    assert "Windows-1252" in page and "Müller" in page
    assert refused.status_code == 422
    assert taken.status_code == 302
    assert Lead.objects.get().name == "Müller"


def test_a_chosen_encoding_is_used_or_refused_by_name(client, rep):
    polish = "email,name\nada@example.com,Łódź\n".encode("cp1250")

    right = run(client, polish, encoding="cp1250")
    wrong = send(client, polish, encoding="utf-8")

    assert Lead.objects.get().name == "Łódź"
    assert right.mapping["encoding"] == "cp1250"
    assert "is not UTF-8" in problem_of(wrong)


def test_another_delimiter_reads_the_file_anew(client, rep):
    csv_import = upload(client, "email,plan;seats\nada@example.com,1;2\n")

    client.post(f"/leads/import/{csv_import.uid}/delimiter/", {"delimiter": ";"})
    csv_import.refresh_from_db()
    wrong = client.post(f"/leads/import/{csv_import.uid}/delimiter/", {"delimiter": "x"})

    assert csv_import.mapping["delimiter"] == ";"
    assert len(csv_import.mapping["columns"]) == 2
    assert wrong.status_code == 302


def test_the_name_of_a_file_is_only_shown(client, rep):
    csv_import = upload(client, "email\nada@example.com\n", name="../../etc/<b>x.csv")

    page = client.get(f"/leads/import/{csv_import.uid}/").content.decode()

    assert "/" not in csv_import.name
    assert "<b>x" not in page


# --- rows ----------------------------------------------------------------------------------------


def test_rows_that_can_t_be_read_are_left_out_and_their_neighbors_are_not(client, rep):
    csv_import = run(
        client,
        b"email,name,phone\n"
        b"ada@example.com,Ada,1\n"
        b"nobody,No address,2\n"
        b"bob@example.com,B\x00b,3\n"
        b"cyd@example.com,Cyd\n"
        b"dan@example.com,Dan,4,5\n"
        b'eve@example.com,"Eve" Eden,6\n'
        b",Nameless,7\n"
        b"\n"
        b"fay@example.com,Fay,8,\n",
    )

    assert set(Lead.objects.values_list("email", flat=True)) == {"ada@example.com", "fay@example.com"}
    told = errors(csv_import)
    assert set(told) == {3, 4, 5, 6, 7, 8}
    assert "not an address" in told[3]
    assert "no text" in told[4]
    assert "2 cells where the first row has 3" in told[5]
    assert "quotes" in told[7]
    assert "Nobody is named" in told[8]
    assert (csv_import.taken, csv_import.left_out) == (2, 6)


def test_a_quote_that_is_never_closed_ends_the_file_there_in_bounded_time(client, rep):
    began = time.monotonic()
    data = b'email,name\nada@example.com,Ada\nbob@example.com,"Bob\n' + b"x@example.com,y\n" * 500_000

    csv_import = run(client, data)

    assert time.monotonic() - began < 10
    assert Lead.objects.get().email == "ada@example.com"
    assert "never closed" in errors(csv_import)[3] or "not closed" in errors(csv_import)[3]
    assert len(csv_import.errors) == 1


def test_a_cell_longer_than_128_kb_is_a_row_error():
    rows = list(data_rows("email,name\nada@example.com," + "x" * 200_000 + "\n", ","))

    assert len(rows) == 1
    assert "128 KB" in rows[0].problem


def test_the_same_person_twice_in_one_file_is_taken_once(client, rep):
    csv_import = run(
        client,
        "email,user id,name\nada@example.com,,First\n ADA@Example.com ,,Second\nada+news@example.com,,Plus\n,u-1,One\n,u-1,Two\n",
    )

    assert set(Lead.objects.values_list("name", flat=True)) == {"First", "Plus", "One"}
    assert set(errors(csv_import)) == {3, 6}
    assert all(message.startswith("duplicate_in_file") for message in errors(csv_import).values())


def test_an_import_adds_to_who_is_known_and_empty_cells_change_nothing(client, rep):
    run(client, "email,name,job title,company\nada@example.com,Ada,CTO,Acme Inc\n")
    lead = Lead.objects.get()

    run(client, "email,name,job title,phone\nADA@example.com,,Founder,+49 30 1234\n", name="more.csv")

    lead.refresh_from_db()
    assert Lead.objects.count() == 1
    assert (lead.name, lead.title, lead.phone, lead.company.name) == ("Ada", "Founder", "+49 30 1234", "Acme Inc")


def test_every_field_arrives(client, rep):
    run(
        client,
        "email,user_id,first name,last name,phone,job title,company,website,country,time zone,Plan,Seats\n"
        "ada@example.com,u-7,Ada,Lovelace,123,CTO,Engines,https://www.engines.com,UK,Europe/London,pro,12\n",
        **{"field-9": "timezone", "field-10": "trait", "field-11": "number", "trait-11": "seats"},
    )

    lead = Lead.objects.get()
    assert (lead.name, lead.title, lead.country, lead.timezone) == ("Ada Lovelace", "CTO", "UK", "Europe/London")
    assert (lead.company.name, lead.company.domain) == ("Engines", "engines.com")
    assert (lead.traits["Plan"], lead.traits["seats"]) == ("pro", 12)
    assert set(lead.identities.values_list("kind", "value")) == {("email", "ada@example.com"), ("user_id", "u-7")}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("ada@example.com,Mars/Base,1", "time zone"),
        ("ada@example.com,,many", "not a number"),
        ("ada@localhost,,1", "not an address"),
    ],
)
def test_cells_that_don_t_fit_their_field_are_told(client, rep, row, told):
    csv_import = run(client, f"email,tz,seats\n{row}\n", **{"field-1": "timezone", "field-2": "number"})

    assert told in errors(csv_import)[2]
    assert not Lead.objects.exists()


def test_ids_that_name_nobody_and_texts_that_are_too_long_are_told(client, rep):
    csv_import = run(client, f"userid,name\nnull,Ada\nu-1,{'x' * 201}\n")

    assert "names nobody" in errors(csv_import)[2]
    assert "200 characters" in errors(csv_import)[3]


@pytest.mark.parametrize("name", ["score", "Stage", "state", "id", "engagement", "owner", "consent"])
def test_what_follows_from_facts_can_t_be_set_by_a_file(client, rep, name):
    csv_import = upload(client, f"email,{name}\nada@example.com,100\n")

    page = client.get(f"/leads/import/{csv_import.uid}/")
    answer = start(client, csv_import, **{"field-1": "trait"})

    assert csv_import.mapping["columns"][1]["field"] == ""
    assert page.status_code == 200
    assert answer.status_code == 422
    assert b"be set by a file" in answer.content


def test_formulas_are_stored_as_they_are(client, rep):
    names = ['=HYPERLINK("x")', "+1", "-5", "@x", "＝1"]
    lines = "".join(f"p{n}@example.com,{csv_cell(name)}\n" for n, name in enumerate(names))

    run(client, "email,name\n" + lines)

    assert set(Lead.objects.values_list("name", flat=True)) == set(names)


def csv_cell(text):
    out = io.StringIO()
    csv.writer(out).writerow([text])
    return out.getvalue().strip()


# --- mapping -------------------------------------------------------------------------------------


def test_columns_are_guessed_and_unknown_ones_are_left_out(client, rep):
    csv_import = upload(client, "E-Mail;Full Name;Firma;Shoe size\nada@example.com;Ada;Acme;39\n")

    assert [column["field"] for column in csv_import.mapping["columns"]] == ["email", "name", "company", ""]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"field-0": ""}, "tells people apart"),
        ({"field-1": "email"}, "Two columns are Email"),
        ({"field-1": "nonsense"}, "nonsense"),
        ({"field-1": "consentDate"}, "needs a column that says yes or no"),
    ],
)
def test_a_mapping_that_can_t_work_is_refused(client, rep, changes, told):
    csv_import = upload(client, "email,other\nada@example.com,x\n")

    answer = start(client, csv_import, **changes)

    assert answer.status_code == 422
    assert told in problem_of(answer)
    assert not importing.CsvImport.objects.filter(state="running").exists()


def test_the_preview_says_what_would_happen_and_records_nothing(client, rep):
    make_lead(email="known@example.com")
    csv_import = upload(client, "email,name\nknown@example.com,K\nnew@example.com,N\nbroken,B\n")

    page = client.get(f"/leads/import/{csv_import.uid}/")

    seen = page.context["preview"]
    assert (seen.new, seen.known, len(seen.errors), seen.is_whole) == (1, 1, 1, True)
    assert b"new@example.com" in page.content
    assert Lead.objects.count() == 1
    assert not Delivery.objects.exists()


def test_the_preview_costs_the_same_for_few_and_many_rows(client, rep):
    few = upload(client, "email\n" + "".join(f"a{n}@example.com\n" for n in range(3)))
    many = upload(client, "email\n" + "".join(f"b{n}@example.com\n" for n in range(400)))
    client.get(f"/leads/import/{few.uid}/")

    assert count_queries(client, f"/leads/import/{many.uid}/") == count_queries(client, f"/leads/import/{few.uid}/")


def test_a_change_of_the_mapping_is_checked_by_htmx(client, rep):
    csv_import = upload(client, "contact,name\nada@example.com,Ada\n")

    answer = client.post(
        f"/leads/import/{csv_import.uid}/",
        mapping_of(csv_import, **{"field-0": "email", "action": "check"}),
        headers={"HX-Request": "true"},
    )

    assert answer.status_code == 200
    assert b"<html" not in answer.content
    assert b"Import 1 row" in answer.content


def test_the_button_counts_the_rows_that_will_be_imported(client, rep):
    csv_import = upload(client, "email\nada@example.com\nnobody\nnothing\n")

    page = client.get(f"/leads/import/{csv_import.uid}/").content.decode()

    assert ">Import 1 row<" in page


# --- owners and consent --------------------------------------------------------------------------


def test_only_those_who_may_hand_leads_out_map_an_owner(client, rep):
    csv_import = upload(client, "email,owner\nada@example.com,rita\n")

    answer = start(client, csv_import, **{"field-1": "owner"})

    assert answer.status_code == 422


def test_an_owner_is_a_rep_and_who_else_is_named_is_told_alike(client, rep, marketer):
    client.force_login(marketer)
    make_rep(username="gone", is_active=False)

    csv_import = run(
        client,
        "email,owner\nada@example.com,RITA\nbob@example.com,gone\ncyd@example.com,mia\ndan@example.com,whoever\neve@example.com,\n",
        **{"field-1": "owner"},
    )

    assert Lead.objects.get(email="ada@example.com").owner == rep
    assert Lead.objects.get(email="eve@example.com").owner is None
    told = errors(csv_import)
    assert set(told) == {3, 4, 5}
    assert len(set(told.values())) == 1


@pytest.fixture
def newsletter():
    return Topic.objects.get_or_create(key="newsletter", defaults={"name": "Best practices"})[0]


CONSENT = {"field-1": "consent", "topic": "newsletter", "source": "Fair in Berlin, card at the stand", "at": "2026-01-31"}


@pytest.mark.parametrize("left_out", ["topic", "source", "at"])
def test_consent_needs_topic_source_and_day(client, rep, newsletter, left_out):
    csv_import = upload(client, "email,ok\nada@example.com,yes\n")

    answer = start(client, csv_import, **(CONSENT | {left_out: ""}))

    assert answer.status_code == 422
    assert left_out in answer.context["form"].errors


def test_consent_is_recorded_with_its_day_and_its_proof(client, rep, newsletter):
    csv_import = run(client, "email,ok\nada@example.com,yes\nbob@example.com,No\ncyd@example.com,\ndan@example.com,maybe\n", **CONSENT)

    rows = {row.status: row for row in Consent.objects.select_related("topic")}
    assert set(rows) == {"granted", "denied"}
    assert (rows["granted"].topic, rows["granted"].at.date().isoformat()) == (newsletter, "2026-01-31")
    assert rows["granted"].proof == "Fair in Berlin, card at the stand (people.csv, row 2)"
    assert "yes or no" in errors(csv_import)[5]
    assert Lead.objects.count() == 3


def test_a_day_of_its_own_counts_and_one_to_come_does_not(client, rep, newsletter):
    tomorrow = (timezone.now() + timedelta(days=2)).date().isoformat()

    csv_import = run(
        client,
        f"email,ok,day\nada@example.com,yes,2025-05-04\nbob@example.com,yes,\ncyd@example.com,yes,{tomorrow}\ndan@example.com,yes,4.5.2025\n",
        **(CONSENT | {"field-2": "consentDate", "at": ""}),
    )

    assert Consent.objects.get().at.date().isoformat() == "2025-05-04"
    assert set(errors(csv_import)) == {3, 4, 5}


def test_who_said_no_later_and_whose_address_is_suppressed_stays_so(client, rep, newsletter):
    make_consent(email="ada@example.com", status="denied")
    make_contact_point("bob@example.com", suppressed="hard_bounce", suppressed_at=timezone.now())

    run(client, "email,ok\nada@example.com,yes\nbob@example.com,yes\n", **CONSENT)

    newest = Consent.objects.filter(contact_point=make_contact_point("ada@example.com")).order_by("-at", "-id").first()
    assert newest.status == "denied"
    assert ContactPoint.objects.get(pk=make_contact_point("bob@example.com").pk).suppressed == "hard_bounce"
    assert Lead.objects.filter(email="bob@example.com").exists()


def test_somebody_who_was_forgotten_does_not_come_back_by_file(client, rep):
    make_contact_point("ada@example.com", suppressed="erased", suppressed_at=timezone.now())
    csv_import = upload(client, "email\nada@example.com\nbob@example.com\n")

    told_before = client.get(f"/leads/import/{csv_import.uid}/").context["preview"].errors
    start(client, csv_import)
    record_imports()
    csv_import.refresh_from_db()

    assert "forgotten" in told_before[0]["message"]
    assert "forgotten" in errors(csv_import)[2]
    assert list(Lead.objects.values_list("email", flat=True)) == ["bob@example.com"]


def test_forgetting_somebody_blanks_them_in_files_that_wait(client, rep):
    make_lead(email="ada@example.com")
    csv_import = upload(client, "email,name\nADA@example.com,Ada\nbob@example.com,Bob\n")

    forget("ada@example.com")
    csv_import.refresh_from_db()
    start(client, csv_import)
    record_imports()

    assert "ada@example.com" not in csv_import.text.lower()
    assert list(Lead.objects.values_list("email", flat=True)) == ["bob@example.com"]


# --- in the background ---------------------------------------------------------------------------


def many(count):
    return "email,name\n" + "".join(f"p{n}@example.com,Person {n}\n" for n in range(count))


def test_rows_are_deliveries_of_the_door_import_and_history(client, rep):
    make_version(
        scoring={"rules": []},
        gates=[{"key": "in", "from": ["cold"], "to": "sql", "match": "any", "conditions": [{"event": "IDENTIFIED"}]}],
    )

    csv_import = run(client, many(250))

    deliveries = Delivery.objects.all()
    assert [delivery.message_count for delivery in deliveries.order_by("pk")] == [100, 100, 50]
    assert {(d.door, d.historical, d.source.name, d.state) for d in deliveries} == {("import", True, "leadstate", "processed")}
    assert all(event.historical for event in Event.objects.all())
    assert Lead.objects.filter(stage="sql", owner=rep).count() == 250
    assert not Notification.objects.filter(channel="mail").exclude(dedupe_key__startswith="digest").exists()
    assert (csv_import.state, csv_import.text, csv_import.taken) == ("done", "", 250)
    assert intake.drain() == 0


class Killed(BaseException):
    """What a kill -9 looks like from inside: nothing catches it, nothing is written after it."""


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_an_import_that_is_killed_goes_on_where_it_stopped(client, rep, monkeypatch, chunk):
    csv_import = upload(client, many(250))
    start(client, csv_import)
    seen = []
    advance = importing.note_results

    def killed(*args):
        if len(seen) == chunk:
            raise Killed
        seen.append(1)
        advance(*args)

    monkeypatch.setattr(importing, "note_results", killed)
    with pytest.raises(Killed):
        record_imports()
    csv_import.refresh_from_db()
    half = Lead.objects.count()
    monkeypatch.setattr(importing, "note_results", advance)
    record_imports()
    still_leased = Lead.objects.count()
    CsvImport.objects.update(lease_until=Now() - timedelta(seconds=1))
    sweep.run_everything_due()
    csv_import.refresh_from_db()

    assert csv_import.state == "done"
    assert (half, still_leased, csv_import.taken, Lead.objects.count()) == (chunk * 100, chunk * 100, 250, 250)
    assert Event.objects.count() == 250


def test_the_same_file_twice_is_warned_of_and_changes_nothing(client, rep, newsletter):
    data = "email,ok,plan\nada@example.com,yes,pro\nbob@example.com,no,free\n"
    run(client, data, **CONSENT, **{"field-2": "trait"})
    before = (Event.objects.count(), Consent.objects.count(), Lead.objects.count())

    again = upload(client, data, name="other name.csv")
    page = client.get(f"/leads/import/{again.uid}/").content.decode()
    start(client, again, **CONSENT, **{"field-2": "trait"})
    record_imports()
    again.refresh_from_db()
    done = client.get(f"/leads/import/{again.uid}/").content.decode()

    assert "The same file was imported on" in page and "Rita Rep" in page
    assert (Event.objects.count(), Consent.objects.count(), Lead.objects.count()) == before
    assert (again.taken, again.known_before, again.errors) == (2, 2, [])
    assert "Nothing new" in done


def test_the_same_file_read_in_another_way_adds_what_is_new(client, rep):
    data = "email,plan\nada@example.com,pro\n"
    run(client, data)

    again = run(client, data, **{"field-1": "trait"})

    assert (again.errors, again.known_before) == ([], 0)
    assert Lead.objects.get().traits == {"plan": "pro"}


def test_two_workers_never_record_one_import_together(client, rep):
    csv_import = upload(client, many(10))
    start(client, csv_import)
    token, pks = CsvImport.objects.due(timezone.now()).claim(1)
    rows = list(importing.RowReader(csv_import, now=timezone.now()).rows())
    CsvImport.objects.update(claim_token=uuid.uuid4())

    csv_import.refresh_from_db()
    with pytest.raises(importing.ClaimLost):
        importing.record_chunk(csv_import, rows, token)

    assert not Lead.objects.exists()
    assert not Event.objects.exists()
    assert pks == [csv_import.pk]


def test_a_row_that_breaks_its_chunk_is_left_out_alone(client, rep, monkeypatch):
    csv_import = upload(client, many(5))
    start(client, csv_import)
    record = intake.record

    def breaks(deliveries, **kwargs):
        if b"p3@example.com" in bytes(deliveries[0].body):
            raise ValueError("a rule that fails")
        record(deliveries, **kwargs)

    monkeypatch.setattr(intake, "record", breaks)
    record_imports()
    csv_import.refresh_from_db()

    assert Lead.objects.count() == 4
    assert set(errors(csv_import)) == {5}
    assert (csv_import.state, csv_import.taken) == ("done", 4)


def test_an_import_whose_workers_all_died_waits_for_staff(client, rep):
    csv_import = upload(client, many(3))
    start(client, csv_import)
    CsvImport.objects.update(claim_count=5, claim_token=uuid.uuid4(), lease_until=Now() - timedelta(seconds=1))
    record_imports()

    page = client.get(f"/leads/import/{csv_import.uid}/").content.decode()
    client.post(f"/leads/import/{csv_import.uid}/go-on/")
    record_imports()

    assert "The import stopped after row" in page
    assert Lead.objects.count() == 3


def test_progress_refreshes_itself_until_it_is_done(client, rep):
    csv_import = upload(client, many(3))
    start(client, csv_import)

    running = client.get(f"/leads/import/{csv_import.uid}/", headers={"HX-Request": "true"}).content.decode()
    record_imports()
    done = client.get(f"/leads/import/{csv_import.uid}/", headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in running and 'hx-trigger="every 1s"' in running
    assert "hx-trigger" not in done and "Done: every row was recorded." in done


def test_the_rows_left_out_come_as_a_safe_csv_file(client, rep):
    csv_import = run(client, "email,=cmd\nbroken,Ada\nada@example.com,\x01\n", **{"field-1": "name"})

    answer = client.get(f"/leads/import/{csv_import.uid}/errors.csv")
    rows = list(csv.reader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))

    assert rows[0] == ["Row", "Column", "Problem"]
    assert [row[:2] for row in rows[1:]] == [["2", "email"], ["3", "'=cmd"]]
    assert "attachment" in answer["Content-Disposition"]


def test_a_file_nobody_imports_is_gone_after_a_day(client, rep):
    old = upload(client, "email\nada@example.com\n")
    CsvImport.objects.update(created_at=timezone.now() - timedelta(days=2))
    new = upload(client, "email\nbob@example.com\n")

    sweep.keep_house()

    assert list(CsvImport.objects.all()) == [new]
    assert old.pk != new.pk


def test_a_file_can_be_thrown_away_and_a_running_one_can_not(client, rep):
    csv_import = upload(client, "email\nada@example.com\n")
    running = upload(client, "email\nbob@example.com\n")
    start(client, running)

    client.post(f"/leads/import/{csv_import.uid}/discard/")
    answer = client.post(f"/leads/import/{running.uid}/discard/")

    assert list(CsvImport.objects.all()) == [running]
    assert answer.status_code == 404


def test_a_file_belongs_to_who_chose_it_until_it_is_imported(client, rep):
    csv_import = upload(client, "email\nada@example.com\n")
    colleague = Client()
    colleague.force_login(make_rep())
    stranger = Client()

    waits = colleague.get(f"/leads/import/{csv_import.uid}/")
    threw = colleague.post(f"/leads/import/{csv_import.uid}/discard/")
    told = colleague.get(f"/leads/import/{csv_import.uid}/errors.csv")
    start(client, csv_import)
    runs = colleague.get(f"/leads/import/{csv_import.uid}/")

    assert (waits.status_code, threw.status_code, told.status_code, runs.status_code) == (403, 404, 404, 200)
    assert b"ada@example.com" not in waits.content
    assert stranger.get("/leads/import/").status_code == 302
    assert Company.objects.count() == 0
