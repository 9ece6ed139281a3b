"""What a distillation costs: time, money and storage of each stage, with the arithmetic shown.

    python recipes/scale/costs.py --pairs 40e6 --gpus 1
    python recipes/scale/costs.py --pairs 1e9 --gpus 8 --price 2.5
    python recipes/scale/costs.py --pairs 40e6 --teach-pairs-per-second 900   # as teach printed on your machine

Operations of a forward pass over a pair of n tokens through L layers of width h and feed-forward width f, a multiply
and an add counted as two: L * (n * (8 h^2 + 4 h f) + 4 n^2 h). Training costs three forward passes of the student, and
one of the teacher where layers are compared. The rate of a GPU is an ASSUMPTION, not a measurement: a fifth of the
peak of dense bf16 multiplication that NVIDIA states for the H100 (989 TFLOP/s); give your own with --teraflops, or
the pairs per second that a verb printed.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Layers, width and feed-forward width of a BERT."""

    layers: int
    hidden: int
    feed_forward: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read layers/hidden/feed-forward, such as 12/768/3072."""
        layers, hidden, feed_forward = map(int, text.split("/"))
        return cls(layers=layers, hidden=hidden, feed_forward=feed_forward)

    def operations(self, tokens: float) -> float:
        """Return the operations of a forward pass over one pair."""
        each = 8 * self.hidden**2 + 4 * self.hidden * self.feed_forward
        return self.layers * (tokens * each + 4 * tokens**2 * self.hidden)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One row: what is done, to how many pairs, at how many operations each."""

    name: str
    pairs: float
    operations: float
    bytes_kept: float
    pairs_per_second: float | None = None

    def hours(self, *, teraflops: float, gpus: int) -> float:
        """Return the hours on so many GPUs of such a rate, or at the measured pairs per second of one."""
        rate = self.pairs_per_second or teraflops * 1e12 / self.operations
        return self.pairs / rate / gpus / 3600


def stages(options: argparse.Namespace) -> list[Stage]:
    """Return the stages in the order of the work."""
    teacher, student = Shape.parse(options.teacher), Shape.parse(options.student)
    of_teacher, of_student = teacher.operations(options.tokens), student.operations(options.tokens)
    seen = options.pairs * options.epochs
    return [
        Stage(
            name="teach",
            pairs=options.pairs,
            operations=of_teacher,
            bytes_kept=options.pairs * options.row_bytes,
            pairs_per_second=options.teach_pairs_per_second,
        ),
        Stage(name="distil from scores", pairs=seen, operations=3 * of_student, bytes_kept=0),
        Stage(name="distil with layers", pairs=seen, operations=3 * of_student + of_teacher, bytes_kept=0),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=float, default=40e6, help="that the teacher scores (default 40 million)")
    parser.add_argument("--epochs", type=float, default=1, help="passes of the student over them (default 1)")
    parser.add_argument("--tokens", type=float, default=100, help="of a pair, on average (default 100)")
    parser.add_argument("--teacher", default="12/768/3072", help="layers/hidden/feed-forward (default 12/768/3072)")
    parser.add_argument("--student", default="3/384/1536", help="likewise (default 3/384/1536)")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--teraflops", type=float, default=200, help="of one GPU, reached and not peak (default 200)")
    parser.add_argument("--price", type=float, default=3, help="of one GPU for an hour, in dollars (default 3)")
    parser.add_argument("--row-bytes", type=float, default=12, help="of a score on disk (default 12)")
    parser.add_argument("--teach-pairs-per-second", type=float, help="of one GPU, measured, instead of the arithmetic")
    options = parser.parse_args()
    print(f"{options.pairs:,.0f} pairs of {options.tokens:g} tokens, {options.gpus} GPU(s)")
    print("| stage | pairs | GFLOP a pair | hours | dollars | GB kept |\n|---|---:|---:|---:|---:|---:|")
    for stage in stages(options):
        hours = stage.hours(teraflops=options.teraflops, gpus=options.gpus)
        dollars, gigabytes = hours * options.gpus * options.price, stage.bytes_kept / 1e9
        print(
            f"| {stage.name} | {stage.pairs:.3g} | {stage.operations / 1e9:.2f} | {hours:.2f} | {dollars:,.2f} "
            f"| {gigabytes:.2f} |"
        )


if __name__ == "__main__":
    main()
