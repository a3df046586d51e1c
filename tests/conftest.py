"""Settings and fixtures every test shares."""

import pytest

from leads.doors import forget_keys


@pytest.fixture(autouse=True)
def _test_settings(settings, tmp_path):
    """No compressed static files, quick passwords, a mailbox of the test's own."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.MAILBOX_DIR = tmp_path / "mailbox"
    forget_keys()
