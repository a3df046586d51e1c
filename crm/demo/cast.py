"""Who plays in the demo: firms and people that could exist, at addresses that never will (.example)."""

import random
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Firm:
    """A company, as a product would describe it in traits."""

    name: str
    domain: str
    country: str
    timezone: str
    industry: str
    employees: int
    value: int
    currency: str = "EUR"

    @property
    def traits(self) -> dict[str, Any]:
        """What the product tells about it."""
        return {"name": self.name, "domain": self.domain, "industry": self.industry, "employees": self.employees}


@dataclass
class Person:
    """Somebody who uses the product or looks at its pages."""

    name: str
    title: str
    firm: Firm
    number: int
    seats: int
    phone: str = ""
    said_who: bool = field(default=False, compare=False)

    @property
    def email(self) -> str:
        """The address at the firm."""
        return f"{self.name.lower().replace(' ', '.').replace('ß', 'ss')}@{self.firm.domain}"

    @property
    def user_id(self) -> str:
        """The product's id of this account."""
        return f"usr_{self.number:04d}"

    @property
    def anonymous_id(self) -> str:
        """The browser's id before they log in."""
        return f"anon_{self.number:04d}"

    @property
    def traits(self) -> dict[str, Any]:
        """What they tell about themselves when they sign up."""
        said = {"name": self.name, "title": self.title, "country": self.firm.country, "timezone": self.firm.timezone, "seats": self.seats}
        return said | ({"phone": self.phone} if self.phone else {}) | {"company": self.firm.traits}


FIRMS = [
    Firm("Northbeam Logistics", "northbeam.example", "Germany", "Europe/Berlin", "Logistics", 420, 38_000),
    Firm("Kestrel Pay", "kestrelpay.example", "United Kingdom", "Europe/London", "Payments", 180, 54_000, "GBP"),
    Firm("Halden Robotics", "halden-robotics.example", "Norway", "Europe/Oslo", "Manufacturing", 95, 26_000),
    Firm("Meridian Health Systems", "meridianhealth.example", "United States", "America/New_York", "Health care", 2300, 96_000, "USD"),
    Firm("Cobalt Freight", "cobaltfreight.example", "Netherlands", "Europe/Amsterdam", "Logistics", 140, 21_000),
    Firm("Lumen Grid", "lumengrid.example", "Denmark", "Europe/Copenhagen", "Energy", 310, 47_000),
    Firm("Papaya Learning", "papaya-learning.example", "India", "Asia/Kolkata", "Education", 75, 9_000, "USD"),
    Firm("Orchard Analytics", "orchard-analytics.example", "United States", "America/Los_Angeles", "Software", 60, 18_000, "USD"),
    Firm("Vantage Insure", "vantage-insure.example", "Ireland", "Europe/Dublin", "Insurance", 900, 61_000),
    Firm("Saffron Foods", "saffronfoods.example", "France", "Europe/Paris", "Retail", 540, 24_000),
    Firm("Tideline Ocean Data", "tideline.example", "Portugal", "Europe/Lisbon", "Research", 28, 6_000),
    Firm("Bluepeak Hosting", "bluepeak.example", "Canada", "America/Toronto", "Hosting", 210, 33_000, "USD"),
    Firm("Quarry Software", "quarry-software.example", "Sweden", "Europe/Stockholm", "Software", 45, 15_000),
    Firm("Juniper Street Bank", "juniperstreet.example", "United States", "America/Chicago", "Banking", 1700, 120_000, "USD"),
    Firm("Elbe Mobility", "elbe-mobility.example", "Germany", "Europe/Berlin", "Mobility", 130, 19_000),
    Firm("Fjord Commerce", "fjordcommerce.example", "Norway", "Europe/Oslo", "E-commerce", 66, 12_000),
    Firm("Atlas Travel Tech", "atlastravel.example", "Spain", "Europe/Madrid", "Travel", 240, 28_000),
    Firm("Copperfield Media", "copperfield-media.example", "United Kingdom", "Europe/London", "Media", 88, 14_000, "GBP"),
    Firm("Sundial Scheduling", "sundial.example", "Australia", "Australia/Sydney", "Software", 34, 8_000, "USD"),
    Firm("Alpen Versicherung", "alpen-versicherung.example", "Austria", "Europe/Vienna", "Insurance", 1100, 72_000),
    Firm("Granite Peak Outdoor", "granitepeak.example", "United States", "America/Denver", "Retail", 52, 7_000, "USD"),
    Firm("Hanami Games", "hanami-games.example", "Japan", "Asia/Tokyo", "Games", 120, 31_000, "USD"),
    Firm("Polder Works", "polderworks.example", "Netherlands", "Europe/Amsterdam", "Construction", 75, 11_000),
    Firm("Zephyr Wind", "zephyr-wind.example", "Denmark", "Europe/Copenhagen", "Energy", 260, 41_000),
    Firm("Brightline Rail", "brightline-rail.example", "Belgium", "Europe/Brussels", "Mobility", 800, 58_000),
]
NAMES = (
    "Hannah Vogel,Oliver Grant,Ingrid Solheim,Marcus Reed,Sanne de Vries,Mikkel Holm,Ananya Iyer,Jordan Kim,Niamh Byrne,Camille Laurent,"
    "Rui Tavares,Chloe Tremblay,Elsa Lindqvist,Dana Whitfield,Jonas Krüger,Astrid Berg,Lucia Ferrer,Harriet Cole,Liam Nguyen,Felix Gruber,"
    "Tess Calloway,Haruka Mori,Bram Jansen,Freja Nygaard,Lotte Claes,Priya Raman,Tom Ashworth,Leonie Brandt,Carlos Medina,Aisha Rahman,"
    "Erik Dahl,Naomi Price,Pieter Bakker,Katrine Lund,Rahul Menon,Grace Okafor,Ciara Nolan,Antoine Mercier,Marta Sousa,Devin Clarke,"
    "Oskar Nilsson,Elena Petrova,Sebastian Wolf,Maja Hansen,Diego Navarro,Imogen Hart,Ruby Carter,Klara Steiner,Wyatt Brooks,Kenji Sato,"
    "Femke Visser,Søren Kjær,Mathieu Dupont,Julia Weiß,Amir Haddad,Beatrice Lowe,Victor Almeida,Signe Madsen,Theo Marchetti,Zoe Lambert,"
    "Paul Neumann,Yara Haddad,Nils Okonkwo,Ada Fournier"
).split(",")
TITLES = [
    *("CTO", "VP Engineering", "Head of Platform", "Engineering Manager", "Staff Engineer", "Senior Developer", "Developer"),
    *("Product Manager", "Head of Data", "DevOps Engineer", "Solutions Architect", "CEO & founder", "Operations Director", "Student"),
]


def cast_people(count: int, rng: random.Random) -> list[Person]:
    """Make `count` people: four firms have a whole buying group, the others one to three people."""
    seats = [firm for firm in FIRMS[:4] for _ in range(4)] + [firm for firm in FIRMS[4:] for _ in range(3)]
    firms = seats[:16] + rng.sample(seats[16:], count - 16)
    return [
        Person(
            name=NAMES[number],
            title=rng.choice(TITLES),
            firm=firm,
            number=number + 1,
            seats=rng.choice([3, 5, 8, 12, 25, 60]),
            phone=f"+1 555 01{number:02d}" if rng.random() < 0.4 else "",
        )
        for number, firm in enumerate(firms)
    ]
