"""Print the name of the ranker whose nDCG@10 on the questions' dev split is highest; TREC DL 2019 is not looked at."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def own_mean(path: Path) -> float:
    """Return the system's mean of nDCG@10 in a result."""
    result = json.loads(path.read_text())
    (measures,) = (each["measures"] for each in result["systems"] if each["name"] == result["system"])
    return float(measures["nDCG@10"]["mean"])


if __name__ == "__main__":
    results = sorted(Path(sys.argv[1]).glob("ranker-*.openqa_dev.json"))
    print(max(results, key=own_mean).name.removesuffix(".openqa_dev.json"))
