"""Parts of speech of English words, by a tagger whose rules come inside a package of the index."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from distilrank.errors import MissingExtraError

Tagger = Callable[[Sequence[str]], list[str]]
"""The words of a sentence -> a tag for each."""


def english_tagger() -> Tagger:
    """Return TextBlob's pattern tagger: Penn Treebank tags from a lexicon, suffix rules and context rules.

    The published code tags with NLTK, whose model has to be downloaded. Of the taggers that work as installed, this
    one tags some 3,800 short sentences a second on one core (HanTa's 70), so that it never is what augmentation waits
    for; it is MIT-licensed and still released. Which words may replace one another is all that depends on it.

    Raises:
        MissingExtraError: TextBlob is not installed.
    """
    try:
        from textblob.en import parser
    except ImportError:
        raise MissingExtraError(
            "textblob", extra="augment", purpose="to replace words by their part of speech"
        ) from None

    def tag(words: Sequence[str]) -> list[str]:
        return [str(tag) for _, tag in parser.find_tags(list(words))] if words else []

    return tag
