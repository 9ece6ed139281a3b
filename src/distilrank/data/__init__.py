"""Files into records and back: BEIR, MS MARCO, TREC, groups and classification, with any compression.

Knows no model and needs no torch. Every reader takes ``bad``, a `BadLines` that says how many bad lines may
be skipped; without it the first bad line is an `InputError` that names the file and the line.
"""
