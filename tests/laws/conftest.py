"""What the laws' tests share."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import TupleRow

if TYPE_CHECKING:
    from tests.api.calls import Api


@pytest.fixture
def server_connection(
    pytestconfig: pytest.Config, django_db_setup: None
) -> Iterator[psycopg.Connection[TupleRow]]:
    """The server's own superuser on this worker's database."""
    from tests.conftest import SESSION  # noqa: PLC0415

    database = urlsplit(os.environ["DATABASE_URL"]).path
    url = urlsplit(pytestconfig.stash[SESSION].server_url)._replace(path=database).geturl()
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def api(db: None) -> "Api":
    """An account of the test's own, and a token that may trade it."""
    from tests.api.calls import Api  # noqa: PLC0415 - Django is set up after this file

    return Api.open()
