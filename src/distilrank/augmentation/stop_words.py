"""English words that carry grammar rather than meaning, which the published augmentation never replaces."""

from __future__ import annotations

STOP_WORDS = frozenset(
    # articles, pronouns, possessives
    "a an the i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she "
    "her hers herself it its itself they them their theirs themselves this that these those who whom whose which what "
    # forms of be, have, do, and modal verbs
    "am is are was were be been being have has had having do does did doing can could will would shall should may "
    "might must "
    # conjunctions and prepositions
    "and or but nor if because as until while than so though although since unless of at by for with about against "
    "between into through during before after above below to from up down in out on off over under upon within "
    # adverbs and quantifiers without content of their own
    "not no too very only just then there here when where why how again further once more most other some such any "
    "all both each few own same also now ever "
    # what is left of contractions once punctuation stands apart
    "s t d ll m o re ve don didn doesn isn aren wasn weren won wouldn couldn shouldn hasn haven hadn ain mustn "
    "needn".split()
)
"""Our own list, in lower case; the published code has one like NLTK's."""
