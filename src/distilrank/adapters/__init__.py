"""Rankers in the frameworks that users already have; one file each, imported only where its framework is installed.

An adapter adds no behaviour of its own: batching, truncation and windows of long passages are the ``Ranker``'s, which
is loaded with the options wanted and handed in.
"""
