"""Copy a model folder with its weights in half precision, to be kept in the repository.

Usage: python tools/half_precision.py FOLDER OUT. Loading makes them 32-bit numbers again; the export, which
``distilrank export`` makes anew, and the run stay behind.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

COPIED = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "README.md")


def half_precision(folder: Path, out: Path) -> None:
    """Fill ``out``, replacing what is there."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in COPIED:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    weights = {name: weight.to(torch.float16) for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    shutil.copymode(out / "config.json", out / "model.safetensors")  # safetensors' own are for their owner only
    print(f"{out}\t{sum(path.stat().st_size for path in out.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    half_precision(*map(Path, sys.argv[1:]))
