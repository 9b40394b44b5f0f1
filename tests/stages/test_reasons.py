"""The table of reasons: complete, and in the words that clients know."""

import pytest

from gateway.stages.reasons import Reason


def test_the_reasons_are_the_words_clients_know() -> None:
    """The five reasons about values and the ten about the whole request have the names clients know."""
    assert {"disallowed_value", "alias", "wrong_type", "missing", "weight_sum"} == {
        reason for reason in Reason if not reason.is_whole
    }
    assert {
        *("unparseable", "ambiguous_json", "content_type", "charset", "encoding"),
        *("encoding_bad", "too_large", "ambiguous_path", "method_override", "internal_error"),
    } == {reason for reason in Reason if reason.is_whole}


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_its_word(reason: Reason) -> None:
    """A reason is found by its word, which is what metrics, headers and documents write."""
    assert Reason(str(reason)) is reason  # type: ignore[call-arg]  # found by its word, not made
    assert f"{reason}" == reason.value == reason.name.lower()


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_all_that_a_refusal_says(reason: Reason) -> None:
    """Status, headline and detail are there, and a detail has a place for what was found or nothing to fill in."""
    assert 400 <= reason.status <= 500
    assert reason.headline
    assert reason.detail.format(found="1 of 2").replace("1 of 2", "{found}") == reason.detail
