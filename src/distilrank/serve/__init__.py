"""Rankers and classifiers behind HTTP, in the forms of Cohere, Jina, infinity and text-embeddings-inference; no torch.

A request goes through ``gate`` (keys, limits, log), ``application`` (routes; ``forms`` holds what they read and
answer), ``scoring`` and ``batching`` (the queue that all requests share). ``models`` holds what is served and replaces
it while requests go on; ``server`` starts and stops the whole.
"""
