"""Settings and fixtures every test shares."""

import importlib

import pytest
from django.apps import apps
from django.conf import settings as live_settings
from django.core.cache import cache
from django.db import connections

from crm.celery import app as celery
from leads import seen, versions_in_force, workspace_zone
from leads.doors import forget_keys
from leads.models import Stage
from tests.browser import browser_page, chromium
from tests.factories import make_rep

__all__ = ["browser_page", "chromium"]

# Tests look for due work themselves; the bell rings where nobody hears it.
celery.conf.broker_url = "memory://"


@pytest.fixture(autouse=True)
def _test_settings(settings, tmp_path, monkeypatch):
    """No compressed static files, quick passwords, a mailbox of the test's own; nothing remembered of an earlier test's rows."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MAILBOX_DIR = tmp_path / "mailbox"
    forget_keys()
    seen.forget()
    cache.clear()
    versions_in_force.compiled.cache_clear()
    workspace_zone.zone_in.cache_clear()
    monkeypatch.setattr(workspace_zone, "KEPT", 10**12)  # or a minute that ends costs some test a statement


@pytest.fixture(autouse=True)
def _shipped_rows(request):
    """Put the shipped stages, source and groups back when an earlier test really committed, and so emptied every table."""
    if {"db", "transactional_db", "live_server"} & set(request.fixturenames) or request.node.get_closest_marker("django_db"):
        request.getfixturevalue("_django_db_helper")
        if not Stage.objects.exists():
            importlib.import_module("leads.migrations.0002_shipped_rows").create_rows(apps, None)
            importlib.import_module("leads.migrations.0003_group_permissions").grant(apps, None)


@pytest.fixture
def rep(client):
    """Rita, a sales rep, signed in."""
    user = make_rep(username="rita", first_name="Rita", last_name="Rep")
    client.force_login(user)
    return user


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request, django_db_modify_db_settings_parallel_suffix):
    """With browser tests, a file for SQLite: the live server's threads and the test each need a connection of their own."""
    connection = connections["default"]
    if connection.vendor == "sqlite" and any(item.get_closest_marker("e2e") for item in request.session.items):
        worker = getattr(request.config, "workerinput", {}).get("workerid", "one")
        connection.settings_dict["TEST"]["NAME"] = str(live_settings.VAR_DIR / f"browser-{worker}.sqlite3")
        connection.settings_dict["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
