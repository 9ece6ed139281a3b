"""What students cost in the runtime: before any training, and as they are deployed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distilrank.data.files import atomic_write_bytes, read_json, write_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.export.channels import choose_channels
from distilrank.export.int8 import load_graph
from distilrank.export.onnx import export_onnx
from distilrank.export.quantise import Recipe, quantise
from distilrank.export.ranges import measure_ranges
from distilrank.models.load import weights_identity
from distilrank.runtime.cpu import this_cpu
from distilrank.runtime.folder import Precision, machine, network_file
from distilrank.runtime.pair_network import PairNetwork
from distilrank.runtime.ranker import Ranker
from distilrank.runtime.session import open_session
from distilrank.workflows.compare_measuring import MeasuredOn
from distilrank.workflows.evaluate import JudgedQueries
from distilrank.workflows.export import Int8Settings, export_quantised
from distilrank.workflows.finish import RUN
from distilrank.workflows.search_budget import Form, Vocabulary
from distilrank.workflows.search_shapes import Shape
from distilrank.workflows.speed import ms_per_100
from distilrank.workflows.trim import TrimSettings, trim
from distilrank.workflows.whole_folder import whole_folder

TIMED = 100
"""Pairs that time is taken on, spread over the queries and ranks of the split."""

Teachers = dict[Vocabulary, tuple[PreTrainedModel, PairTokenizer]]

BESIDE = ("tokenizer.json", "tokenizer_config.json")
"""What the runtime reads of a folder besides the network's file and, in 8 bits, the record of its gate."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What everything is measured on.

    Attributes:
        data: Folder of the data.
        test: Whose queries, and how many candidates of each.
        judged: The same, opened.
        pairs: That time is taken on.
        threads: Of a forward pass; None: one per core.
        offline: Never use the network.
        say: Told what goes on.
    """

    data: str
    test: MeasuredOn
    judged: JudgedQueries
    pairs: Sequence[tuple[str, str]]
    threads: int | None
    offline: bool
    say: Callable[[str], None]

    @property
    def identity(self) -> dict[str, object]:
        """What else makes another measurement: the machine, its threads and the test."""
        return {"threads": self.threads, "machine": machine(), "test": self.test.arguments}


def untrained_forms(
    shape: Shape,
    teachers: Teachers,
    bench: Bench,
    *,
    precisions: Sequence[Precision],
    max_tokens: int,
    record: Path,
    teacher: str,
) -> list[Form]:
    """Measure a network of a shape with the weights that it starts from, which are as fast and as large as any.

    Time is taken with the first vocabulary: a forward pass costs the same with any. Where no 8-bit file can be made,
    there is no such form.

    Args:
        shape: The shape.
        teachers: Vocabulary -> the teacher with it, and its tokeniser.
        bench: What is measured on.
        precisions: Which are tried.
        max_tokens: Longest pair.
        record: File that the result is kept in; it is read instead where it is of the same.
        teacher: Identity of its weights.
    """
    options = {"shape": shape.name, "precisions": [*precisions], "vocabularies": [*teachers], "tokens": max_tokens}
    of = {**options, "teacher": teacher, **bench.identity}
    if not _is_of(record, of):
        with tempfile.TemporaryDirectory() as scratch:
            sizes: dict[Vocabulary, dict[Precision, float]] = {}
            networks: dict[Precision, PairNetwork] = {}
            for vocabulary, whole in teachers.items():
                student, own = shape.student.build(*whole, seed=0, offline=bench.offline)
                own, folder = own.with_max_tokens(max_tokens), Path(scratch) / vocabulary
                own.save(folder)
                export_onnx(student, own, folder)
                files = _files(folder, own, bench.pairs, precisions)
                sizes[vocabulary] = {each: _megabytes([file, *_beside(folder)]) for each, file in files.items()}
                for precision, file in files.items():
                    if precision not in networks:
                        networks[precision] = PairNetwork(open_session(file, threads=bench.threads), own)
            times = _times(networks, bench.pairs)
        write_json(record, {"of": of, "ms_per_100": times, "megabytes": sizes})
    found = read_json(record)
    return [
        Form(
            shape=shape.name,
            vocabulary=vocabulary,
            precision=precision,
            ms_per_100=found["ms_per_100"][precision],
            megabytes=megabytes,
        )
        for vocabulary, of_each in found["megabytes"].items()
        for precision, megabytes in of_each.items()
    ]


def _files(
    folder: Path, tokenizer: PairTokenizer, pairs: Sequence[tuple[str, str]], precisions: Sequence[Precision]
) -> dict[Precision, Path]:
    """Return precision -> file of an exported network, in 8 bits by the fastest recipe and without a gate."""
    files: dict[Precision, Path] = {"fp32": folder / "onnx" / "model.onnx"}
    if "int8" in precisions:
        try:
            graph = load_graph(files["fp32"])
        except ModelError:
            return files
        recipe = Recipe(arithmetic=this_cpu().arithmetic)
        channels = choose_channels(graph, measure_ranges(graph, tokenizer, pairs), recipe.arithmetic)
        small = quantise(graph, recipe, channels).SerializeToString()
        files["int8"] = files["fp32"].with_name(recipe.file_name)
        atomic_write_bytes(files["int8"], small)
    return files


def deployed_files(folder: Path, precision: Precision) -> list[Path]:
    """Return all that ``Ranker`` needs of a folder; a folder with nothing else ranks the same.

    These are the network's one file (for 8 bits, with the record of how it was judged) and the tokeniser's two.
    """
    gate = [folder / "onnx" / "quality.json"] if precision == "int8" else []
    return [network_file(folder, precision), *gate, *_beside(folder)]


def _beside(folder: Path) -> list[Path]:
    return [folder / name for name in BESIDE]


def _megabytes(files: Sequence[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 1e6


def _times(scorers: Mapping[Precision, Any], pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    return ms_per_100({name: partial(scorer.score, pairs) for name, scorer in scorers.items()}, len(pairs))


def deployed_forms(cell: Path, folder: Path, wanted: Sequence[Form], bench: Bench) -> list[Form]:
    """Put a trained student into one vocabulary and its precisions, and measure it as it would be deployed.

    Args:
        cell: Folder of the student.
        folder: That is made: the student, trimmed if so wished, exported; ``<folder>.json`` keeps what was found.
        wanted: Forms of one shape and vocabulary, with what they took before the training.
        bench: What is measured on.

    Returns:
        Those that passed, with what they take now; 8 bits do not always.
    """
    record = folder.with_name(f"{folder.name}.json")
    asked = [form.precision for form in wanted]
    of = {"student": weights_identity(cell), "precisions": asked, **bench.identity}
    if not _is_of(record, of):
        write_json(record, {"of": of, **_deploy(cell, folder, wanted[0].vocabulary, asked, bench)})
    content = read_json(record)
    if content["refused"]:
        bench.say(f"refused: {next(form for form in wanted if form.precision == 'int8').name}: {content['refused']}")
    found = content["found"]
    return [Form(**{**asdict(form), **found[form.precision]}) for form in wanted if form.precision in found]


def _deploy(
    cell: Path, folder: Path, vocabulary: Vocabulary, precisions: Sequence[Precision], bench: Bench
) -> dict[str, object]:
    """Make the folder; return why 8 bits were refused, and what was measured in each precision that was not."""
    if vocabulary == "trimmed":
        command = f"distilrank trim {cell} --data {bench.data} --out {folder}"
        told: dict[str, Any] = {"settings": TrimSettings(), "command": command, "offline": bench.offline}
        trim(str(cell), folder, data=Path(bench.data), overwrite=True, **told)
    else:
        with whole_folder(folder) as partial_folder:
            leave_out = shutil.ignore_patterns(RUN, "measured", "commands.txt")
            shutil.copytree(cell, partial_folder, dirs_exist_ok=True, ignore=leave_out)
    refused = _quantised(folder, bench) if "int8" in precisions else None
    rankers: dict[Precision, Ranker] = {
        precision: Ranker.load(folder, precision=precision, threads=bench.threads)
        for precision in precisions
        if precision == "fp32" or refused is None
    }
    times = _times(rankers, bench.pairs)
    found = {}
    for precision, ranker in rankers.items():
        _, measured = bench.judged.measure(ranker, name=f"{folder.name} {precision}")
        found[precision] = {
            "ms_per_100": times[precision],
            "megabytes": _megabytes(deployed_files(folder, precision)),
            "per_query": dict(measured.per_query[measured.names[0]]),
        }
    return {"refused": refused, "found": found}


def _quantised(folder: Path, bench: Bench) -> str | None:
    """Export in 8 bits behind the gate; return why it was refused, or None."""
    test = bench.test
    settings = Int8Settings(split=test.split, depth=test.depth, max_queries=test.max_queries)
    try:
        made = export_quantised(
            folder, data=bench.data, settings=settings, run=test.run, offline=bench.offline, say=bench.say
        )
    except ModelError as error:
        return str(error)
    return None if made.path else "; ".join(made.trials[-1].verdict.problems)


def leave_winner(folder: Path, out: Path, precision: Precision) -> None:
    """Copy a student to ``out``, whole or not at all, with what ``Ranker`` would choose instead of fp32 left out."""
    others = () if precision == "int8" else ("model_q*.onnx", "quality.json")
    with whole_folder(out) as partial_folder:
        shutil.copytree(folder, partial_folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*others))


def _is_of(record: Path, of: Mapping[str, object]) -> bool:
    """Tell whether a record was made of just this."""
    return record.is_file() and read_json(record)["of"] == of
