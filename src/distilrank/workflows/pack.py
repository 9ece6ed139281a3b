"""``distilrank pack``: what a ranker is run by, with its weights in 8 or 4 bits, in a folder to be handed over."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from distilrank.data.files import atomic_write_bytes, file_hash, read_json, write_manifest
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.export.int8 import load_graph
from distilrank.export.quality import Verdict, judge
from distilrank.export.quantise import Recipe, quantise
from distilrank.runtime.pair_network import PairNetwork
from distilrank.runtime.session import open_session
from distilrank.workflows.export import Int8Settings, judged_queries, ranked_by
from distilrank.workflows.whole_folder import is_done, whole_folder

VERB = "pack"

FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "calibration.json",
    "README.md",
)
"""Copied as they are, those that there are."""

RECIPE = Recipe(arithmetic="avx512_vnni", activations="float")
"""Signed weights with a scale per column; no processor's 8-bit arithmetic is used."""

Bits = Literal[8, 4]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What ``pack`` leaves behind.

    Attributes:
        folder: The packed model.
        told: How the packed file ranks beside the float one, a sentence without its full stop.
    """

    folder: Path
    told: str

    @property
    def megabytes(self) -> float:
        """Size of the whole folder, in units of 1,000,000 bytes."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / 1e6

    def sentence(self) -> str:
        """Say it."""
        return f"weights in few bits: {self.told}"


def pack(
    model: Path,
    out: Path,
    *,
    data: str,
    settings: Int8Settings,
    embedding_bits: Bits = 8,
    weight_bits: Bits = 8,
    run: str | None = None,
    collection: Path | None = None,
    overwrite: bool = False,
    offline: bool = False,
) -> Packed:
    """Make the folder, if the ranker in it ranks as well as the float one.

    Args:
        model: Folder of a ranker with ``onnx/model.onnx``.
        out: Folder to make.
        data: With the queries that decide; see ``evaluate_ranking``.
        settings: Of the judgement: split, margin, depth and number of queries.
        embedding_bits: Of word embeddings.
        weight_bits: Of the layers' matrices.
        run: Candidates; None takes the data's, or BM25's.
        collection: The file of passages where it is not in the folder.
        overwrite: Allow another packed model to be replaced.
        offline: Never use the network.

    Raises:
        ModelError: There is no float export, or with weights in few bits it loses more than the margin.
        InputError: ``out`` holds something that ``pack`` did not make.
    """
    float_file = model / "onnx" / "model.onnx"
    graph, tokenizer = load_graph(float_file), PairTokenizer.from_folder(model)
    inputs = {"model": float_file}
    told = {
        "margin": settings.margin,
        "split": settings.split,
        "data": Path(data).name,
        "embedding_bits": embedding_bits,
        **({} if weight_bits == 8 else {"weight_bits": weight_bits}),  # so that folders of before are known again
    }
    digests = {name: file_hash(path) for name, path in inputs.items()}
    if is_done(out, verb=VERB, settings=told, inputs=digests, overwrite=overwrite):
        return Packed(folder=out, told=str(read_json(out / "manifest.json")["told"]))
    recipe = replace(RECIPE, embedding_bits=embedding_bits, weight_bits=weight_bits)
    content = quantise(graph, recipe, {}).SerializeToString()
    judged = judged_queries(data, settings=settings, run=run, collection=collection, offline=offline)
    small, floating = (
        ranked_by(PairNetwork(open_session(each), tokenizer), judged, name=model.resolve().name)
        for each in (content, graph.SerializeToString())
    )
    verdict = judge(small, floating, batch_change=0.0, margin=settings.margin)
    if not verdict.passed:
        raise ModelError(f"{model} is not packed: {_clause(verdict)}; allow more with --margin")
    with whole_folder(out) as folder:
        for name in FILES:
            if (model / name).is_file():
                shutil.copyfile(model / name, folder / name)
        atomic_write_bytes(folder / "onnx" / "model.onnx", content)
        kept = read_json(model / "manifest.json") if (model / "manifest.json").is_file() else {}
        extra = {"told": verdict.sentence(), "verdict": verdict.as_dict(), "card": kept.get("card")}
        outputs = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        write_manifest(folder, verb=VERB, settings=told, inputs=inputs, outputs=outputs, extra=extra)
    return Packed(folder=out, told=verdict.sentence())


def _clause(verdict: Verdict) -> str:
    return f"{'; '.join(verdict.problems)} ({verdict.sentence()})"
