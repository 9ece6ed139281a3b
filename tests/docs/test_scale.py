from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertModel

from tests.tiny import tiny_config

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "recipes" / "scale" / "costs.py"


def test_the_tables_are_what_the_script_prints() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"^\$ python recipes/scale/costs\.py (.*)\n```\n\n(.*)\n\n((?:\|.*\n)+)", page, flags=re.MULTILINE
    )
    assert len(shown) == 2
    for arguments, first, table in shown:
        command = [sys.executable, str(SCRIPT), *arguments.split()]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{first}\n{table}"


@pytest.mark.parametrize(("layers", "hidden", "tokens"), [(2, 16, 10), (3, 24, 33)])
def test_the_operations_are_those_that_torch_counts(layers: int, hidden: int, tokens: int) -> None:
    config = tiny_config(layers=layers, hidden=hidden)
    config._attn_implementation = "eager"
    network = BertModel(config, add_pooling_layer=False).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.ones(1, tokens, dtype=torch.int64))
    shape = runpy.run_path(str(SCRIPT))["Shape"].parse(f"{layers}/{hidden}/{config.intermediate_size}")
    assert shape.operations(tokens) == counter.get_total_flops()
