"""Patient knowledge distillation: the [CLS] states of layers in between."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from distilrank.losses.arguments import at_least_float32, mean_over, require_dimensions, require_equal_shapes


def pkd_loss(student: Tensor, teacher: Tensor, *, shares: Tensor | None = None) -> Tensor:
    """Compare the directions of the [CLS] states of one layer: || h_S / ||h_S|| - h_T / ||h_T|| ||^2.

    L_PT of BERT-PKD (Sun, Cheng, Gan and Liu 2019, arXiv 1908.09355), for one of the mapped layers; its code
    (``patience_loss``) divides by the width besides.

    Args:
        student: (batch, width), projected to the teacher's width.
        teacher: (batch, width); detached.
        shares: (batch,), what each example counts for in the mean over examples; they sum to 1. None: the same.

    Returns:
        Scalar: from 0 (one direction) to 4 (opposite ones), the mean over examples.

    Raises:
        ValueError: Shapes do not fit.
    """
    require_equal_shapes(student=student, teacher=teacher)
    require_dimensions(2, student=student)
    ours, theirs = (functional.normalize(at_least_float32(each), dim=1) for each in (student, teacher.detach()))
    return mean_over((ours - theirs).square().sum(dim=1), shares)
