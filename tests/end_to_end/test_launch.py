"""A training verb under torchrun: two processes train one student and write one folder.

``accelerate launch`` starts processes as torchrun does where there are GPUs; on a CPU it starts one only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distilrank.data.groups import write_groups
from distilrank.models.save import save_model
from distilrank.records import Group
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.slow
def test_two_processes_make_the_folder_that_one_makes(tmp_path: Path) -> None:
    save_model(tiny_model(layers=4), tiny_tokenizer(), tmp_path / "teacher")
    pairs = tiny_pairs(24)
    groups = [
        Group(query=pairs[i][0], passages=(pairs[i][1], pairs[i + 1][1]), relevance=(1, 0)) for i in range(0, 24, 2)
    ]
    write_groups(groups, tmp_path / "groups.jsonl")
    given = ["--teacher", "teacher", "--data", "groups.jsonl", "--layers", "2", "--steps", "6", "--batch-size", "8"]
    given += ["--max-tokens", "40", "--set", "dropout=0", "--set", "trackers=[]"]

    def distil(out: str, *launcher: str) -> str:
        command = [sys.executable, *launcher, "-m", "distilrank", "distil", *given, "--out", out]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    alone, together = distil("one"), distil("two", *LAUNCH)
    assert together.replace("two", "one") == alone
    one, two = (load_file(tmp_path / out / "model.safetensors") for out in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=0, atol=1e-5)
    names = [sorted(path.name for path in (tmp_path / out).iterdir()) for out in ("one", "two")]
    assert names[0] == names[1]
    start = json.loads((tmp_path / "two" / "run" / "journal.jsonl").read_text().splitlines()[0])
    assert start["processes"] == 2
    assert distil("two", *LAUNCH).count("parameters after 6 steps") == 1  # finished: nothing is trained again
