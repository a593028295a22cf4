"""OCC symbols that are none: refused before anybody is asked (H113, H114)."""

from collections.abc import Iterable

import pytest

from tests.api.calls import Api
from tests.hostile.corpus import in_every_case, order, refused, untouched
from tests.hostile.test_symbols import escaped
from tests.support.accounts import token

pytestmark = pytest.mark.django_db

GOOD = "AAPL261218C00200000"


@pytest.fixture
def api(there: Api) -> Api:
    """An account at a broker that answers, and a token that may also read quotes."""
    there.token = token([there.account], permissions=("account_read", "trade", "market_data"))
    return there


def no_contracts(api: Api, symbols: Iterable[str]) -> None:
    """Each of these is no contract, alone or beside a good one, and no stock either."""

    def check(symbol: str) -> None:
        word = escaped(symbol)
        refused(api.get(f"/api/v1/options/quote/{word}"), 400, 404)
        refused(api.get(f"/api/v1/options/quotes?symbols={GOOD},{word}"), 400)
        refused(api.place(order(symbol=symbol)), 400, 422)

    with untouched(api.account):
        in_every_case(symbols, check)


def test_h113_occ_symbols_of_another_shape(api: Api) -> None:
    no_contracts(api, [
        GOOD[:-1], GOOD + "0", GOOD.lower(), GOOD.replace("C", "c"), GOOD.replace("C", "X"),
        GOOD.replace("C", "CP"), "AAPL  261218C00200000", "AAPL 261218C00200000", f" {GOOD}",
        f"{GOOD} ", f"{GOOD}\n", f"{GOOD}\x00", "ABCDEFG261218C00200000", "261218C00200000",
        "AAPL20261218C00200000", "AAPL2612C00200000", "AAPL261218C200", "AAPL261218C200.00",
        "AAPL261218-C-00200000", "AAPL_261218C200", "O:AAPL261218C00200000", f"{GOOD}/../x",
        "\uff21APL261218C00200000", "AAPL26121\u0668C00200000", "AAPL261218\u042100200000",
        "AAPL12261218C00200000", "A.B261218C00200000", GOOD * 50, "AAPL261218C", "C00200000",
    ])  # fmt: skip


def test_h114_occ_symbols_of_days_that_are_none(api: Api) -> None:
    days = ("260230", "260229", "270229", "260431", "260631", "260931", "261131", "261301",
            "260001", "260100", "260132", "269999", "000000", "999999", "261232", "260400",
            "261200", "260731x", "26 718", "-60718", "2607180", "+60718")  # fmt: skip
    strikes = ("0020000", "002000000", "-0200000", "002e0000", "0020000.", "99999999999", "")

    no_contracts(api, [*(f"AAPL{day}C00200000" for day in days),
                       *(f"AAPL261218P{strike}" for strike in strikes)])  # fmt: skip
