from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.procedures.networks import teacher_and_student
from tests.training.two_processes import run_by_two

SCRIPT = Path(__file__).with_name("shared_distillation.py")


@pytest.mark.slow
def test_distillation_by_two_processes_equals_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    two.mkdir()
    one.mkdir()
    run_by_two(SCRIPT, two)
    monkeypatch.setenv("PYTHONPATH", str(SCRIPT.parents[2]), prepend=":")
    subprocess.run([sys.executable, str(SCRIPT), str(one)], check=True)
    gradients = load_file(one / "gradients-0.safetensors")
    weights = load_file(one / "weights-0.safetensors")
    assert len(gradients) > 20
    for process in (0, 1):
        for name, found in load_file(two / f"gradients-{process}.safetensors").items():
            assert torch.dist(found, gradients[name]) <= 1e-6 * gradients[name].norm(), name
        for name, found in load_file(two / f"weights-{process}.safetensors").items():
            torch.testing.assert_close(found, weights[name], rtol=0, atol=1e-5)
    _, begun = teacher_and_student()
    moved = [torch.dist(weights[name], start.float()) for name, start in begun.state_dict().items() if name in weights]
    assert max(moved) > 0.1
