"""The study: every paper's claim put to the test on real data, by one command.

``python -m study plan`` prints what will be run, what it costs and which questions it answers; ``run`` runs it, cell by
cell; ``tables`` writes docs/results.md from what was found; ``repeat`` runs cells again and compares their numbers.
"""
