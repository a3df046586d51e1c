"""Who plays in the demo: people that could exist, at firms that could, each with the ids a product would give them."""

import random
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from crm.demo.firms import FIRMS, Firm

# Given names / family names, by how people are called where a firm is.
NAMES = {
    "african": "Amina Chidi Wanjiru Emeka Zawadi Tunde Achieng Kwame Ngozi Baraka Folake Otieno/"
    "Okafor Mwangi Adeyemi Kamau Eze Njoroge Balogun Otieno Nwosu Kiptoo",
    "american": "Jordan Dana Marcus Chloe Devin Grace Wyatt Naomi Tyler Brooke Malik Elena Carter Jasmine Luis Hailey/"
    "Reed Whitfield Okonkwo Brooks Alvarez Kim Sullivan Price Nguyen Harper Jackson Medina Clarke Patel Foster Bennett",
    "chinese": "Wei Mei Jun Xin Hao Li Kai Yan Ting Ming/Tan Lim Chen Wong Goh Koh Ng Teo Lee Ong",
    "dutch": "Sanne Bram Femke Pieter Lotte Daan Anouk Jeroen Maud Sven Tess Ruben/"
    "de_Vries Jansen Visser Bakker Claes Peeters van_Dijk Mulder Hendriks Maes Willems Smit",
    "english": "Oliver Harriet Tom Imogen Beatrice Liam Ruby Callum Priya Hugo Zoe Alfie Nadia Edward/"
    "Grant Cole Ashworth Hart Lowe Carter Whitmore Shah Barnes Lambert Pryce Hughes Fletcher Doyle",
    "french": "Camille Antoine Mathieu Léa Julien Chloé Yanis Margaux Théo Inès Baptiste Nour/"
    "Laurent Mercier Dupont Moreau Benali Rousseau Girard Lefèvre Fontaine Caron Bonnet Diallo",
    "german": "Hannah Jonas Leonie Felix Klara Sebastian Julia Paul Miriam Lukas Svenja Tobias Aylin Matthias/"
    "Vogel Krüger Brandt Gruber Steiner Wolf Weiß Neumann Schäfer Hofer Yılmaz Lehmann Bühler Keller",
    "indian": "Ananya Rahul Priya Arjun Kavya Vikram Meera Sanjay Divya Rohan Aisha Nikhil/"
    "Iyer Menon Raman Kapoor Nair Reddy Banerjee Desai Krishnan Singh Rao Joshi",
    "irish": "Niamh Ciara Conor Aoife Declan Orla Fergal Sinéad Cillian Maeve/Byrne Nolan Kelleher Walsh Gallagher Quinn Brennan Doherty",
    "italian": "Giulia Matteo Francesca Luca Chiara Davide Elisa Marco Sofia Andrea/"
    "Marchetti Rinaldi Conti Ferraro Greco Moretti Galli Bianchi Sala Costa",
    "japanese": "Haruka Kenji Yuki Sora Aoi Takumi Mio Daichi Rin Naoki/Mori Sato Tanaka Ito Fujita Nakamura Ogawa Hayashi Kimura Endo",
    "korean": "Minji Jiho Seoyeon Hyunwoo Yuna Dohyun Sumin Jisoo/Park Kang Choi Yoon Lim Han Seo Kwon",
    "nordic": "Ingrid Mikkel Elsa Erik Freja Oskar Katrine Søren Maja Nils Aino Signe Eero Linnea Lasse/"
    "Solheim Holm Lindqvist Dahl Nygaard Nilsson Lund Kjær Hansen Virtanen Madsen Tamm Berg Korhonen Åberg",
    "portuguese": "Rui Marta Victor Beatriz João Inês Tiago Carolina Rafael Luana/"
    "Tavares Sousa Almeida Carvalho Ferreira Lopes Ribeiro Teixeira Barbosa Moura",
    "slavic": "Katarzyna Tomáš Agnieszka Piotr Lucie Jakub Magdalena Ondřej Zofia Marek/"
    "Nowak Svoboda Wójcik Dvořák Kowalska Zieliński Černý Mazur Novotná Kamiński",
    "spanish": "Lucía Carlos Diego Marta Sergio Ximena Pablo Valeria Andrés Noa/"
    "Ferrer Medina Navarro Ortega Castillo Rojas Vidal Herrera Iglesias Cruz",
    "turkish": "Elif Mert Zeynep Emre Defne Kerem Selin Can/Yılmaz Demir Kaya Aydın Şahin Arslan Koç Öztürk",
}
TITLES = {
    "leader": ["CTO", "VP Engineering", "Head of Platform", "Head of Engineering", "CTO & co-founder"],
    "manager": ["Engineering Manager", "Product Manager", "Head of Data", "Operations Director", "Director of IT", "Head of Procurement"],
    "builder": [
        *("Software Engineer", "Senior Developer", "Backend Developer", "Staff Engineer", "DevOps Engineer", "Solutions Architect"),
        *("Platform Engineer", "Data Engineer", "Integration Developer", "Site Reliability Engineer"),
    ],
    "other": ["Business Analyst", "Marketing Manager", "Student", "Consultant", "Founder", "Chief of Staff", "IT Administrator"],
}
# Telephone numbers nobody has: these ranges are kept free for stories.
PHONES = {
    "Australia": "+61 2 5550 0{:03d}",
    "Canada": "+1 416 555 01{:02d}",
    "France": "+33 1 99 00 2{:03d}",
    "Germany": "+49 30 23125 {:03d}",
    "Ireland": "+353 20 910 0{:03d}",
    "United Kingdom": "+44 20 7946 0{:03d}",
    "United States": "+1 202 555 01{:02d}",
}
ASCII = str.maketrans({"ß": "ss", "ø": "oe", "æ": "ae", "ı": "i", "ł": "l", "Ş": "S", "Ø": "O", "Å": "A"})
# How many of the firms have how many people in the cast.
SIZES = [9, 8, 8, 7, 7, 7, 6, 6, 6, 6, *[5] * 10, *[4] * 15, *[3] * 30, *[2] * 50, *[1] * 35]
# So many firms have one more colleague each, whom nobody has heard of until the demo runs.
NEWCOMERS = 60


@dataclass
class Person:
    """Somebody who uses the product or looks at its pages. `number` tells them apart and seeds what they do."""

    name: str
    title: str
    firm: Firm
    number: int
    seats: int
    phone: str = ""
    is_newcomer: bool = False
    other_device: str = ""
    introduced: bool = field(default=False, compare=False)

    @property
    def email(self) -> str:
        """The address at the firm, without accents."""
        plain = unicodedata.normalize("NFKD", self.name.translate(ASCII)).encode("ascii", "ignore").decode()
        return f"{plain.lower().replace(' ', '.').replace("'", '')}@{self.firm.domain}"

    @property
    def user_id(self) -> str:
        """The product's id of this account."""
        return f"usr_{1000 + self.number}"

    @property
    def anonymous_id(self) -> str:
        """The browser's id before they log in."""
        return f"anon_{1000 + self.number}"

    @property
    def timezone(self) -> str:
        """Where their clock is."""
        return self.firm.place.timezone

    @property
    def traits(self) -> dict[str, Any]:
        """What they tell about themselves when they sign up."""
        place = self.firm.place
        said = {"name": self.name, "title": self.title, "country": place.country, "timezone": place.timezone, "seats": self.seats}
        return said | ({"phone": self.phone} if self.phone else {}) | {"company": self.firm.traits}


def cast_people(rng: random.Random, *, firms: int = len(FIRMS)) -> list[Person]:
    """Everybody at the first `firms` firms: most of them send one or two people, the first ones a whole buying group."""
    called = {style: full_names(names, rng) for style, names in NAMES.items()}
    people: list[Person] = []
    for index, (firm, size) in enumerate(zip(FIRMS[:firms], SIZES, strict=False)):
        more = 1 if index < NEWCOMERS else 0
        for place, name in enumerate(islice(called[firm.place.names], size + more)):
            people.append(engage(name, firm, number=len(people), place=place, rng=rng))
            people[-1].is_newcomer = place == size
    return people


def full_names(names: str, rng: random.Random) -> Iterator[str]:
    """Each given name with each family name, in any order, none twice."""
    given, family = (part.split() for part in names.split("/"))
    pairs = [f"{first} {last.replace('_', ' ')}" for first, last in product(given, family)]
    rng.shuffle(pairs)
    return iter(pairs)


def engage(name: str, firm: Firm, *, number: int, place: int, rng: random.Random) -> Person:
    """Give somebody a job: a larger group has someone who decides, then those who build."""
    kinds = ("leader", "builder", "manager", "builder", "builder", "other")
    kind = kinds[place % len(kinds)] if place or rng.random() < 0.4 else rng.choice(("builder", "builder", "manager", "other"))
    format_ = PHONES.get(firm.place.country, "")
    phone = format_.format(number % (100 if format_.count("01{") else 1000)) if rng.random() < 0.6 else ""
    seats = rng.choice([3, 5, 8, 12]) if firm.employees < 100 else rng.choice([12, 25, 40, 60])
    return Person(name, rng.choice(TITLES[kind]), firm, number, seats, phone)
