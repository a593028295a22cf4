"""What the fleet's tests share: a broker. Models are imported late, Django is set up after this."""

from tests.trading.conftest import sandbox

__all__ = ["sandbox"]
