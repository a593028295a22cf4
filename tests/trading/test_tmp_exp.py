import pytest
from opitios.core import clock
from tests.support.orders import place
from tests.support.until import until
from tests.trading.outages import proxied_postgres
from tests.trading.test_placing_in_outages import answers_again
@pytest.mark.django_db
@pytest.mark.parametrize("away",[1.2,3.3,7.5])
def test_x(account, away):
    with proxied_postgres() as p:
        place(account,"warm")
        p.vanish()
        end=clock.monotonic()+away
        while clock.monotonic()<end: assert not answers_again(account)
        p.come_back()
        t=clock.monotonic()
        until(lambda: answers_again(account), seconds=30)
        print("AWAY",away,"recovered after",clock.monotonic()-t)
