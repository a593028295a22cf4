"""What the staff pages' tests share. Models are imported late: Django is set up after this."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client

from tests.admin.served import Served

PASSWORD = "a long staff passphrase"  # noqa: S105 - of users that live for one test


@pytest.fixture
def account(db: None) -> str:
    """An account of the test's own, whose broker nobody is."""
    from tests.support.accounts import open_account  # noqa: PLC0415

    return open_account()


@pytest.fixture
def signed_in(db: None) -> Callable[..., Client]:
    """Sign a member of staff in: a superuser, or one with the permissions named."""
    from django.contrib.auth.models import Permission, User  # noqa: PLC0415

    def sign_in(*permissions: str) -> Client:
        name = f"s-{uuid4().hex[:12]}"
        # Without a password: nobody types one here, and a hash takes a fifth of a second.
        user = User.objects.create_user(name, is_staff=True, is_superuser=not permissions)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def superuser(signed_in: Callable[..., Client]) -> Client:
    """A client of somebody who may do everything that anybody may."""
    return signed_in()


@pytest.fixture
def staff(db: None) -> tuple[str, str]:
    """Name and password of a superuser."""
    from django.contrib.auth.models import User  # noqa: PLC0415

    name = f"s-{uuid4().hex[:12]}"
    User.objects.create_superuser(name, password=PASSWORD)
    return name, PASSWORD


@pytest.fixture(scope="package")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The web process under granian, on this worker's database.

    For these tests alone: others would find its row among those of the processes that live.
    """
    log: Path = tmp_path_factory.mktemp("web") / "web.log"
    with Served(log, dict(os.environ)) as served:
        yield served


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's browser; its tests are skipped where there is none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no chromium on this machine")
    return found
