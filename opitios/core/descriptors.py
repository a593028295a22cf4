"""How many files and sockets this process may have open: a desk holds one for each account.

Systems allow a process 1024 of them as it comes, and far more to one that asks.
"""

import resource

# What is asked for where the system lets us: more than any process here needs.
PLENTY = 65_536
# Beside one an account: calls under way, databases, clients, logs.
BESIDE = 512


class TooFewDescriptors(Exception):
    """The system allows this process too few open files; the text says what to do."""


def make_room(accounts: int = 0) -> None:
    """Raise the limit of this process, and of what it starts, so that so many accounts fit.

    Raises TooFewDescriptors where the system's hard limit is lower than that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted, allowed = accounts + BESIDE, _count(hard)
    if allowed < wanted:
        raise TooFewDescriptors(
            f"{accounts} accounts need {wanted} open files, the system allows {allowed}: raise its"
            " hard limit (ulimit -Hn, LimitNOFILE= of systemd, nofile of the container)."
        )
    if _count(soft) < min(allowed, PLENTY):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(allowed, PLENTY), hard))


def _count(limit: int) -> int:
    return PLENTY if limit == resource.RLIM_INFINITY else limit
