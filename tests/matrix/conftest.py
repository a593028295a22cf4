"""What the matrix shares. Models are imported late: Django is set up after this."""

from tests.trading.conftest import account, desk, sandbox, step, trading_account

__all__ = ["account", "desk", "sandbox", "step", "trading_account"]
