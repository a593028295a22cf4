"""The page of start-up checks has every id of the code, and says the same of each."""

import re

from opitios.core.startup import ACCEPTABLE
from tests.docs.pages import ROOT, page

_ROW = re.compile(r"^\| `((?:opitios|accounts)\.[EW]\d{3})` \| (.+?) \| .+ \| .+ \|$", re.MULTILINE)
_ID = re.compile(r'"((?:opitios|accounts)\.[EW]\d{3})"')
SOURCES = ("accounts/checks.py", "opitios/checks.py", "opitios/core/startup.py")


def test_the_table_of_checks_is_that_of_the_code() -> None:
    rows = _ROW.findall(page("docs/checks.md"))
    code = {number for source in SOURCES for number in _ID.findall((ROOT / source).read_text())}

    assert sorted(number for number, _ in rows) == sorted(code)
    assert len(dict(rows)) == len(rows)
    for number, ends in rows:
        assert ends.startswith("yes") is ("E" in number.partition(".")[2]), number
        assert ("may be accepted" in ends) is (number in ACCEPTABLE), number
