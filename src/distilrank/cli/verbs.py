"""The verbs of ``distilrank``: the one list from which commands and help are made."""

from __future__ import annotations

from collections.abc import Callable

from distilrank.cli.augment import augment
from distilrank.cli.average import average
from distilrank.cli.bench import bench
from distilrank.cli.calibrate import calibrate
from distilrank.cli.check import check
from distilrank.cli.choose_negatives import choose_negatives
from distilrank.cli.compare import compare
from distilrank.cli.convert import convert
from distilrank.cli.distil import distil
from distilrank.cli.encode import encode
from distilrank.cli.evaluate import evaluate
from distilrank.cli.export import export
from distilrank.cli.fine_tune import fine_tune
from distilrank.cli.fit_mlm_head import fit_mlm_head
from distilrank.cli.general_distil import general_distil
from distilrank.cli.glue_submission import glue_submission
from distilrank.cli.mix_scores import mix_scores
from distilrank.cli.pack import pack
from distilrank.cli.prepare import prepare
from distilrank.cli.quickstart import quickstart
from distilrank.cli.rank import rank
from distilrank.cli.search import search
from distilrank.cli.serve import serve
from distilrank.cli.teach import teach
from distilrank.cli.trim import trim

VERBS: dict[str, Callable[..., None]] = {
    "quickstart": quickstart,
    "prepare": prepare,
    "teach": teach,
    "mix-scores": mix_scores,
    "choose-negatives": choose_negatives,
    "fine-tune": fine_tune,
    "fit-mlm-head": fit_mlm_head,
    "augment": augment,
    "general-distil": general_distil,
    "distil": distil,
    "encode": encode,
    "evaluate": evaluate,
    "compare": compare,
    "search": search,
    "glue-submission": glue_submission,
    "rank": rank,
    "export": export,
    "calibrate": calibrate,
    "pack": pack,
    "check": check,
    "bench": bench,
    "serve": serve,
    "average": average,
    "convert": convert,
    "trim": trim,
}
