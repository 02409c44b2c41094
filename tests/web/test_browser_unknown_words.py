"""Words that the model never learned are named on the page, without a word about the shell."""

import pytest

pytestmark = pytest.mark.browser


def ask(visit, words: str) -> None:
    visit.page.fill("#dh-words :is(input, textarea)", words)
    visit.page.click("#dh-go")


def test_a_word_that_is_not_known_is_named_beside_the_answer(visit):
    visit.open("?collection=colours")
    ask(visit, "gren shoos, something red")
    visit.page.wait_for_selector("#dh-status >> text=not known")
    said = visit.page.inner_text("#dh-status")
    assert "'gren' (did you mean 'green'?) and 'shoos' are not known to the model" in said
    ask(visit, "something red")
    visit.page.wait_for_function("() => !document.querySelector('#dh-status').innerText.includes('not known')")


def test_words_of_which_none_is_known_get_no_far_fetched_suggestion(visit):
    visit.open("?collection=colours")
    ask(visit, "purple elephant")  # "purple" was once taken for "square"
    said = visit.page.wait_for_selector("#dh-results .dh-error").inner_text()
    assert "no word of 'purple elephant'" in said
    assert "red" in said
    assert "did you mean" not in said
    assert "deephash index" not in said
