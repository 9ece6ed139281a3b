"""The objectives by their one word: what each computes, what data it needs and who wrote it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from distilrank.errors import SettingsError, nearest
from distilrank.procedures.score_distillation import over_layers, over_lists
from distilrank.procedures.score_distillation.over_layers import Layers
from distilrank.procedures.score_distillation.over_lists import Lists


@dataclass(frozen=True, kw_only=True)
class OverLists:
    """An objective over the scores of a query's passages.

    Attributes:
        loss: Computes it.
        paper: Who wrote it.
        scores: Whether it reads the teacher's scores.
        both_kinds: Whether every group must have a relevant passage and another one.
        passages: Fewest passages of a group.
        tempered: Whether it has a temperature.
        topped: Whether it may keep to the first places of the teacher's order.
    """

    loss: Callable[[Lists, Objective], Tensor]
    paper: str
    scores: bool = True
    both_kinds: bool = False
    passages: int = 2
    tempered: bool = False
    topped: bool = False


@dataclass(frozen=True, kw_only=True)
class OverLayers:
    """An objective over the layers of both networks; the teacher is run and must read the same token ids.

    Attributes:
        loss: Computes it.
        paper: Who wrote it.
        hidden_states: Whether it reads hidden states, through projections where the widths differ.
        attention_scores: Whether it reads attention scores, for which head counts must be equal.
        relation_states: Whether it reads the queries, keys and values of the last layer.
        layers: Fewest layers of the student.
    """

    loss: Callable[[Layers], Tensor]
    paper: str
    hidden_states: bool = False
    attention_scores: bool = False
    relation_states: bool = False
    layers: int = 1


OBJECTIVES: dict[str, OverLists | OverLayers] = {
    "mse": OverLists(
        loss=over_lists.mse, paper="squared error of logits (Tang et al. 2019, arXiv 1903.12136)", passages=1
    ),
    "bce": OverLists(
        loss=over_lists.bce, paper="soft labels (Hinton et al. 2015, arXiv 1503.02531)", passages=1, tempered=True
    ),
    "margin_mse": OverLists(
        loss=over_lists.margin_mse, paper="Margin-MSE (Hofstätter et al. 2020, arXiv 2010.02666)", both_kinds=True
    ),
    "ranknet": OverLists(
        loss=over_lists.ranknet, paper="RankNet on the teacher's order (RankGPT, Sun et al. 2023, arXiv 2304.09542)"
    ),
    "kl": OverLists(
        loss=over_lists.kl, paper="listwise KL (ListNet, Cao et al. 2007; arXiv 1503.02531)", tempered=True
    ),
    "adr_mse": OverLists(
        loss=over_lists.adr_mse, paper="ADR-MSE (Rank-DistiLLM, Schlatt et al. 2025, arXiv 2405.07920)", tempered=True
    ),
    "lambda_loss": OverLists(
        loss=over_lists.lambda_loss, paper="NDCG-Loss2++ (LambdaLoss, Wang et al. 2018) on the teacher's order"
    ),
    "list_mle": OverLists(
        loss=over_lists.list_mle,
        paper="ListMLE (Xia et al. 2008) on the teacher's order; with top, RankDistil (Reddi et al. 2021)",
        topped=True,
    ),
    "p_list_mle": OverLists(
        loss=over_lists.p_list_mle,
        paper="position-aware ListMLE (Lan et al. 2014) on the teacher's order",
        topped=True,
    ),
    "info_nce": OverLists(
        loss=over_lists.info_nce,
        paper="InfoNCE on labels (van den Oord et al. 2018, arXiv 1807.03748)",
        scores=False,
        both_kinds=True,
    ),
    "hard_bce": OverLists(
        loss=over_lists.hard_bce,
        paper="pointwise labels (Nogueira and Cho 2019, arXiv 1901.04085)",
        scores=False,
        passages=1,
    ),
    "embedding": OverLayers(
        loss=over_layers.embedding,
        paper="TinyBERT, equation 9 (Jiao et al. 2020, arXiv 1909.10351)",
        hidden_states=True,
    ),
    "hidden": OverLayers(
        loss=over_layers.hidden,
        paper="TinyBERT, equation 8 (Jiao et al. 2020, arXiv 1909.10351)",
        hidden_states=True,
    ),
    "attention": OverLayers(
        loss=over_layers.attention,
        paper="TinyBERT, equation 7 (Jiao et al. 2020, arXiv 1909.10351)",
        attention_scores=True,
    ),
    "relations": OverLayers(
        loss=over_layers.relations, paper="MiniLMv2 (Wang et al. 2021, arXiv 2012.15828)", relation_states=True
    ),
    "pkd": OverLayers(
        loss=over_layers.pkd, paper="BERT-PKD (Sun et al. 2019, arXiv 1908.09355)", hidden_states=True, layers=2
    ),
}


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One entry of the list that is minimised.

    Attributes:
        name: A key of ``OBJECTIVES``.
        weight: What it is multiplied by.
        temperature: Divides the scores of both sides, for those that have one (``OverLists.tempered``).
        top: Places of the teacher's order that count, from the first, for those that have it. None: all.
    """

    name: str
    weight: float = 1.0
    temperature: float = 1.0
    top: int | None = None

    def __post_init__(self) -> None:
        """Refuse unknown names, and numbers that make no sense for the objective."""
        if self.name not in OBJECTIVES:
            raise SettingsError(
                f"objective {self.name!r} is unknown{nearest(self.name, OBJECTIVES)}; there are {', '.join(OBJECTIVES)}"
            )
        for number in ("weight", "temperature"):
            value = getattr(self, number)
            if not (value > 0 and math.isfinite(value)):
                raise SettingsError(f"the {number} of objective {self.name} is {value} but must be greater than 0")
        lists = {name: kind for name, kind in OBJECTIVES.items() if isinstance(kind, OverLists)}
        tempered = [name for name, kind in lists.items() if kind.tempered]
        topped = [name for name, kind in lists.items() if kind.topped]
        if self.temperature != 1 and self.name not in tempered:
            raise SettingsError(f"objective {self.name} has no temperature; {', '.join(tempered)} have one")
        if self.top is not None and self.name not in topped:
            raise SettingsError(f"objective {self.name} has no top; {', '.join(topped)} have one")
        if self.top is not None and self.top < 1:
            raise SettingsError(f"the top of objective {self.name} is {self.top} but must be at least 1")

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read ``name``, ``name:weight`` or ``name:weight:temperature``, as on the command line.

        Raises:
            SettingsError: It is none of the three.
        """
        name, *numbers = text.split(":")
        try:
            weight, temperature, *more = [*map(float, numbers), 1.0, 1.0][: max(2, len(numbers))]
        except ValueError:
            more = [math.nan]
        if more:
            raise SettingsError(f"objective {text!r} cannot be read; write name:weight:temperature, such as kl:0.5:2")
        return cls(name=name, weight=weight, temperature=temperature)
