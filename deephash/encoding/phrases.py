"""Phrases as words: what counts as one, and how often each of a vocabulary occurs. Without torch."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deephash.errors import UsageError

NEAR = 0.75  # likeness from which one word may be another one misspelt; at 0.5, purple is like square
_WORD = re.compile(r"[^\W_]+")
# fmt: off
_STOP_WORDS = frozenset((
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "he", "her", "his", "in", "into", "is", "it",
    "its", "of", "on", "or", "she", "that", "the", "their", "they", "this", "to", "was", "were", "while", "who", "with",
))
# fmt: on


def checked_phrase(phrase: Any) -> str:
    """Return ``phrase`` stripped. Raises UsageError unless it is a str with something in it."""
    if not isinstance(phrase, str):
        raise UsageError(f"a text query is a str, not {type(phrase).__name__}")
    if not phrase.strip():
        raise UsageError("the phrase is empty; give at least one word, for example: two dogs on a beach")
    return phrase.strip()


def words_of(text: str) -> list[str]:
    """Return the lower-case words and numbers of ``text``, English function words left out."""
    return [word for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]


def word_counts(text: str, columns: Mapping[str, int], width: int) -> NDArray[np.float32]:
    """Return how often each word of a vocabulary occurs, float32 [width]; others are passed over."""
    counts = np.zeros(width, np.float32)
    for word in words_of(text):
        column = columns.get(word)
        if column is not None:
            counts[column] += 1
    return counts


def unknown_words(text: str, columns: Mapping[str, int]) -> list[str]:
    """Return the words of ``text`` that a vocabulary lacks, once each; they have no effect."""
    return list(dict.fromkeys(word for word in words_of(text) if word not in columns))


def unknown_note(unknown: Sequence[tuple[str, str | None]]) -> str:
    """Return the sentence that names words without effect, with what may have been meant; empty for none."""
    if not unknown:
        return ""
    known = [f"{word!r}" + (f" (did you mean {near!r}?)" if near else "") for word, near in unknown]
    return f"{' and '.join(known)} {'is' if len(known) == 1 else 'are'} not known to the model, so without effect"


def near_word(word: str, columns: Mapping[str, int]) -> str | None:
    """Return the known word that ``word`` may be a misspelling of; None where none is near."""
    close = difflib.get_close_matches(word, list(columns), n=1, cutoff=NEAR)
    return close[0] if close else None


def with_near(words: Sequence[str], columns: Mapping[str, int]) -> list[tuple[str, str | None]]:
    """Return each word with the known one it may be a misspelling of."""
    return [(word, near_word(word, columns)) for word in words]


def known_counts(phrase: Any, columns: Mapping[str, int], width: int, called: str) -> NDArray[np.float32]:
    """Return the counts of a query. Raises UsageError where no word of it is known."""
    counts = word_counts(checked_phrase(phrase), columns, width)
    if not counts.any():
        near = [known for _, known in with_near(unknown_words(phrase, columns), columns) if known]
        hint = f"; did you mean {' '.join(near)!r}?" if near else "."
        raise UsageError(
            f"no word of {phrase!r} is among the {len(columns)} words that {called} learned from its training texts"
            f"{hint} It knows, for example: {', '.join(list(columns)[:8])}",
            remedy="To search by any phrase, index with a text tower: "
            "deephash index PICTURES --model clip:ViT-B-32/laion2b_s34b_b79k",
        )
    return counts


def english_phrase(phrase: Any, called: str) -> str:
    """Return the text of a query for a tower of English captions. Raises UsageError for scripts it never learned."""
    text = checked_phrase(phrase)
    letters = [letter for letter in text if letter.isalpha()]
    if letters and not any(letter < "\u0250" for letter in letters):  # beyond Latin
        raise UsageError(
            f"the text tower of {called} learned English captions and cannot read {text!r}. Translate the phrase",
            remedy="Or index with a tower of many languages: --model clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
        )
    return text
