"""The objectives over the scores of a query's passages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from distilrank import losses

if TYPE_CHECKING:
    from distilrank.procedures.score_distillation.objectives import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """The scores of a batch of groups, and what they are compared with; all are (groups, passages).

    Attributes:
        scores: The student's, raw logits.
        teacher: The teacher's. None where no objective reads them.
        relevance: As judged.
        mask: True where there is a passage.
    """

    scores: Tensor
    teacher: Tensor | None
    relevance: Tensor
    mask: Tensor

    @property
    def both(self) -> tuple[Tensor, Tensor]:
        """The student's scores and the teacher's."""
        if self.teacher is None:
            raise ValueError("there are no scores of a teacher")
        return self.scores, self.teacher


def mse(lists: Lists, asked: Objective) -> Tensor:
    """Compare raw scores one by one."""
    return losses.score_mse(*lists.both, lists.mask)


def bce(lists: Lists, asked: Objective) -> Tensor:
    """Compare probabilities of being relevant one by one."""
    return losses.score_bce(*lists.both, lists.mask, temperature=asked.temperature)


def margin_mse(lists: Lists, asked: Objective) -> Tensor:
    """Compare margins of relevant passages over others."""
    return losses.margin_mse(*lists.both, lists.relevance, lists.mask)


def ranknet(lists: Lists, asked: Objective) -> Tensor:
    """Have every two passages in the teacher's order."""
    return losses.ranknet(*lists.both, lists.mask)


def kl(lists: Lists, asked: Objective) -> Tensor:
    """Compare the distributions over the list."""
    return losses.listwise_kl(*lists.both, lists.mask, temperature=asked.temperature)


def adr_mse(lists: Lists, asked: Objective) -> Tensor:
    """Compare approximate ranks with the teacher's ranks."""
    return losses.adr_mse(*lists.both, lists.mask, temperature=asked.temperature)


def lambda_loss(lists: Lists, asked: Objective) -> Tensor:
    """Have every two passages in the teacher's order, weighted by nDCG with gains of 1 / rank."""
    scores, teacher = lists.both
    return losses.lambda_loss(scores, losses.reciprocal_ranks(teacher, lists.mask), lists.mask)


def list_mle(lists: Lists, asked: Objective) -> Tensor:
    """Raise the probability of the teacher's order."""
    return losses.list_mle(*lists.both, lists.mask, top=asked.top)


def p_list_mle(lists: Lists, asked: Objective) -> Tensor:
    """Raise the probability of the teacher's order, of its first places most."""
    return losses.list_mle(*lists.both, lists.mask, position_aware=True, top=asked.top)


def info_nce(lists: Lists, asked: Objective) -> Tensor:
    """Set every relevant passage against the others."""
    return losses.info_nce(lists.scores, lists.relevance, lists.mask)


def hard_bce(lists: Lists, asked: Objective) -> Tensor:
    """Judge every passage by its label; any relevance above 1 counts as 1."""
    return losses.grouped_bce(lists.scores, lists.relevance.clamp(0.0, 1.0), lists.mask)
