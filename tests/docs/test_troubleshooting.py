"""Whoever gets a reason finds it explained."""

import re

from opitios.core.errors import Reason
from tests.docs.pages import page

_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)
_SLUG = re.compile(r"`([a-z-]+)`")


def test_every_reason_has_a_heading_and_every_heading_a_reason() -> None:
    headings = _HEADING.findall(page("docs/troubleshooting.md"))

    explained = [slug for heading in headings for slug in _SLUG.findall(heading)]

    assert sorted(explained) == sorted(reason.slug for reason in Reason)


def test_the_status_in_a_heading_is_that_of_the_reason() -> None:
    headings = "\n".join(_HEADING.findall(page("docs/troubleshooting.md")))
    statuses = {reason.slug: str(reason.value.status) for reason in Reason}

    said = dict(re.findall(r"`([a-z-]+)` \((\d{3})", headings))

    assert said
    assert said == {slug: statuses[slug] for slug in said}
