"""What the trading room's tests share. Models are imported late: Django is set up after this."""

import pytest


@pytest.fixture
def account(db: None) -> str:
    """An account of the test's own, whose broker nobody is."""
    from tests.support.accounts import open_account  # noqa: PLC0415

    return open_account()
