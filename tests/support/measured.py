"""Which processes coverage measures: it tells them so in their environment."""

import os

_TOLD = "COVERAGE_PROCESS_CONFIG"


def withhold() -> dict[str, str]:
    """Let processes started from now on go unmeasured; what undoes that, for the environment."""
    told = os.environ.pop(_TOLD, None)
    return {} if told is None else {_TOLD: told}


def unmeasured() -> dict[str, str]:
    """This process's environment for one that is not measured."""
    return {name: value for name, value in os.environ.items() if name != _TOLD}
