"""Learned maps from the student's width to the teacher's, for comparing hidden states.

They belong to the procedure that trains them: checkpointed with it, never part of the saved student.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Projections(nn.Module):
    """The W_e and W_h of TinyBERT (Jiao et al. 2020, equations 8 and 9).

    Args:
        student_width: d', the student's hidden size.
        teacher_width: d, the teacher's.
        as_published: One map with a bias for the embeddings and all layers, also when the widths are equal, as
            in the code of both TinyBERT papers. Otherwise one without bias for the embeddings and one for the
            layers, as the paper writes it, and none at all when the widths are equal.
        seed: Of the initial weights.
    """

    def __init__(self, *, student_width: int, teacher_width: int, as_published: bool = False, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.hidden: nn.Module
            self.embedding: nn.Module
            if as_published:
                self.hidden = self.embedding = nn.Linear(student_width, teacher_width)
            elif student_width == teacher_width:
                self.hidden, self.embedding = nn.Identity(), nn.Identity()
            else:
                self.hidden = nn.Linear(student_width, teacher_width, bias=False)
                self.embedding = nn.Linear(student_width, teacher_width, bias=False)

    def forward(self, hidden_states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Map M + 1 states of shape (batch, length, d'), the embeddings first, to (batch, length, d)."""
        embedding, *layers = hidden_states
        return (self.embedding(embedding), *(self.hidden(layer) for layer in layers))
