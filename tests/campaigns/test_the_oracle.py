"""The oracle says nothing of an honest story, and why orders of others lapsed."""

from tests.campaigns import honest
from tests.campaigns.oracle import compare
from tests.campaigns.story import Story
from tests.campaigns.tampering import row_of, said_of


def test_an_honest_story_has_no_disagreement() -> None:
    found = compare(honest.story())

    assert found.disagreements == []
    assert found.lapses.as_json() == {
        "lapsed": 1,
        "claimed_at_a_kill": 0,
        # Cancelled or not, its deadline came while nothing could be sent.
        "deadline_in_an_outage": 2,
        "struck_by_a_fault": 0,
        "unexplained": 0,
    }


def _no_outage(story: Story) -> None:
    story.outages.clear()


def test_an_order_that_lapsed_although_nothing_was_in_its_way_is_named() -> None:
    assert said_of(_no_outage) == ["late lapsed although nothing was in its way"]


def _its_desk_was_killed(story: Story) -> None:
    story.outages.clear()
    story.books.attempts["late"] = [{**story.books.attempts["filled"][0], "outcome": None}]
    row_of(story, "late").update(reason="not-at-broker", attempts=1)


def test_a_lapse_is_explained_by_a_claim_without_an_end() -> None:
    story = honest.story()
    _its_desk_was_killed(story)

    found = compare(story).lapses

    assert found.claimed_at_a_kill == {"late"}
    assert not found.unexplained
