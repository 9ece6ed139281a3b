from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from distilrank.data.files import read_json
from distilrank.errors import InputError, ModelError
from distilrank.export import int8 as module
from distilrank.export import quantise as quantise_module
from distilrank.export.int8 import export_int8
from distilrank.export.onnx import export_onnx, write_float
from distilrank.export.quality import Scored
from distilrank.export.quantise import Recipe
from distilrank.runtime import cpu as cpu_module
from distilrank.runtime import folder as folder_module
from distilrank.runtime.cpu import Cpu
from distilrank.runtime.ranker import Ranker
from distilrank.scorer import Scorer
from tests.export.exported import PASSAGES, Judge, exported_ranker
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

PAIRS = tiny_pairs(40)
NAME = "model_qint8_avx512_vnni.onnx"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_ranker(tmp_path_factory.mktemp("models") / "student")


@pytest.fixture(scope="module")
def judged(made: Path) -> Judge:
    return Judge(made)


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same processor wherever the tests run."""
    pretend(monkeypatch, "avx512_vnni")


def pretend(monkeypatch: pytest.MonkeyPatch, arithmetic: Any) -> None:
    for where in (module, folder_module):
        monkeypatch.setattr(where, "this_cpu", lambda: Cpu(name="a processor", arithmetic=arithmetic))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "student"))


def test_a_file_that_ranks_as_well_is_kept_and_used(folder: Path, judged: Judge) -> None:
    lines: list[str] = []
    found = export_int8(folder, evaluate=judged, pairs=PAIRS, margin=0.1, judged_on="tiny, dev", say=lines.append)
    assert found.path == folder / "onnx" / NAME
    assert len(found.trials) == len(lines) == 1
    assert lines[0].startswith("int8 (static, per channel): nDCG@10 ")
    assert lines[0].endswith("; passed")
    quality = read_json(folder / "onnx" / "quality.json")
    assert quality["judged_on"] == {"data": "tiny, dev", "cpu": {"name": "a processor", "arithmetic": "avx512_vnni"}}
    assert quality["margin"] == 0.1
    assert quality["fp32"]["nDCG@10"]["mean"] > 0.99  # equal passages tie
    assert quality["fp32"]["batch_mates"] < 1e-5
    assert quality["files"][NAME]["bytes"] == found.path.stat().st_size
    (trial,) = quality["tried"]
    assert trial["passed"] is True
    assert trial["batch_mates"] == pytest.approx(0.0, abs=1e-5)
    assert set(trial) >= {"queries", "fp32", "quantised", "lost", "kendall_tau", "largest_difference", "problems"}
    # It is what runs from now on, unless told otherwise.
    small, exact = Ranker.load(folder), Ranker.load(folder, precision="fp32")
    assert (small.file, exact.file) == (found.path, folder / "onnx" / "model.onnx")
    assert Ranker.load(folder, precision="int8").file == found.path
    difference = np.abs(small.score(PAIRS) - exact.score(PAIRS)).max()
    assert 0 < difference < 0.5


def ruin(patch: pytest.MonkeyPatch) -> None:
    """Make every scale eight times too large."""
    exact = quantise_module.weights_in_8_bits

    def ruined(matrix: np.ndarray, arithmetic: Any, *, per_channel: bool) -> Any:
        small, scales, zero = exact(matrix, arithmetic, per_channel=per_channel)
        return small, scales * np.float32(8), zero

    patch.setattr(quantise_module, "weights_in_8_bits", ruined)


def test_a_ruined_quantisation_is_refused_and_explained(
    folder: Path, judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = folder / "onnx" / NAME
    older.write_bytes(b"of another time")
    ruin(monkeypatch)
    monkeypatch.setattr(module, "LEAST_SAVING", 0.0)  # half of a tiny file is what is no product
    lines: list[str] = []
    found = export_int8(folder, evaluate=judged, pairs=PAIRS, say=lines.append)
    assert found.path is None
    assert not older.exists()
    assert len(lines) == len(found.trials) == 5
    for line in lines:
        assert "refused: it loses " in line
        assert "% of nDCG@10, more than the 1.0% allowed" in line
        assert "too few to tell" not in line  # the interval is wide, but far from the margin
    quality = read_json(folder / "onnx" / "quality.json")
    assert quality["files"] == {}
    assert [trial["passed"] for trial in quality["tried"]] == [False] * 5
    assert Ranker.load(folder).file == folder / "onnx" / "model.onnx"
    with pytest.raises(ModelError, match=r"no 8-bit file that passed on a processor like this one \(avx512_vnni\)"):
        Ranker.load(folder, precision="int8")


class Strict(Judge):
    """A judge before whom nothing but the float file has any merit."""

    def __call__(self, scorer: Scorer) -> Scored:
        if not hasattr(self, "reference"):
            self.reference = super().__call__(scorer)
            return self.reference
        return self.scored({query_id: -np.arange(PASSAGES) % 7 for query_id in self.pairs})


def recipes_tried(folder: Path, **options: Any) -> tuple[list[Recipe], list[str]]:
    lines: list[str] = []
    found = export_int8(folder, evaluate=Strict(folder), pairs=PAIRS, margin=0.0, say=lines.append, **options)
    assert found.path is None
    return [trial.recipe for trial in found.trials], lines


def test_files_come_by_their_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_SAVING", 0.0)
    recipes, lines = recipes_tried(folder)
    assert recipes[0] == Recipe(arithmetic="avx512_vnni")
    assert [len(recipe.keep) for recipe in recipes] == [0, 1, 3, 6, 0]
    assert [recipe.activations for recipe in recipes] == ["static"] * 4 + ["dynamic"]
    assert all(recipe.embeddings for recipe in recipes)
    assert recipes[1].keep < recipes[2].keep < recipes[3].keep
    assert "6 products left in fp32" in lines[3]
    made = [trial["bytes"] for trial in read_json(folder / "onnx" / "quality.json")["tried"]]
    assert made[:4] == sorted(made[:4])
    assert made[4] < made[1]


def test_what_saves_too_little_is_not_tried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    floating = (folder / "onnx" / "model.onnx").stat().st_size
    recipes, lines = recipes_tried(folder)
    made = [trial["bytes"] for trial in read_json(folder / "onnx" / "quality.json")["tried"]]
    assert [len(recipe.keep) for recipe in recipes] == [0, 1, 3, 0]
    assert max(made) <= 2 / 3 * floating
    assert "6 products left in fp32): not tried, 0.1 MB of 0.1 MB in fp32 is no saving" in lines[3]
    monkeypatch.setattr(module, "LEAST_SAVING", 1.0)  # the first one is tried whatever it saves
    recipes, lines = recipes_tried(folder)
    assert (len(recipes), len(lines)) == (1, 5)


@pytest.mark.parametrize("embeddings", [True, False])
def test_embeddings_stay_in_fp32_where_they_suffer_most(
    embeddings: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where that was wished from the beginning, nothing is found out about them."""
    exact = quantise_module._Quantiser.embedding

    def ruined(self: Any, node: onnx.NodeProto, table: np.ndarray) -> None:
        exact(self, node, np.roll(table, 1, axis=0))

    monkeypatch.setattr(quantise_module._Quantiser, "embedding", ruined)
    monkeypatch.setattr(module, "LEAST_SAVING", 0.0)
    recipes, _ = recipes_tried(folder, embeddings=embeddings)
    assert [recipe.embeddings for recipe in recipes] == ([True] * 4 + [False, True] if embeddings else [False] * 5)
    assert [len(recipe.keep) for recipe in recipes] == ([0, 1, 3, 6, 0, 0] if embeddings else [0, 1, 3, 6, 0])


def test_a_lucky_draw_after_a_file_that_lost_too_much_does_not_pass(folder: Path, judged: Judge) -> None:
    """The second file loses nothing on these queries, but agrees less with the float file than the first."""
    fp32 = judged(Ranker.load(folder, precision="fp32"))

    def swapped(query_id: str, *, top: bool) -> np.ndarray:
        """Either the best two of a query and two that are not relevant change places, or all that are not relevant."""
        scores = np.array(list(fp32.run[query_id].values()))
        order, changed = np.argsort(-scores), scores.copy()
        new = [0, 1, 3, 2, *range(4, PASSAGES)] if top else [0, 1, 2, *range(PASSAGES - 1, 2, -1)]
        changed[order] = scores[order[new]]
        return changed

    worse, lucky = (
        judged.scored({query_id: swapped(query_id, top=top) for query_id in fp32.run}) for top in (True, False)
    )
    calls = iter([fp32, worse, *[lucky] * 9])
    found = export_int8(folder, evaluate=lambda scorer: next(calls), pairs=PAIRS)
    assert found.path is None
    first, second = (trial.verdict for trial in found.trials[:2])
    assert first.loses_too_much
    assert not second.loses_too_much
    assert second.kendall_tau < first.kendall_tau
    assert f"agrees more with fp32 (Kendall's tau {first.kendall_tau:.3f}), which is chance" in second.problems[0]


def test_the_first_that_passes_is_kept(folder: Path, judged: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that 8 bits ruin is found and left in fp32."""
    exact = quantise_module.weights_in_8_bits

    def ruined(matrix: np.ndarray, arithmetic: Any, *, per_channel: bool) -> Any:
        small, scales, zero = exact(matrix, arithmetic, per_channel=per_channel)
        # The one matrix of this shape that reads what the activation gave: intermediate states of the first layer.
        return small, scales * np.float32(64 if matrix.shape == (64, 32) else 1), zero

    monkeypatch.setattr(quantise_module, "weights_in_8_bits", ruined)
    monkeypatch.setattr(module, "LEAST_SAVING", 0.0)
    found = export_int8(folder, evaluate=judged, pairs=PAIRS, margin=0.1)
    assert found.path is not None
    assert not found.trials[0].verdict.passed
    assert found.trials[-1].verdict.passed
    assert {f"bert.encoder.layer.{layer}.output.dense" for layer in (0, 1)} & found.trials[-1].recipe.keep
    assert Ranker.load(folder).file == found.path


class OutOfOrder(Judge):
    """A judge before whom every file but the float one loses nothing, and puts passages in another order."""

    def __call__(self, scorer: Scorer) -> Scored:
        if not hasattr(self, "reference"):
            self.reference = super().__call__(scorer)
            return self.reference
        order = np.random.default_rng(0).normal(size=PASSAGES)
        return Scored(run=self.scored(dict.fromkeys(self.pairs, order)).run, measures=self.reference.measures)


def test_passages_in_another_order_are_a_loss_too(folder: Path) -> None:
    found = export_int8(folder, evaluate=OutOfOrder(folder), pairs=PAIRS, margin=0.05)
    assert found.path is None
    assert (
        "of the pairs of passages in another order, more than the 5.00% allowed" in found.trials[0].verdict.problems[0]
    )


class Misbehaving(Judge):
    """A judge before whom the float file behaves, and every other gives the scores of ``misbehave``."""

    def __init__(self, folder: Path, misbehave: Any) -> None:
        super().__init__(folder)
        self.calls, self.misbehave = 0, misbehave

    def __call__(self, scorer: Scorer) -> Scored:
        self.calls += 1
        if self.calls == 1:
            return super().__call__(scorer)
        return self.scored({query_id: self.misbehave() for query_id in self.pairs})


@pytest.mark.parametrize(
    ("misbehave", "said"),
    [
        (lambda: np.zeros(PASSAGES), "one score for 12 of 12 queries"),
        (lambda: -np.arange(float(PASSAGES)), "in the order in which the passages were given"),
    ],
)
def test_outputs_without_a_ranking_are_refused(folder: Path, misbehave: Any, said: str) -> None:
    found = export_int8(folder, evaluate=Misbehaving(folder, misbehave), pairs=PAIRS, margin=0.99)
    assert found.path is None
    assert all(said in trial.sentence() for trial in found.trials)


def test_a_constant_graph_is_refused(folder: Path, judged: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as told by a judge, but as a graph whose head was lost."""
    exact = quantise_module.quantise

    def headless(*arguments: Any) -> onnx.ModelProto:
        graph = exact(*arguments)
        head = next(tensor for tensor in graph.graph.initializer if tensor.name == "classifier.weight")
        head.CopyFrom(onnx.numpy_helper.from_array(np.zeros((1, 32), np.float32), head.name))
        return graph

    monkeypatch.setattr(module, "quantise", headless)
    found = export_int8(folder, evaluate=judged, pairs=PAIRS, margin=0.99)
    assert found.path is None
    assert "one score for 12 of 12 queries" in found.trials[0].sentence()


def test_a_float_file_that_ranks_nothing_is_refused_itself(folder: Path, judged: Judge) -> None:
    def constant(scorer: Scorer) -> Scored:
        return judged.scored({query_id: np.zeros(PASSAGES) for query_id in judged.pairs})

    with pytest.raises(ModelError, match="the exported model gives all passages of a query one score"):
        export_int8(folder, evaluate=constant, pairs=PAIRS)
    assert not (folder / "onnx" / "quality.json").exists()


def test_dynamic_scales_only_when_asked_for(folder: Path, judged: Judge) -> None:
    found = export_int8(folder, evaluate=judged, pairs=PAIRS, margin=0.3, method="dynamic")
    assert {trial.recipe.activations for trial in found.trials} == {"dynamic"}
    assert any("what else is in the batch" in problem for trial in found.trials for problem in trial.verdict.problems)


def test_a_file_for_another_processor_is_made_and_not_used_here(
    folder: Path, judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = export_int8(folder, evaluate=judged, pairs=PAIRS, margin=0.1)
    other = export_int8(folder, evaluate=judged, pairs=PAIRS, margin=0.1, arithmetic="avx2")
    assert other.path == folder / "onnx" / "model_quint8_avx2.onnx"
    assert set(read_json(folder / "onnx" / "quality.json")["files"]) == {NAME, "model_quint8_avx2.onnx"}
    assert Ranker.load(folder).file == own.path
    pretend(monkeypatch, "avx2")
    assert Ranker.load(folder).file == folder / "onnx" / "model.onnx"  # it was not judged on such a one


def test_a_file_that_changed_since_is_not_trusted(folder: Path, judged: Judge) -> None:
    path = export_int8(folder, evaluate=judged, pairs=PAIRS, margin=0.1).path
    assert path is not None
    path.write_bytes(path.read_bytes() + b" ")
    assert Ranker.load(folder).file == folder / "onnx" / "model.onnx"


def test_a_new_float_file_takes_the_old_8_bit_ones_along(folder: Path, judged: Judge) -> None:
    export_int8(folder, evaluate=judged, pairs=PAIRS, margin=0.1)
    export_onnx(tiny_model(hidden=32), tiny_tokenizer(), folder)  # the same weights
    assert (folder / "onnx" / NAME).is_file()
    write_float(b"other", folder)
    assert [path.name for path in (folder / "onnx").iterdir()] == ["model.onnx"]


def test_what_cannot_be_done_says_so(folder: Path, judged: Judge, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pairs to calibrate on"):
        export_int8(folder, evaluate=judged, pairs=[])
    with pytest.raises(ModelError, match=r"holds no onnx/model\.onnx; run: distilrank export"):
        export_int8(tmp_path, evaluate=judged, pairs=PAIRS)
    (folder / "onnx" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ModelError, match="cannot be read"):
        export_int8(folder, evaluate=judged, pairs=PAIRS)


def test_processors_by_their_flags() -> None:
    best = cpu_module.best_arithmetic
    assert best(frozenset({"avx2", "avx512bw", "avx512_vnni"})) == "avx512_vnni"
    assert best(frozenset({"avx2", "avx_vnni"})) == "avx512_vnni"
    assert best(frozenset({"avx2", "avx512f", "avx512bw"})) == "avx512"
    assert best(frozenset({"avx2"})) == best(frozenset()) == "avx2"


def test_the_processor_is_read_from_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name : Some Xeon\nflags\t: fpu avx2 avx512bw\n\nmodel name : another\nflags : avx_vnni\n")
    monkeypatch.setattr(cpu_module, "_CPUINFO", info)
    monkeypatch.setattr(cpu_module.platform, "machine", lambda: "x86_64")
    assert cpu_module.this_cpu() == Cpu(name="Some Xeon", arithmetic="avx512")
    monkeypatch.setattr(cpu_module.platform, "machine", lambda: "aarch64")
    assert cpu_module.this_cpu().arithmetic == "arm64"
    monkeypatch.setattr(cpu_module, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(cpu_module.platform, "machine", lambda: "AMD64")
    assert cpu_module.this_cpu().arithmetic == "avx2"
