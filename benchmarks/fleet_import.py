"""Accounts imported a second: a whole file at once against the usual loop over its entries.

Ours reads strictly with line numbers, compares with what is stored, seals each key pair under a
data key of its own, and writes rows, versions and journal in one transaction. The rival loads the
same YAML and saves one model an account, both keys encrypted by its fields (Fernet, one key).

Run by the bench as `python -m benchmarks.fleet_import`, told by its environment.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.bench import Bench
from benchmarks.cores import MEASURED
from benchmarks.rows import Row, at_least, compared
from opitios.core.embedded.runfolder import write_private
from opitios.management.stack import accounts_yaml

ACCOUNTS = 1000
# Whoever does more for each account must not be slower for it.
WANTED_RATIO = 1.0

_TABLE = """
CREATE TABLE rival_account (account_id text PRIMARY KEY, account_type text, environment text,
    url text, api_key text, secret_key text);
GRANT ALL ON rival_account TO PUBLIC
"""


def run(bench: Bench) -> list[Row]:
    """Measure both sides in turns, each round with a thousand accounts more. Raises BenchError."""
    bench.start_servers()
    with psycopg.connect(bench.stack.database_urls()[1], autocommit=True) as owner:
        owner.execute(_TABLE)
    pairs = []
    for number in range(1, bench.effort.rounds + 1):
        bench.tell(f"fleet_import: round {number}")
        pairs.append((_rate(bench, "ours", number), _rate(bench, "stock", number)))
    return [
        compared(
            name="import_accounts_vs_one_by_one",
            unit="accounts/s",
            pairs=pairs,
            budget=at_least(WANTED_RATIO),
        )
    ]


def _rate(bench: Bench, side: str, number: int) -> float:
    """Accounts a second. Ours keeps those of the rounds before: a roster is whole."""
    first = 1 if side == "ours" else number
    text = "accounts:\n" + "".join(_entries(bench, each) for each in range(first, number + 1))
    path = bench.stack.run.path / f"import-{side}.yaml"
    write_private(path, text)
    said = bench.measure(__name__, MEASURED, BENCH_SIDE=side, BENCH_FILE=str(path))
    return ACCOUNTS / float(said["seconds"])


def _entries(bench: Bench, number: int) -> str:
    """The trading accounts of one round, under ids and keys of their own."""
    text = accounts_yaml(ACCOUNTS, url=bench.stack.addresses.sandbox_url)
    entries = [json.loads(line.removeprefix("  - ")) for line in text.splitlines()[1:]]
    return "".join(_renamed(entry, number) for entry in entries[:ACCOUNTS])


def _renamed(entry: dict[str, Any], number: int) -> str:
    name = f"round{number}_{entry['account_id']}"
    keys = {"api_key": f"SANDBOX_{name}", "secret_key": f"sandbox-secret-{name}"}
    return f"  - {json.dumps({**entry, 'account_id': name, 'alpaca_credentials': keys})}\n"


def _ours(path: Path) -> Callable[[], object]:
    from accounts import journal  # noqa: PLC0415 - Django is set up late
    from accounts.roster.files import accounts_in  # noqa: PLC0415
    from accounts.roster.importing import Import  # noqa: PLC0415
    from opitios.core.config import get_config  # noqa: PLC0415

    asked = Import(journal.system("bench"), source=path.name)
    return lambda: asked.run(lambda: accounts_in(path, config=get_config(), environ=os.environ))


def _stock(path: Path) -> Callable[[], object]:
    import yaml  # noqa: PLC0415 - only this side pays for them
    from cryptography.fernet import Fernet  # noqa: PLC0415
    from django.db import models  # noqa: PLC0415

    fernet = Fernet(Fernet.generate_key())

    class Encrypted(models.TextField):  # type: ignore[type-arg]
        def get_prep_value(self, value: str) -> str:
            return fernet.encrypt(value.encode()).decode()

    class RivalAccount(models.Model):
        account_id = models.TextField(primary_key=True)
        account_type = models.TextField()
        environment = models.TextField()
        url = models.TextField()
        api_key = Encrypted()
        secret_key = Encrypted()

        class Meta:
            app_label = "accounts"
            db_table = "rival_account"

        def __str__(self) -> str:
            return str(self.account_id)

    def load() -> None:
        for entry in yaml.safe_load(path.read_text())["accounts"]:
            keys = entry.pop("alpaca_credentials")
            RivalAccount(**entry, **keys).save(force_insert=True)

    return load


def main() -> None:
    """Import the file as one side does, and print one object."""
    import django  # noqa: PLC0415 - settings are those of the bench

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opitios.settings")
    django.setup(set_prefix=False)
    make = _ours if os.environ["BENCH_SIDE"] == "ours" else _stock
    load = make(Path(os.environ["BENCH_FILE"]))
    began = time.perf_counter()
    load()
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
