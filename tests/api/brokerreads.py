"""What every read of an account from the broker has in common, whichever it is."""

from typing import Any

import pytest

from accounts import reads
from accounts.models import AccountState
from accounts.pool import get_pool
from opitios.broker.budget import Lane
from opitios.core import clock
from opitios.core.coalesce import Coalesced
from tests.api.calls import Api, problem, read
from tests.support.sandbox_process import SandboxProcess


def under(api: Api, rest: str) -> str:
    """A path under the account."""
    return f"/api/v1/accounts/{api.account}/{rest}"


def marked(api: Api, rest: str) -> Any:
    """The answer to a read, without its place in the journal, which it has."""
    body = read(api.get(under(api, rest)))
    assert body.pop("as_of") <= clock.rfc3339(clock.now())
    assert body.pop("as_of_seq") == 0
    return body


def wrong(api: Api, rest: str) -> dict[str, str]:
    """A refusal of the query's values: each wrong field and why."""
    body = problem(api.get(under(api, rest)), 422, "invalid-parameter")
    assert body["detail"]
    return {error["field"]: error["reason"] for error in body["errors"]}


def assert_one_call_a_second(sandbox: SandboxProcess, api: Api, rest: str, other: str) -> None:
    """The same question within a second is one call; another is another, and the next second's."""
    with pytest.MonkeyPatch.context() as patched:
        # A second by a clock of the test's own: the machine may take longer to ask twice.
        now = [clock.monotonic()]
        patched.setattr(clock, "monotonic", lambda: now[0])
        kept: Coalesced[Any] = Coalesced(size=10, keep_seconds=reads.KEEP_SECONDS)
        patched.setattr(reads, "_kept", kept)
        first = api.get(under(api, rest))
        sandbox.fault("500", account=api.account, times=0)

        now[0] += 0.99
        again = api.get(under(api, rest))

        assert (first.status_code, again.status_code) == (200, 200)
        problem(api.get(under(api, other)), 503, "broker-unavailable")
        now[0] += 0.02
        problem(api.get(under(api, rest)), 503, "broker-unavailable")


def assert_trouble_is_told(sandbox: SandboxProcess, api: Api, rest: str) -> None:
    """A broker in trouble and a key it refuses are 503, each in its own words."""
    sandbox.fault("500", account=api.account)
    response = api.get(under(api, rest))
    problem(response, 503, "broker-unavailable")
    assert int(response["Retry-After"]) >= 1

    sandbox.fault("401", account=api.account)
    body = problem(api.get(under(api, rest)), 503, "account-quarantined")
    assert body["account_id"] == api.account


def assert_quarantine_is_told(sandbox: SandboxProcess, api: Api, rest: str) -> None:
    """An account in quarantine is not asked about: nothing reaches the broker."""
    AccountState.objects.filter(account_id=api.account).update(
        state="quarantined", told_at=clock.now()
    )
    get_pool().refresh_standings()
    sandbox.fault("500", account=api.account, times=0)

    problem(api.get(under(api, rest)), 503, "account-quarantined")


def assert_budget_is_kept(api: Api, rest: str) -> None:
    """Reads that the account's minute has no room for are 429, and say when to come back."""
    account = get_pool().get(api.account)
    assert account is not None
    assert account.guard.budget is not None
    # As if in an hour: until then nothing of it is earned back, however long asking takes.
    ahead = clock.monotonic() + 3600
    while account.guard.budget.take(Lane.READ, ahead) == 0.0:
        pass

    response = api.get(under(api, rest))

    problem(response, 429, "rate-limited")
    assert int(response["Retry-After"]) >= 1


def assert_refused_by_broker(api: Api, rest: str, words: str) -> None:
    """What the broker says no to arrives in its words, with its status and code."""
    response = api.get(under(api, rest))

    body = read(response)
    assert (response.status_code, body["origin"], body["retry"]) == (422, "broker", "after_fix")
    assert (body["code"], body["broker"]["http_status"]) == (40010001, 422)
    assert words in body["message"]
    assert body["account_id"] == api.account
