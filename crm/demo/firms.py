"""The demo's 150 firms: they could exist, and their addresses (.example) never will."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """A country as the cast needs it: its clock, its money, and how people there are called (a key of cast.NAMES)."""

    country: str
    timezone: str
    currency: str
    names: str


@dataclass(frozen=True)
class Firm:
    """A company, as a product would describe it in traits."""

    name: str
    place: Place
    industry: str
    employees: int

    @property
    def domain(self) -> str:
        """Where its mail would go."""
        return f"{self.name.lower().replace(' & ', '-').replace(' ', '-')}.example"

    @property
    def value(self) -> int:
        """What a contract would be worth a year: larger firms pay more, banks and hospitals most."""
        price: float = 4_200 * (self.employees / 20) ** 0.55 * RICHER.get(self.industry, 1.0)
        return max(3_000, round(price / 500) * 500)

    @property
    def scans_mail(self) -> bool:
        """Whether its mail server follows every link before anybody reads the mail."""
        return self.industry in {"Banking", "Insurance"}

    @property
    def traits(self) -> dict[str, Any]:
        """What the product tells about it."""
        return {"name": self.name, "domain": self.domain, "industry": self.industry, "employees": self.employees}


RICHER = {"Banking": 1.7, "Insurance": 1.5, "Health care": 1.5, "Payments": 1.4, "Energy": 1.2, "Education": 0.6, "Research": 0.6}
PLACES = {
    "at": Place("Austria", "Europe/Vienna", "EUR", "german"),
    "au": Place("Australia", "Australia/Sydney", "USD", "english"),
    "be": Place("Belgium", "Europe/Brussels", "EUR", "dutch"),
    "br": Place("Brazil", "America/Sao_Paulo", "USD", "portuguese"),
    "ca": Place("Canada", "America/Toronto", "USD", "english"),
    "ch": Place("Switzerland", "Europe/Zurich", "EUR", "german"),
    "cz": Place("Czechia", "Europe/Prague", "EUR", "slavic"),
    "de": Place("Germany", "Europe/Berlin", "EUR", "german"),
    "dk": Place("Denmark", "Europe/Copenhagen", "EUR", "nordic"),
    "ee": Place("Estonia", "Europe/Tallinn", "EUR", "nordic"),
    "es": Place("Spain", "Europe/Madrid", "EUR", "spanish"),
    "fi": Place("Finland", "Europe/Helsinki", "EUR", "nordic"),
    "fr": Place("France", "Europe/Paris", "EUR", "french"),
    "gb": Place("United Kingdom", "Europe/London", "GBP", "english"),
    "ie": Place("Ireland", "Europe/Dublin", "EUR", "irish"),
    "in": Place("India", "Asia/Kolkata", "USD", "indian"),
    "it": Place("Italy", "Europe/Rome", "EUR", "italian"),
    "jp": Place("Japan", "Asia/Tokyo", "USD", "japanese"),
    "ke": Place("Kenya", "Africa/Nairobi", "USD", "african"),
    "kr": Place("South Korea", "Asia/Seoul", "USD", "korean"),
    "mx": Place("Mexico", "America/Mexico_City", "USD", "spanish"),
    "ng": Place("Nigeria", "Africa/Lagos", "USD", "african"),
    "nl": Place("Netherlands", "Europe/Amsterdam", "EUR", "dutch"),
    "no": Place("Norway", "Europe/Oslo", "EUR", "nordic"),
    "pl": Place("Poland", "Europe/Warsaw", "EUR", "slavic"),
    "pt": Place("Portugal", "Europe/Lisbon", "EUR", "portuguese"),
    "se": Place("Sweden", "Europe/Stockholm", "EUR", "nordic"),
    "sg": Place("Singapore", "Asia/Singapore", "USD", "chinese"),
    "tr": Place("Türkiye", "Europe/Istanbul", "EUR", "turkish"),
    "us": Place("United States", "America/New_York", "USD", "american"),
    "us-c": Place("United States", "America/Chicago", "USD", "american"),
    "us-w": Place("United States", "America/Los_Angeles", "USD", "american"),
}
# The first ones employ the most people of the cast: a buying group each.
ROWS = """
Northbeam Logistics|de|Logistics|420
Kestrel Pay|gb|Payments|180
Meridian Health Systems|us|Health care|2300
Lumen Grid|dk|Energy|310
Halden Robotics|no|Manufacturing|95
Juniper Street Bank|us-c|Banking|1700
Vantage Insure|ie|Insurance|900
Orchard Analytics|us-w|Software|60
Saffron Foods|fr|Retail|540
Alpen Versicherung|at|Insurance|1100
Bluepeak Hosting|ca|Hosting|210
Atlas Travel Tech|es|Travel|240
Papaya Learning|in|Education|75
Zephyr Wind|dk|Energy|260
Brightline Rail|be|Mobility|800
Hanami Games|jp|Games|120
Cobalt Freight|nl|Logistics|140
Elbe Mobility|de|Mobility|130
Quarry Software|se|Software|45
Copperfield Media|gb|Media|88
Helvetia Datenwerk|ch|Hosting|160
Tramontane Logistics|fr|Logistics|370
Pampa Pagos|mx|Payments|110
Ostwind Energie|de|Energy|480
Fathom Bioscience|us|Research|190
Redwood Clinics|us-w|Health care|1250
Skylark Airways IT|gb|Travel|620
Tallinn Ledger|ee|Payments|70
Banyan Retail Cloud|in|Software|330
Monsoon Mobility|in|Mobility|150
Fjord Commerce|no|E-commerce|66
Tideline Ocean Data|pt|Research|28
Sundial Scheduling|au|Software|34
Granite Peak Outdoor|us-c|Retail|52
Polder Works|nl|Construction|75
Harbour Lane Books|ie|E-commerce|40
Kranich Apotheken|de|Health care|210
Lodestar Telematics|us|Mobility|290
Marigold Payroll|gb|Software|84
Nimbus Ferry Lines|fi|Travel|145
Pinewood Schools|ca|Education|230
Osprey Security|us-w|Software|115
Cedar & Finch|us|Retail|61
Volta Charge|nl|Energy|98
Aurora Textil|pt|Manufacturing|340
Bohemia Glasworks|cz|Manufacturing|270
Wisla Software House|pl|Software|125
Baltic Parcel|ee|Logistics|88
Kivu Mobile Money|ke|Payments|160
Lagoon Microfinance|ng|Banking|240
Savanna Solar|ke|Energy|55
Palmtree Grocers|ng|E-commerce|120
Andes Insurance Lab|mx|Insurance|175
Sabia Learning|br|Education|48
Rio Verde Agro|br|Agriculture|410
Toucan Delivery|br|Logistics|205
Cherry Lane Interactive|jp|Games|64
Kitsune Robotics|jp|Manufacturing|310
Han River Studio|kr|Games|140
Seoul Transit Data|kr|Mobility|220
Merlion Freight|sg|Logistics|190
Straits Biotech|sg|Research|105
Bosphorus Travel|tr|Travel|132
Anatolia Textile Cloud|tr|Manufacturing|260
Lombardia Meccanica|it|Manufacturing|185
Trattoria Digitale|it|Retail|36
Adriatic Shipping|it|Logistics|300
Sevilla Sensors|es|Manufacturing|72
Costa Brava Hotels|es|Travel|510
Bilbao Health Data|es|Health care|94
Provence Cosmetics|fr|Retail|280
Lutetia Legal|fr|Software|42
Garonne Aero|fr|Manufacturing|960
Bretagne Marine|fr|Logistics|68
Rhein Pumpen|de|Manufacturing|720
Isar Diagnostics|de|Health care|165
Spree Studios|de|Media|58
Hanse Kontor|de|Logistics|240
Schwarzwald Optik|de|Manufacturing|190
Neckar Bank|de|Banking|860
Donau Finanz|at|Banking|390
Tirol Outdoor|at|Retail|77
Zuger Treuhand|ch|Insurance|64
Matterhorn Mobility|ch|Mobility|150
Oresund Pharma|dk|Health care|430
Skagen Software|dk|Software|39
Malmo Mapping|se|Software|57
Vasa Insurance|se|Insurance|510
Lapland Logistics|fi|Logistics|120
Saimaa Paper|fi|Manufacturing|640
Bergen Seafood|no|Agriculture|230
Trondheim Turbines|no|Energy|175
Amstel Analytics|nl|Software|51
Delta Greenhouses|nl|Agriculture|160
Haarlem Health|nl|Health care|88
Antwerp Diamonds Online|be|E-commerce|47
Gent Genomics|be|Research|130
Krakow Cloudworks|pl|Hosting|92
Gdansk Shipyard Systems|pl|Manufacturing|380
Moravia Motors|cz|Mobility|540
Prague Ticketing|cz|Travel|44
Porto Wine Direct|pt|E-commerce|31
Lisboa Payments|pt|Payments|115
Galway Games|ie|Games|38
Shannon Aviation IT|ie|Travel|205
Thames Tutoring|gb|Education|33
Pennine Power|gb|Energy|410
Bristol Biotools|gb|Research|96
Clyde Shipping|gb|Logistics|275
Camden Creative|gb|Media|49
Severn Savings|gb|Banking|620
Maple Grove Dental|ca|Health care|140
Laurentian Paper|ca|Manufacturing|350
Prairie Grain Exchange|ca|Agriculture|85
Great Lakes Freight|us-c|Logistics|460
Lakeshore Credit Union|us-c|Banking|330
Magnolia Home Care|us-c|Health care|590
Prairie Fire Games|us-c|Games|41
Hudson Valley Media|us|Media|72
Beacon Hill Legal|us|Software|63
Peachtree Logistics|us|Logistics|315
Chesapeake Marine|us|Manufacturing|170
Old Dominion Trust|us|Banking|740
Carolina Textiles|us|Manufacturing|225
Evergreen Utilities|us-w|Energy|870
Cascade Coffee|us-w|Retail|130
Mojave Solar|us-w|Energy|95
Pacific Rim Imports|us-w|E-commerce|58
Golden Gate Robotics|us-w|Manufacturing|210
Sierra Telehealth|us-w|Health care|165
Coral Bay Resorts|au|Travel|280
Outback Fleet|au|Mobility|115
Wattle Education|au|Education|66
Harbour City Legal|au|Software|29
Deccan Diagnostics|in|Health care|420
Malabar Spices Direct|in|E-commerce|54
Himalaya Outdoors|in|Retail|90
Ganga Fintech|in|Payments|260
Yamuna Analytics|in|Software|145
Sakura Mobility|jp|Mobility|480
Umi Seafood Trade|jp|E-commerce|73
Jeju Hotels|kr|Travel|160
Orchid Semiconductors|sg|Manufacturing|680
Yucatan Eco Tours|mx|Travel|37
Sonora Steel|mx|Manufacturing|520
Lekki Logistics|ng|Logistics|130
Rift Valley Coffee|ke|Agriculture|85
Izmir Software Works|tr|Software|78
Sardegna Sail|it|Travel|26
Toscana Pharma|it|Health care|310
""".strip()


def read_firm(row: str) -> Firm:
    """One row of the table."""
    name, place, industry, employees = row.split("|")
    return Firm(name, PLACES[place], industry, int(employees))


FIRMS = [read_firm(row) for row in ROWS.splitlines()]
