"""`python -m tests.support.settled PROGRAM …`: a program under the tests' settings, no servers.

For checkers that import Django's settings, such as mypy's plugin.
"""

import os
import sys

from tests.support import environment
from tests.support.manage import NOWHERE


def main() -> None:
    """Become the program, found beside this interpreter."""
    program, *arguments = sys.argv[1:]
    path = os.path.join(os.path.dirname(sys.executable), program)  # noqa: PTH118, PTH120 - not resolved
    told = os.environ | environment.settings(NOWHERE, "main")
    os.execve(path, [program, *arguments], told)  # noqa: S606 - its whole purpose


if __name__ == "__main__":
    main()
