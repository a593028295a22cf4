"""docs/errors.md, made from the enum of reasons: `python -m tests.support.errors_page`."""

from pathlib import Path

from opitios.core.errors import Reason

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"

HEAD = """\
# Reasons

Every refusal of ours is `application/problem+json`; what cannot be read as a request at all is
refused before, with a bare status ([deploy.md](deploy.md)). A program decides by `reason` (the last
part of `type`) and by `retry`; `detail` and `message` are for people and may change.

| `retry` | what is safe |
|---|---|
| `never` | nothing is to be repeated |
| `same_key` | the same request with the same `Idempotency-Key`: it is stored once or replayed |
| `new_key` | a new request under a new key |
| `after_fix` | the request as it is will be refused again: correct it first |

`code` is Alpaca's own where the broker refused (`origin: broker`), else one of these: the status, a
9, and a number. What the broker refused keeps its status (400, 403 or 422) and its extra fields.
Made from `opitios/core/errors.py` by `python -m tests.support.errors_page`.

| status | `reason` | `code` | `retry` | meaning | what to do next |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Write the page, reasons by code."""
    rulings = sorted((reason.value for reason in Reason), key=lambda ruling: ruling.code)
    rows = [
        f"| {ruling.status} | `{ruling.slug}` | {ruling.code} | `{ruling.retry}` | {ruling.title} |"
        f" {ruling.next} |"
        for ruling in rulings
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
