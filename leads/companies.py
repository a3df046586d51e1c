"""Which company a person works for: from what the product says, or from the business part of the mail domain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from django.db.models import Q
from django.db.models.functions import Lower
from tldextract import TLDExtract

from leads.models import Company
from leads.recording import Arrival

# Addresses here belong to people, not to firms. Kept by hand: the providers people really sign up with.
FREE_MAIL = frozenset(
    """aol.com att.net bluewin.ch btinternet.com comcast.net duck.com email.cz fastmail.com fastmail.fm free.fr freenet.de
    gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com hey.com hotmail.co.uk hotmail.com hotmail.de hotmail.fr
    hotmail.it icloud.com laposte.net libero.it live.co.uk live.com live.de live.nl mac.com mail.com mail.de mail.ru
    mailbox.org me.com msn.com naver.com o2.pl orange.fr outlook.com outlook.de outlook.fr pm.me posteo.de proton.me
    protonmail.ch protonmail.com qq.com rediffmail.com rocketmail.com sbcglobal.net seznam.cz sfr.fr sina.com sky.com
    t-online.de tuta.com tutanota.com tutanota.de verizon.net wanadoo.fr web.de wp.pl ya.ru yahoo.co.in yahoo.co.jp
    yahoo.co.uk yahoo.com yahoo.de yahoo.es yahoo.fr yahoo.it yandex.com yandex.ru ymail.com zoho.com 126.com 163.com""".split()
)
split_domain = TLDExtract(suffix_list_urls=(), cache_dir=None)  # the list that comes with the package: no network


@cache
def business_domain(host: str) -> str:
    """The registered domain of a mail host or web address: eu.acme.co.uk → acme.co.uk; "" for free mail and made-up hosts."""
    domain = str(split_domain(host).top_domain_under_public_suffix).lower()
    if not domain and "." in host:  # reserved names such as acme.example have no public suffix
        domain = ".".join(host.lower().strip(".").split(".")[-2:])
    return "" if domain in FREE_MAIL else domain


@dataclass(slots=True)
class Description:
    """What one message says about the company of its person."""

    external_id: str | None
    domain: str | None
    name: str
    traits: dict[str, Any]
    explicit: bool

    @property
    def says_something(self) -> bool:
        """Whether a company can be found or made from it."""
        return bool(self.external_id or self.domain or self.name)


def describe(arrival: Arrival) -> Description:
    """Read `traits.company` (a mapping or a name) and the mail address of a message."""
    said = arrival.incoming.traits.get("company")
    said = {"name": said} if isinstance(said, str) else said if isinstance(said, dict) else {}
    host = text(said.get("domain")) or text(said.get("website")) or (arrival.email or "").rpartition("@")[2]
    return Description(
        external_id=text(said.get("id")) or None,
        domain=(business_domain(host)[:200] or None) if host else None,
        name=text(said.get("name")),
        traits={key: value for key, value in said.items() if key not in {"id", "name", "domain"} and value is not None},
        explicit=bool(said),
    )


def text(value: object) -> str:
    """A trait as a short text; numbers are fine as ids, anything else is nothing."""
    return str(value).strip()[:200] if isinstance(value, str | int) and not isinstance(value, bool) else ""


class CompanyKeys(NamedTuple):
    """What tells a company from others."""

    external_id: str | None
    domain: str | None
    name: str


def said_about(keys: CompanyKeys, traits: Mapping[str, Any]) -> dict[str, Any]:
    """What the traits of one of its people say about the company with these keys; nothing where they name another one.

    The id decides, then the domain; a name only where the company has neither, for names change.
    """
    said = traits.get("company")
    if not isinstance(said, dict):
        return {}
    external_id, host = text(said.get("id")), text(said.get("domain")) or text(said.get("website"))
    if external_id and keys.external_id:
        return said if external_id == keys.external_id else {}
    if keys.domain and (domain := business_domain(host)[:200] if host else ""):
        return said if domain == keys.domain else {}
    name = text(said.get("name"))
    is_other = bool(name) and not (keys.external_id or keys.domain) and name.lower() != keys.name.lower()
    return {} if is_other else said


def assign_companies(arrivals: Sequence[Arrival]) -> None:
    """Set `lead.company` on the leads of these arrivals (not saved), finding or making companies in a fixed number of statements.

    What a message says explicitly wins over the mail domain, the later message over the earlier one.
    """
    telling = [arrival for arrival in arrivals if arrival.email or "company" in arrival.incoming.traits]
    wanted = [(arrival, description) for arrival in telling if (description := describe(arrival)).says_something]
    if not wanted:
        return
    shelf = Shelf([description for _, description in wanted])
    shelf.create_missing([description for _, description in wanted])
    for arrival, description in wanted:
        company = shelf.find(description)
        if company and (description.explicit or arrival.lead.company_id is None):
            arrival.lead.company = company
    shelf.save_changes([description for _, description in wanted if description.explicit])


class Shelf:
    """The companies a group talks about, by id, by domain and by name."""

    def __init__(self, descriptions: list[Description]) -> None:
        self.by_id: dict[str, Company] = {}
        self.by_domain: dict[str, Company] = {}
        self.by_name: dict[str, Company] = {}
        self.load(descriptions)

    def load(self, descriptions: list[Description]) -> None:
        """Fetch what exists."""
        matches = (
            Q(external_id__in={d.external_id for d in descriptions if d.external_id})
            | Q(domain__in={d.domain for d in descriptions if d.domain})
            | Q(lower_name__in={d.name.lower() for d in descriptions if d.name})
        )
        for company in Company.objects.annotate(lower_name=Lower("name")).filter(matches).order_by("-pk"):
            self.add(company)

    def add(self, company: Company) -> None:
        """Make a company findable."""
        if company.external_id:
            self.by_id[company.external_id] = company
        if company.domain:
            self.by_domain[company.domain] = company
        self.by_name[company.name.lower()] = company

    def find(self, description: Description) -> Company | None:
        """The company described: the id decides, then the domain, then the name."""
        if description.external_id and description.external_id in self.by_id:
            return self.by_id[description.external_id]
        if description.domain and (company := self.by_domain.get(description.domain)):
            return company if company.external_id in {None, description.external_id} or not description.external_id else None
        if description.external_id or description.domain:
            return None
        return self.by_name.get(description.name.lower())

    def create_missing(self, descriptions: list[Description]) -> None:
        """Insert companies nobody has heard of; another worker may be inserting the same ones."""
        missing: dict[tuple[str | None, str | None, str], Company] = {}
        for description in descriptions:
            if self.find(description) is None:
                domain = None if description.domain in self.by_domain else description.domain
                name = description.name or domain or description.external_id or ""
                company = Company(external_id=description.external_id, domain=domain, name=name)
                missing[company.external_id, company.domain, name.lower()] = company
                self.add(company)
        if missing:
            Company.objects.bulk_create(missing.values(), ignore_conflicts=True)
            for index in (self.by_id, self.by_domain, self.by_name):
                index.clear()
            self.load(descriptions)

    def save_changes(self, descriptions: list[Description]) -> None:
        """Write names, ids and traits that messages told about companies."""
        changed: dict[int, Company] = {}
        for description in descriptions:
            company = self.find(description)
            if company is None:
                continue
            before = (company.name, company.external_id, dict(company.traits))
            company.name = description.name or company.name
            company.external_id = company.external_id or description.external_id
            company.traits = company.traits | description.traits
            if (company.name, company.external_id, company.traits) != before:
                changed[company.pk] = company
        Company.objects.bulk_update(changed.values(), ["name", "external_id", "traits"])
