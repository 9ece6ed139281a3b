"""The mechanism of training: loop, optimiser, precision and processes, resume and journal; knows no paper.

``loop.train`` is the door; the only package that imports accelerate.
"""
