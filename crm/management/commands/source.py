"""`manage.py source add NAME`: a key for a program."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from leads.models import Source


class Command(BaseCommand):
    help = "Sources: keys with which programs post events or read leads."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="Make a source; its key is printed once, alone on the last line.")
        add.add_argument("name", help="Tells sources apart, for example website. Unique.")
        add.add_argument(
            "--scope",
            choices=Source.Scope.values,
            default=Source.Scope.SERVER.value,
            help="server: posts events, trusted (the default). browser: posts events, public. read: reads leads.",
        )
        add.add_argument(
            "--origin",
            action="append",
            default=[],
            help="For browser keys, may be given often: a site that may post, for example https://www.example.com. None: any site.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name, scope, origins = options["name"].strip(), options["scope"], options["origin"]
        longest = Source._meta.get_field("name").max_length or 0
        if not 0 < len(name) <= longest:
            raise CommandError(f"A source needs a name of 1 to {longest} characters.")
        if origins and scope != Source.Scope.BROWSER:
            raise CommandError("--origin is for browser keys only; add --scope browser.")
        if Source.objects.filter(name=name).exists():
            raise CommandError(f"There is a source named {name!r} already; choose another name. Its key can't be shown again.")
        source, key = Source.create_with_key(name, scope)
        if origins:
            source.allowed_origins = [origin.rstrip("/") for origin in origins]
            source.save(update_fields=["allowed_origins"])
        self.stdout.write(f"Source {name!r} with the scope {scope}. Its key, shown this once:")
        self.stdout.write(key)
