"""What the API's tests share. Models are imported late: Django is set up after this."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.calls import Api


@pytest.fixture
def api(db: None) -> "Api":
    """An account of the test's own, and a token that may trade it."""
    from tests.api.calls import Api  # noqa: PLC0415

    return Api.open()
