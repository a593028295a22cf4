"""Become a program that dies with the process that started it.

Run by its path with `python -I -S`, so that it needs nothing but the standard library and costs
milliseconds: `child.py PARENT_PID SIGNAL UID:GID|- PROGRAM ARGUMENT…`. It is replaced by the
program, whose command line is then its own.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel for this signal when the thread that started this process ends.

    A change of user clears it, so privileges are dropped first. Raises OSError where refused.
    """
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Become the parent of every grandchild whose own parent dies, so that none is lost."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl")


def main(arguments: Sequence[str]) -> None:
    """Drop privileges, tie this process to its parent, and turn into the program."""
    parent, death_signal, account, *program = arguments
    if account != "-":
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    die_with_parent(int(death_signal))
    if os.getppid() != int(parent):
        # The parent died before the kernel knew of the tie; nobody would ever stop the program.
        sys.exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execvp(program[0], program)  # noqa: S606 - its whole purpose # nosec B606


if __name__ == "__main__":
    main(sys.argv[1:])
