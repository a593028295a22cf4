"""Nobody sees or touches an account that is not theirs, nor learns that it exists (G12).

Walked over the API's own document: an endpoint that is added is tried without being named here.
"""

import random
import re
from collections.abc import Iterator
from itertools import product
from uuid import UUID, uuid4

import pytest
from django.urls import URLPattern, URLResolver

from opitios import urls
from tests.api.calls import GOOD, Api, new_key, read
from tests.hostile.corpus import MANY, in_every_case, order, refused, untouched
from tests.hostile.strangers import (
    EVERYTHING,
    NOBODY,
    Call,
    Victim,
    calls_about,
    calls_naming,
    disable,
    operations,
    parameters_of,
    retype,
    templates,
    told,
)
from tests.support.accounts import open_account, token
from tests.support.sandbox_process import SandboxProcess
from tests.support.until import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def victim(db: None) -> Victim:
    """Somebody else, whose account has a life of its own."""
    return Victim.open()


@pytest.fixture
def api(db: None) -> Api:
    """An account of the test's own, and a token that may do everything with it."""
    api = Api.open()
    return Api(api.account, token([api.account], permissions=EVERYTHING))


def asked(api: Api, statements: list[str], call: Call, account: str) -> dict[str, object]:
    """An answer, but for the account's name, and what it cost at the database."""
    statements.clear()
    answer = told(call.ask(api, account), account)
    return answer | {"statements": list(statements)}


def test_h041_every_operation_on_another_account_is_the_answer_of_no_account(
    api: Api, victim: Victim, statements: list[str]
) -> None:
    def check(call: Call) -> None:
        foreign = asked(api, statements, call, victim.account)
        none = asked(api, statements, call, NOBODY)
        assert foreign == none
        assert foreign["status"] == 404

    with untouched(api.account, victim.account):
        in_every_case(calls_about(victim), check)


def test_h041_no_operation_without_an_account_in_its_path_acts_on_another_s(
    api: Api, victim: Victim
) -> None:
    """Halts, reloads, limits, whatever is added: what names B is what names nobody."""
    reload = "/api/v1/accounts/reload"

    def check(call: Call) -> None:
        theirs, none = call.ask(api, victim.account), call.ask(api, NOBODY)
        assert theirs.status_code == none.status_code
        assert theirs.status_code not in {201, 202, 207, 500}
        shown, other = (
            re.sub(r"[0-9.:TZ-]{20,}|\d+\.\d+", "", answer.content.decode().replace(name, ""))
            for answer, name in ((theirs, victim.account), (none, NOBODY))
        )
        if theirs.status_code >= 400:
            assert shown == other
        assert [each for each in victim.names[1:] if each in shown] == []

    with untouched(api.account, victim.account):
        in_every_case((each for each in calls_naming(victim) if reload not in each.path), check)
    standing = {each["id"] for each in read(victim.api.call("GET", "/api/v1/halts"))["halts"]}
    assert standing >= set(victim.halt_ids)


def test_h042_another_account_s_orders_are_not_there_under_mine(
    api: Api, victim: Victim, statements: list[str]
) -> None:
    def check(name: str) -> None:
        for method, rest in (("GET", "/{}"), ("DELETE", "/{}"), ("PATCH", "/{}"),
                             ("GET", "/{}/events"),
                             ("GET", ":by_client_order_id?client_order_id={}")):  # fmt: skip
            theirs = asked(api, statements, Call(method, api.orders + rest.format(name)), "")
            nobodys = _like(name)
            none = asked(api, statements, Call(method, api.orders + rest.format(nobodys)), "")
            assert theirs == none
            assert theirs["status"] in {404, 405}
            assert name not in str(theirs["body"])

    spelled = [each for name in [*victim.order_ids, *victim.client_order_ids]
               for each in (name, name.upper(), f"{{{name}}}", name.replace("-", ""))]  # fmt: skip
    with untouched(api.account, victim.account):
        in_every_case(spelled, check)


def _like(name: str) -> str:
    """A name of the same kind that nothing has."""
    return "".join("0" if each.isdigit() else each for each in name)


def test_h043_another_account_s_positions_are_not_there_under_mine(
    there: Api, sandbox: SandboxProcess
) -> None:
    other = Api.open(url=sandbox.url)
    symbols = ("AAPL", "MSFT")
    for symbol in symbols:
        body = {"symbol": symbol, "qty": "7", "side": "buy", "type": "market",
                "time_in_force": "day"}  # fmt: skip
        sandbox.trade(other.account, "POST", "/v2/orders", json=body)
    until(lambda: len(sandbox.trade(other.account, "GET", "/v2/positions").json()) == len(symbols))
    kinds = ("GET", "HEAD", "DELETE", "PUT", "POST")

    def check(case: tuple[str, str, str]) -> None:
        method, account, rest = case
        answer = there.call(method, f"/api/v1/accounts/{account}/positions{rest}")
        assert answer.status_code in {404, 405}
        assert '"qty"' not in answer.content.decode()

    with untouched(there.account, other.account, broker=sandbox):
        foreign = product(kinds, [other.account], ["", "/AAPL", "/MSFT"])
        mine = product(kinds, [there.account], ["/AAPL", "/MSFT"])
        in_every_case([*foreign, *mine], check)
        assert read(there.get(f"/api/v1/accounts/{there.account}/positions"))["positions"] == []


def test_h045_a_key_of_somebody_else_opens_nothing(api: Api, victim: Victim) -> None:
    """With the same subject, too: a key belongs to subject and account together."""
    namesake = Api(api.account, token([api.account], sub="bot-8"))

    def check(case: tuple[Api, str]) -> None:
        caller, key = case
        foreign = Api(victim.account, caller.token)
        theirs = {**GOOD, "client_order_id": victim.client_order_ids[0]}
        refused(foreign.place(theirs, key=key), 404, hides=victim.order_ids)
        placed = caller.place(order(qty="3"), key=key)
        assert placed.status_code == 202
        assert "Idempotent-Replayed" not in placed
        assert all(name not in placed.content.decode() for name in victim.names)

    keys = [*victim.keys, *(new_key() for _ in range(7))]
    for key in keys[len(victim.keys) :]:
        assert victim.api.place(order(qty="2"), key=key).status_code == 202
    with untouched(victim.account):
        in_every_case(product((api, namesake), keys), check)


def test_h046_another_account_s_journal_is_not_there(
    api: Api, victim: Victim, statements: list[str]
) -> None:
    queries = ["", "?after=0", "?after=1", "?limit=500", "?kind=order.queued", "?page_token=1",
               "?after=999999", "?limit=0", "?odd=1", "?after=-1"]  # fmt: skip
    names = [victim.account, "_system", "_System", "%5Fsystem"]

    def check(case: tuple[str, str]) -> None:
        account, query = case
        call = Call("GET", "/api/v1/accounts/{account_id}/journal" + query)
        none = asked(api, statements, call, NOBODY)
        answer = asked(api, statements, call, account) if "%" not in account else None
        assert answer in (None, none)
        refused(call.ask(api, account), 404, hides=victim.order_ids)

    with untouched(api.account, victim.account):
        in_every_case(product(names, queries), check)


def test_h048_neighbours_of_ids_are_nobody_s(api: Api, victim: Victim) -> None:
    mine = read(api.place(order(qty="1")))["id"]
    at = UUID(mine).int
    number = int(victim.account.removeprefix("t-"), 16)
    accounts = [f"t-{number + step:012x}" for step in range(-12, 13) if step]
    ids = [str(UUID(int=at + step)) for step in (*range(-8, 9), 1 << 64, 1 << 80) if step]

    def check(path: str) -> None:
        refused(api.get(path), 404, hides=[*victim.order_ids, *victim.client_order_ids])

    with untouched(api.account, victim.account):
        in_every_case(
            [*(f"/api/v1/accounts/{account}/orders" for account in accounts),
             *(f"/api/v1/accounts/{victim.account}/orders/{each}" for each in ids),
             *(f"{api.orders}/{each}" for each in ids)], check)  # fmt: skip


def test_h049_odd_paths_lead_to_nobody_s_account(api: Api, victim: Victim) -> None:
    mine, theirs = api.account, victim.account
    odd = ["{m}/../{t}", "{m}%2f..%2f{t}", "{m}/%2e%2e/{t}", "%2e%2e/accounts/{t}", "./{t}", "/{t}",
           "{t}.", "{t};", "{t};{m}", "{m};{t}", "{t}%20", "%20{t}", "{t}%00", "{m}%00{t}",
           "{t}%0a", "{m},{t}", "{t},{m}", "{m}%2c{t}", "{t}%c2%a0", "%{t}", "{u}",
           "{m}&account_id={t}",
           "{m}%252f..%252f{t}", "{m}\\..\\{t}", "..\\{t}", "{t}%e2%80%8b", "%ef%bb%bf{t}", "*",
           "{t}*",
           "{t}%3f", "{t}#", "[{t}]", "{{{t}}}", "{m}//{t}", "{d}"]  # fmt: skip
    double = "".join(f"%25{ord(each):02x}" for each in theirs)
    tails = ("orders", "account", "journal")

    def check(case: tuple[str, str]) -> None:
        place, tail = case
        name = place.format(m=mine, t=theirs, u=theirs.upper(), d=double)
        refused(api.get(f"/api/v1/accounts/{name}/{tail}"), 400, 404, hides=victim.order_ids)

    with untouched(mine, theirs):
        in_every_case(product(odd, tails), check)


def test_h051_headers_that_name_another_method_are_not_heard(api: Api, victim: Victim) -> None:
    mine = read(api.place(order()))["id"]
    names = ("X_HTTP_Method_Override", "X_HTTP_Method", "X_Method_Override", "X_Original_URL",
             "X_Rewrite_URL", "X_Forwarded_Uri", "Content_Location")  # fmt: skip
    theirs = f"/api/v1/accounts/{victim.account}/orders"
    values = ("DELETE", "PATCH", "delete", theirs)

    def check(case: tuple[str, str]) -> None:
        name, value = case
        assert api.get(f"/{mine}", **{name: value}).status_code == 200
        assert api.get(f"/{mine}?_method=DELETE", **{name: value}).status_code == 400
        refused(api.call("GET", theirs, **{name: value}), 404, hides=victim.order_ids)

    with untouched(api.account, victim.account):
        in_every_case(product(names, values), check)


def test_h052_head_options_and_trace_tell_nothing(api: Api, victim: Victim) -> None:
    def check(case: tuple[str, str]) -> None:
        path, method = case
        filled = path.replace("{order_id}", victim.order_ids[0]).replace("{symbol}", "AAPL")
        call = Call(method, filled)
        mine, theirs, none = (
            call.ask(api, account) for account in (api.account, victim.account, NOBODY)
        )
        for answer in (mine, theirs, none):
            # No broker answers here: a read of it is a 503.
            assert answer.status_code in {*range(200, 500), 503}
            # What TRACE would echo.
            assert api.token not in answer.content.decode() + str(dict(answer.headers))
        if "{account_id}" in path:
            assert told(theirs, victim.account) == told(none, NOBODY)
            assert theirs.status_code == 404
            assert mine.status_code in {404, 405} or method == "HEAD"

    with untouched(api.account, victim.account):
        in_every_case(product(templates(), ("HEAD", "OPTIONS", "TRACE", "CONNECT", "FOO")), check)


HIDDEN = (
    "ordering", "order_by", "sort", "fields", "select", "include", "expand", "subject", "principal",
    "account_id", "account", "idempotency_key", "principal__sub", "account_id__ne", "id__gt",
    "account__credential__sealed_api_key__startswith", "filter[account_id]", "filter", "where", "q",
    "search", "format__x", "user", "as_user", "impersonate",
)  # fmt: skip


def test_h054_hidden_columns_neither_filter_nor_order(api: Api, victim: Victim) -> None:
    # What a document tells of is not hidden: bars are sorted, and say so.
    asked = [(path, name) for method, path, about in operations() for name in HIDDEN
             if method == "GET" and "400" in about["responses"] and path.startswith("/api/")
             and name not in parameters_of(about)]  # fmt: skip

    def check(case: tuple[str, str]) -> None:
        path, name = case
        filled = path.replace("{account_id}", api.account).replace("{symbol}", "AAPL")
        filled = re.sub(r"\{\w+\}", str(uuid4()), filled)
        answer = api.get(f"{filled}?{name}={victim.account}")
        refused(answer, 400, 404, 422, hides=victim.order_ids)

    in_every_case(asked, check)


@pytest.mark.parametrize("permissions", [(), ("account_read",), ("trade",), ("market_data",)])
def test_h055_what_a_token_may_do_elsewhere_tells_nothing(
    victim: Victim, statements: list[str], permissions: tuple[str, ...]
) -> None:
    """A 403 for a foreign account would say that it exists."""
    mine = open_account()
    api = Api(mine, token([mine], permissions=permissions))
    names = [victim.account, "x" * 64, "x" * 65, "Ä", "a b", "_system", "-", "0", "None"]

    def check(call: Call) -> None:
        none = asked(api, statements, call, NOBODY)
        assert none["status"] == 404
        for name in names:
            assert asked(api, statements, call, name) == none

    with untouched(victim.account):
        in_every_case(_some(calls_about(victim)), check)


def _some(calls: Iterator[Call]) -> list[Call]:
    """A sample, for what is asked about many accounts."""
    every = list(calls)
    return random.Random(55).sample(every, 30)  # noqa: S311 - repeatable


def test_h056_no_cache_forgets_whose_it_is(there: Api, sandbox: SandboxProcess) -> None:
    other = Api.open(url=sandbox.url)
    body = {"symbol": "AAPL", "qty": "7", "side": "buy", "type": "market", "time_in_force": "day"}
    sandbox.trade(other.account, "POST", "/v2/orders", json=body)
    until(lambda: sandbox.trade(other.account, "GET", "/v2/positions").json())
    both = Api("", token([there.account, other.account]))
    rests = ("positions", "account", "account/configurations", "activities", "portfolio/history",
             "orders?status=all", "journal", "fills", "reconciliation")  # fmt: skip

    def check(case: tuple[str, int]) -> None:
        rest, _ = case
        answers = [
            both.get(f"/api/v1/accounts/{account}/{rest}")
            for account in (other.account, there.account)
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert other.account not in answers[1].content.decode()
        assert '"qty":"7"' not in answers[1].content.decode()

    in_every_case(product(rests, range(4)), check)
    [position] = read(both.get(f"/api/v1/accounts/{other.account}/positions"))["positions"]
    assert position["qty"] == "7"


def test_h057_a_page_token_of_somebody_else_reads_on_in_mine(api: Api, victim: Victim) -> None:
    for _ in range(3):
        api.place()
    lists = [path for method, path, about in operations()
             if method == "GET" and "page_token" in parameters_of(about)]  # fmt: skip

    def check(case: tuple[str, str]) -> None:
        path, page_token = case
        filled = path.replace("{account_id}", api.account)
        for more in ("", "&limit=1", "&limit=500"):
            answer = api.get(f"{filled}?page_token={page_token}{more}")
            assert answer.status_code < 500 or "broker" in answer.content.decode()
            assert all(name not in answer.content.decode() for name in victim.names)

    tokens = [*victim.page_tokens, victim.account, *victim.order_ids[:2]]
    with untouched(api.account, victim.account):
        in_every_case(product(lists, tokens), check)


def test_h058_an_account_taken_away_in_mid_session_is_nobody_s(
    api: Api, victim: Victim, statements: list[str]
) -> None:
    mine = Victim(api, victim.order_ids, victim.client_order_ids, victim.keys, victim.page_tokens)
    assert api.get().status_code == 200
    disable(api.account)

    def check(call: Call) -> None:
        gone = asked(api, statements, call, api.account)
        assert gone == asked(api, statements, call, NOBODY)
        assert gone["status"] == 404

    with untouched(api.account):
        in_every_case(calls_about(mine), check)


def test_h059_reading_rights_write_nothing(victim: Victim) -> None:
    account = victim.account
    readers = [("account_read",), ("market_data",), ("monitor",), (), ("account_read", "monitor")]
    writes = [(method, path) for method, path, _ in operations() if method not in {"GET", "HEAD"}]
    assert ("POST", "/api/v1/accounts/{account_id}/orders/stocks") in writes

    def check(case: tuple[tuple[str, ...], tuple[str, str]]) -> None:
        permissions, (method, path) = case
        reader = Api(account, token([account], permissions=permissions))
        filled = path.replace("{order_id}", victim.order_ids[1])
        refused(Call(method, filled, {**GOOD}).ask(reader, account), 403)
        refused(Call(method, filled, b"{").ask(reader, account), 403)

    with untouched(account):
        in_every_case(product(readers, writes), check)


def test_h060_accounts_that_serve_data_take_no_order(api: Api) -> None:
    """Whatever the token permits (R4); what stands open there can still be cancelled."""
    standing = read(api.place())["id"]
    tokens = [api.token, token(None, permissions=EVERYTHING), token([api.account])]
    bodies = [order(), order(type="market", limit_price=None), order(side="sell"), b"{"]

    for kind in ("master", "data", "backup"):
        retype(api.account, kind)

        def check(case: tuple[str, object]) -> None:
            caller = Api(api.account, case[0])
            answer = refused(caller.place(case[1], key=new_key()), 403)
            assert answer["reason"] == "no-trading-account"

        with untouched(api.account):
            in_every_case(list(product(tokens, bodies)) * 2, check)
    assert api.get(f"/{standing}").status_code == 200
    assert api.delete(standing).status_code == 200
    retype(api.account, "trading")
    assert api.place().status_code == 202


def test_no_answer_without_an_account_in_its_path_tells_of_another_s(
    api: Api, victim: Victim
) -> None:
    """G12: fleet reads, the pool, limits, whatever is added: asked about B, they know no B."""

    def check(case: tuple[str, str]) -> None:
        path, name = case
        filled = path.replace("{symbol}", "AAPL")
        for query in ("", f"?accounts={name}", f"?account_id={name}", f"?page_token={name}",
                      f"?accounts={api.account},{name}", f"?q={name}"):  # fmt: skip
            for method in ("GET", "POST"):
                answer = api.call(method, filled + query, {"accounts": [name], "account_id": name})
                shown = answer.content.decode() + str(dict(answer.headers))
                said = [each for each in victim.names if each in shown and each != name]
                assert said == []
                assert answer.status_code != 500
                if answer.status_code < 300:
                    assert name not in shown, (method, path, query)

    paths = [path for path in templates() if "{account_id}" not in path]
    assert "/api/v1/pool" in paths
    with untouched(api.account, victim.account):
        in_every_case([*((path, victim.account) for path in paths),
                       *((path, victim.order_ids[0]) for path in paths[:MANY])], check)  # fmt: skip


def test_every_path_of_the_api_is_one_the_walk_knows() -> None:
    """G12: what is routed and not in the document would not be walked."""
    waiting: list[tuple[str, list[URLPattern | URLResolver]]] = [("/api/v1/", urls.api)]
    found = set()
    while waiting:
        before, patterns = waiting.pop()
        for each in patterns:
            path = before + str(each.pattern)
            if isinstance(each, URLResolver):
                waiting.append((path, each.url_patterns))
            else:
                found.add(re.sub(r"<str:(\w+)>", r"{\1}", path))

    assert found <= set(templates())
