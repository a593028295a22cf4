"""What the matrix shares. Models are imported late: Django is set up after this."""

from tests.trading.conftest import account, calls, desk, sandbox, step, trading_account

__all__ = ["account", "calls", "desk", "sandbox", "step", "trading_account"]
