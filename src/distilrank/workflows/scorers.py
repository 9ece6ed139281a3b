"""A model that a user names, opened as something that scores."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from distilrank.data.passage_vectors import FOLDER, PassageVectors, vectors_identity
from distilrank.errors import MissingExtraError, ModelError
from distilrank.scorer import Scorer

if TYPE_CHECKING:
    from distilrank.models.scorer import TorchScorer
    from distilrank.models.siamese_scorer import SiameseScorer
    from distilrank.runtime.folder import Precision
    from distilrank.runtime.pair_network import LongPassages


def load_scorer(
    model: str | Path,
    *,
    threads: int | None = None,
    offline: bool = False,
    passage_vectors: Path | None = None,
    precision: Precision = "fp32",
    long_passages: LongPassages | None = None,
) -> Scorer:
    """Open a ranker: the exported network of a folder, which needs no torch, or else its torch network.

    A siamese BiLSTM uses passage vectors where there are some, see ``passage_vectors``.

    Args:
        model: A model folder, a name on the hub, or an alias that ``load_model`` knows.
        threads: Processor threads; None takes all cores.
        offline: Never use the network.
        passage_vectors: Folder of vectors that ``distilrank encode`` made with this model. None: those in the model's
            own folder, if there are any.
        precision: Which file of an export is run; measuring takes fp32, and 8 bits are judged when they are made.
        long_passages: What becomes of passages that are too long, by an export. None: they are truncated.

    Raises:
        ModelError: There is no such model, it cannot be loaded, it has more than one logit, or the passage vectors are
            of other weights.
        OfflineError: It would have to be downloaded, and may not or could not.
        MissingExtraError: It needs torch, which is not installed.
    """
    if _export_of(model).is_file():
        from distilrank.runtime.ranker import Ranker

        return Ranker.load(
            model,
            threads=threads,
            precision=precision,
            passage_vectors=passage_vectors,
            long_passages=long_passages,
        )
    if precision == "int8":
        raise ModelError(
            f"{model} has no 8-bit file; make one with: distilrank export {model} --precision int8 --data ..."
        )
    if long_passages is not None:
        raise ModelError(f"windows of long passages are read by exported networks; run: distilrank export {model}")
    scorer = load_network(model, threads=threads, offline=offline)
    labels = int(scorer.model.config.num_labels or 0)
    if labels != 1:
        hint = "; fold them into one with: distilrank convert" if labels == 2 else ""
        raise ModelError(f"a ranker has one logit, {model} has {labels}{hint}")
    return _siamese(scorer, model, passage_vectors) or scorer


def _siamese(scorer: TorchScorer, model: str | Path, passage_vectors: Path | None) -> SiameseScorer | None:
    """Return the scorer of a BiLSTM, with its passage vectors; None for any other network.

    Raises:
        ModelError: Passage vectors are given for another network.
    """
    from distilrank.models.bilstm import BiLstmForSequenceClassification
    from distilrank.models.siamese_scorer import SiameseScorer

    if not isinstance(scorer.model, BiLstmForSequenceClassification):
        if passage_vectors is not None:
            raise ModelError(f"{model} reads query and passage together, so it cannot use passage vectors")
        return None
    folder = passage_vectors or Path(model) / FOLDER
    vectors = None
    if passage_vectors is not None or (folder / "manifest.json").is_file():
        vectors = PassageVectors(folder, identity=vectors_identity(model, scorer.tokenizer))
    return SiameseScorer(scorer.model, scorer.tokenizer, vectors=vectors)


def load_network(model: str | Path, *, threads: int | None = None, offline: bool = False) -> TorchScorer:
    """Open the torch network of a ranker or classifier with its tokeniser; see ``load_scorer``."""
    if find_spec("torch") is None:
        raise MissingExtraError("torch", extra="train", purpose=f"because {model} holds no onnx/model.onnx")
    import torch

    from distilrank.models.load import load_model
    from distilrank.models.scorer import TorchScorer

    if threads is not None:
        torch.set_num_threads(threads)
    return TorchScorer(*load_model(model, offline=offline))


def weight_files(model: str | Path) -> list[Path]:
    """Return the files of a folder that decide what ``load_scorer`` makes of it; none for a model of the hub."""
    folder = Path(model)
    if not folder.is_dir():
        return []
    exported = _export_of(folder)
    return [exported] if exported.is_file() else sorted(folder.glob("*.safetensors"))


def _export_of(model: str | Path) -> Path:
    return Path(model) / "onnx" / "model.onnx"
