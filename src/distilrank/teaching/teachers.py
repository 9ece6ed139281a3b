"""The teachers that can score: what each is (for the manifest), and how it is opened (by whoever scores).

A teacher is a small description that travels to other processes and machines; the network is loaded where it is
opened. Nothing here imports torch before a teacher needs it, so that an exported network or a server can teach without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from distilrank.data.files import file_hash
from distilrank.data.teacher_scores import Meaning
from distilrank.errors import ModelError, SettingsError
from distilrank.scorer import Scorer
from distilrank.teaching.endpoint import MEANING, EndpointScorer, EndpointSettings


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a network is run; what may show in the last digits of a score is in the manifest.

    Attributes:
        max_tokens: Longest pair (or text, for a bi-encoder). None: what the teacher says.
        precision: Of the forward pass.
        batch_tokens: Most tokens run at once, padding included. None: what suits the device.
        threads: Processor threads of each process.
        device: "cpu" or "cuda". None: the latter where there is one.
    """

    max_tokens: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    batch_tokens: int | None = None
    threads: int = 1
    device: str | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("max_tokens", "batch_tokens", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value} but must be at least 1")


class Teacher(Protocol):
    """Something that scores pairs once it is opened.

    Attributes:
        name: What its folder of scores is called where there are several.
        meaning: What its scores are.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (above)
    @property
    def meaning(self) -> Meaning: ...  # noqa: D102

    def describe(self) -> dict[str, object]:
        """Return what decides its scores, as JSON values: hashes, and how it is run."""
        ...

    def open(self, worker: int = 0) -> Scorer:
        """Load it; ``worker`` chooses among several graphics processors."""
        ...


@dataclass(frozen=True, kw_only=True)
class CrossEncoderTeacher:
    """A torch network that reads query and passage together; two logits are folded into one.

    Attributes:
        source: Folder or hub name.
        running: How it is run.
        offline: Whether to use only what is on this machine.
    """

    source: str
    running: Running = Running()
    offline: bool = False
    meaning: Meaning = "logit"

    @property
    def name(self) -> str:
        """The last part of its name."""
        return Path(self.source).resolve().name if Path(self.source).is_dir() else self.source.rsplit("/", 1)[-1]

    def describe(self) -> dict[str, object]:
        """Return what decides its scores.

        Raises:
            ModelError: It has no ranking head, or one of more than two logits.
            SettingsError: It has no positions for so many tokens.
        """
        from distilrank.models.load import stored_logits

        logits = stored_logits(self.source, offline=self.offline)
        if logits not in (1, 2):
            found = "no ranking head" if logits is None else f"{logits} logits"
            raise ModelError(f"a teacher of rankers has one logit, or two to be folded; {self.source} has {found}")
        described = _describe_network(self.source, self.running, offline=self.offline)
        described["running"].pop("threads")  # of which the scores do not depend, see TeacherScorer
        return {"kind": "cross-encoder", "name": self.name, "logits": logits, **described}

    def open(self, worker: int = 0) -> Scorer:
        """Load it."""
        from distilrank.models.teacher_scorer import TeacherScorer
        from distilrank.models.two_logits import load_ranker

        running = self.running
        model, tokenizer = load_ranker(self.source, offline=self.offline)
        if running.max_tokens is not None:
            tokenizer = tokenizer.with_max_tokens(running.max_tokens)
        return TeacherScorer(
            model,
            tokenizer,
            batch_tokens=running.batch_tokens,
            precision=running.precision,
            device=_device(running, worker),
            threads=running.threads,
        )


@dataclass(frozen=True, kw_only=True)
class BiEncoderTeacher:
    """A torch network that reads query and passage apart; the score is a cosine, or a dot product where it says so.

    Attributes:
        source: Folder or hub name, of sentence-transformers or plain (mean pooling), or ``minilm-l6``.
        running: How it is run.
        offline: Whether to use only what is on this machine.
    """

    source: str
    running: Running = Running()
    offline: bool = False

    @property
    def name(self) -> str:
        """The last part of its name."""
        return Path(self.source).resolve().name if Path(self.source).is_dir() else self.source.rsplit("/", 1)[-1]

    @property
    def meaning(self) -> Meaning:
        """Cosine, or dot product where vectors are not normalised."""
        return "cosine" if self._form().normalise else "dot product"

    def describe(self) -> dict[str, object]:
        """Return what decides its scores."""
        from distilrank.data.settings_files import as_json

        form = self._form()
        described = _describe_network(self.source, self.running, offline=self.offline, most=form.max_tokens)
        return {"kind": "bi-encoder", "name": self.name, "form": as_json(form), **described}

    def open(self, worker: int = 0) -> Scorer:
        """Load it."""
        import torch

        from distilrank.models.bi_encoder import BiEncoderScorer
        from distilrank.models.load import load_model

        device, form = _device(self.running, worker), self._form()
        torch.set_num_threads(self.running.threads)
        model, tokenizer = load_model(self.source, offline=self.offline, max_tokens=self.running.max_tokens)
        if self.running.max_tokens is None and form.max_tokens is not None:
            tokenizer = tokenizer.with_max_tokens(min(form.max_tokens, tokenizer.max_tokens))
        model.to(device)
        running = self.running
        return BiEncoderScorer(
            model, tokenizer, scale=1.0, batch_tokens=running.batch_tokens, precision=running.precision, form=form
        )

    def _form(self) -> Any:
        from distilrank.models.load import resolve_source
        from distilrank.models.sentence_encoder import read_encoder_form

        return read_encoder_form(resolve_source(self.source), offline=self.offline)


@dataclass(frozen=True, kw_only=True)
class OnnxTeacher:
    """An exported network, run by onnxruntime on the processor.

    Attributes:
        folder: With ``onnx/model.onnx`` and the tokeniser.
        running: How it is run; in fp32.
    """

    folder: Path
    running: Running = Running()
    meaning: Meaning = "logit"

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.resolve().name

    def describe(self) -> dict[str, object]:
        """Return what decides its scores.

        Raises:
            SettingsError: bf16 is asked for.
        """
        if self.running.precision != "fp32":
            raise SettingsError(f"{self.folder} is an exported network, which runs in the precision of its file")
        files = (
            self.folder / "onnx" / "model.onnx",
            self.folder / "tokenizer.json",
            self.folder / "tokenizer_config.json",
        )
        hashes = {path.name: file_hash(path) for path in files if path.is_file()}
        settings = {"max_tokens": self.running.max_tokens, "threads": self.running.threads, "device": "cpu"}
        return {"kind": "onnx", "name": self.name, "files": hashes, "running": settings}

    def open(self, worker: int = 0) -> Scorer:
        """Load it."""
        from distilrank.runtime.ranker import Ranker

        running = self.running
        return Ranker.load(self.folder, threads=running.threads, max_tokens=running.max_tokens, precision="fp32")


@dataclass(frozen=True, kw_only=True)
class EndpointTeacher:
    """A re-ranker behind HTTP.

    Attributes:
        settings: Where and how.
    """

    settings: EndpointSettings

    @property
    def name(self) -> str:
        """The model's name, or the form's."""
        return (self.settings.model or self.settings.form).rsplit("/", 1)[-1]

    @property
    def meaning(self) -> Meaning:
        """What servers of this form give."""
        return MEANING[self.settings.form]

    def describe(self) -> dict[str, object]:
        """Return what is known of it: its weights are not.

        Raises:
            InputError: The variable that should hold the key is not set.
        """
        self.open()
        settings = self.settings
        return {"kind": "endpoint", "address": settings.address, "form": settings.form, "model": settings.model}

    def open(self, worker: int = 0) -> Scorer:
        """Make ready to ask."""
        return EndpointScorer(self.settings)


def find_teacher(given: str, *, running: Running, offline: bool = False) -> CrossEncoderTeacher | OnnxTeacher:
    """Return the cross-encoder of a name: a torch network where a folder holds one, else its exported network.

    Args:
        given: A model folder, its ``onnx/model.onnx``, or a name on the hub.
        running: How it is run.
        offline: Whether to use only what is on this machine.
    """
    path = Path(given)
    if path.suffix == ".onnx":
        return OnnxTeacher(folder=path.parent.parent, running=running)
    if (path / "onnx" / "model.onnx").is_file() and not _weights(path):
        return OnnxTeacher(folder=path, running=running)
    return CrossEncoderTeacher(source=given, running=running, offline=offline)


def _device(running: Running, worker: int) -> Any:
    import torch

    from distilrank.models.answers import usual_device

    device = running.device or usual_device().type
    return torch.device("cpu") if device == "cpu" else torch.device(device, worker % torch.cuda.device_count())


def _describe_network(source: str, running: Running, *, offline: bool, most: int | None = None) -> dict[str, Any]:
    """Return hashes of a network's files, or its commit on the hub, and how it is run, the token limit filled in."""
    from distilrank.models.answers import usual_batch_tokens, usual_device
    from distilrank.models.load import load_tokenizer, position_limit, quiet_transformers, read_config, resolve_source

    found = resolve_source(source)
    with quiet_transformers():
        config, tokenizer = read_config(found, offline=offline), load_tokenizer(found, offline=offline)
    limit = position_limit(config)
    if running.max_tokens is not None and running.max_tokens > limit:
        raise SettingsError(f"max_tokens is {running.max_tokens}, but {source} has positions for {limit} tokens")
    own = min(tokenizer.max_tokens, limit, most or limit)
    described: dict[str, Any] = {"tokenizer": tokenizer.identity}
    if isinstance(found, Path):
        files = _weights(found)
        if not files:
            raise ModelError(f"{source} holds no weights; give the folder of a saved model")
        described["files"] = {path.name: file_hash(path) for path in (*files, found / "config.json")}
    else:
        described["commit"] = getattr(config, "_commit_hash", None)
    device = running.device or usual_device().type
    described["running"] = {
        "max_tokens": running.max_tokens or own,
        "precision": running.precision,
        "batch_tokens": running.batch_tokens or usual_batch_tokens(device),
        "threads": running.threads,
        "device": device,
    }
    return described


def _weights(folder: Path) -> Sequence[Path]:
    return sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")])
