"""The data doctor: what is wrong with data before it is trained on, in a few sentences.

Duplicates and near-duplicates across splits, judged ids missing from the collection, empty texts, lengths
against the token limit, label order and balance.
"""

from __future__ import annotations

from distilrank.evaluation.diagnostics.classification import diagnose_classification
from distilrank.evaluation.diagnostics.collection import scan_collection
from distilrank.evaluation.diagnostics.findings import Diagnosis, Finding
from distilrank.evaluation.diagnostics.ranking import diagnose_ranking

__all__ = ["Diagnosis", "Finding", "diagnose_classification", "diagnose_ranking", "scan_collection"]
