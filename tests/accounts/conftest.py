"""What the accounts' tests share. Models are imported late: Django is set up after this file."""

from collections.abc import Iterator

import pytest

from tests.trading.conftest import sandbox, trading_account

__all__ = ["roster_alone", "sandbox", "trading_account"]


@pytest.fixture
def roster_alone(db: None) -> Iterator[None]:
    """Let a test own the whole roster: an import disables what its file does not name.

    Everything is rolled back, so that the accounts of other tests never notice.
    """
    from django.db import transaction  # noqa: PLC0415

    from accounts.models import Account, AccountRevision  # noqa: PLC0415

    with transaction.atomic():
        Account.objects.update(enabled=False, closing=False)
        # Nor does a rollback bring them back.
        AccountRevision.objects.update(enabled=False)
        yield
        transaction.set_rollback(True)
