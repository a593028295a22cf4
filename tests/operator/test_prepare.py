"""`manage.py prepare`: the tokens of a run; the rest of it is seen in each start (test_up.py)."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from accounts.tokens import verifier


@pytest.mark.django_db
def test_it_prints_the_tokens_that_are_handed_out_and_nothing_else() -> None:
    page = StringIO()

    call_command("prepare", stdout=page)

    told = {name: verifier().principal(word) for name, word in json.loads(page.getvalue()).items()}
    trader, admin = told["TOKEN_TRADER"], told["TOKEN_ADMIN"]
    assert (trader.sub, trader.accounts) == ("trader", frozenset({"account_001"}))
    assert (admin.sub, admin.accounts, admin.may("admin")) == ("admin", None, True)
