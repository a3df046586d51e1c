"""The shell in a browser."""

import pytest

from tests.browser import assert_accessible

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("dark", [False, True])
def test_the_board_is_accessible(browser_page, dark):
    page = browser_page("rep", dark=dark)
    page.goto("/")
    assert_accessible(page)
