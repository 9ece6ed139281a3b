"""Compute the terms of TinyBERT and Simplified TinyBERT with their authors' own modules and training steps.

    git clone https://github.com/huawei-noah/Pretrained-Language-Model
    git clone https://github.com/cxa-unique/Simplified-TinyBERT
    python tools/published_numbers.py Pretrained-Language-Model/TinyBERT Simplified-TinyBERT

rewrites tests/published/numbers.json. Nothing of theirs is copied: their ``modeling.py`` and ``optimization.py`` are
imported, and the statements of their training loops, from the forward pass to the loss, are read out of their scripts
and run as they stand. Ours is what is around: small networks with the weights of tests/published/inputs.py, in
float64 and without dropout. The downloading of weights is not needed, so what it imports is replaced by nothing.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.published import inputs as own  # noqa: E402

OUT = ROOT / "tests" / "published" / "numbers.json"
STEPS, RATE = 3, 1e-3


def training_step(script: Path) -> Any:
    """Return, compiled, what the script's training loop does with a batch from the forward pass to the loss."""
    (loop,) = [
        node
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.For) and ast.unparse(node.target) == "(step, batch)" and "backward" in ast.unparse(node)
    ]
    texts = [ast.unparse(statement) for statement in loop.body]
    first = 1 + next(i for i, text in enumerate(texts) if "continue" in text)  # after the short batch is left out
    last = next(i for i, text in enumerate(texts) if "n_gpu" in text)
    return compile(ast.Module(loop.body[first:last], []), str(script), "exec")


def function_of(script: Path, name: str) -> Any:
    """Return a function that is defined inside the script's main function."""
    (node,) = [
        node
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    names: dict[str, Any] = {"torch": torch}
    exec(compile(ast.Module([node], []), str(script), "exec"), names)
    return names[name]


def network(modeling: ModuleType, kind: str, size: own.Size, role: str, **options: Any) -> torch.nn.Module:
    """Build one of their networks with our weights."""
    config = modeling.BertConfig(
        own.VOCABULARY, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **dict(size)
    )
    built: torch.nn.Module = getattr(modeling, kind)(config, **options)
    own.fill(built, role)
    return built


def run(step: Any, student: Any, teacher: Any, length: int, **options: Any) -> dict[str, Any]:
    """Run a training step up to its loss and return all names that it set."""
    given = own.inputs(length)
    names = {
        **given,
        "torch": torch,
        "MSELoss": torch.nn.MSELoss,
        "loss_mse": torch.nn.MSELoss(),
        "device": torch.device("cpu"),
        "student_model": student,
        "teacher_model": teacher,
        "label_ids": given["numbers"] if options.get("output_mode") == "regression" else given["classes"],
        **dict.fromkeys(("tr_att_loss", "tr_rep_loss", "tr_cls_loss"), 0.0),
        **options,
    }
    exec(step, names)
    return names


def numbers(names: Mapping[str, Any], *wanted: str) -> dict[str, float]:
    """Return losses as numbers."""
    return {name: float(names[name]) for name in wanted}


def tinybert(folder: Path) -> dict[str, Any]:
    """Return the losses of both phases, and what their optimiser does with the layers stage."""
    modeling, optimization = modules(folder, "transformer")
    general, task = (training_step(folder / f"{name}.py") for name in ("general_distill", "task_distill"))
    soft = function_of(folder / "task_distill.py", "soft_cross_entropy")
    layers = types.SimpleNamespace(pred_distill=False)
    answers = types.SimpleNamespace(pred_distill=True, temperature=2.0)
    found: dict[str, Any] = {"terms": {}}
    for length in own.LENGTHS:
        fit = {"fit_size": own.TEACHER["hidden_size"]}
        teacher = network(modeling, "BertModel", own.TEACHER, "encoder")
        student = network(modeling, "TinyBertForPreTraining", own.STUDENT, "student", **fit)
        terms = {"general": numbers(run(general, student, teacher, length), "att_loss", "rep_loss")}
        for labels in (1, 3):
            student, teacher = classifiers(modeling, labels)
            if labels == 3:
                ran = run(task, student, teacher, length, args=layers)
                terms["layers"] = numbers(ran, "att_loss", "rep_loss")
            mode = "regression" if labels == 1 else "classification"
            ran = run(task, student, teacher, length, args=answers, output_mode=mode, soft_cross_entropy=soft)
            terms[f"answers of {mode}"] = numbers(ran, "cls_loss")
        found["terms"][str(length)] = terms
    student, teacher = classifiers(modeling, 3)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    named = list(student.named_parameters())
    undecayed = ("bias", "LayerNorm.weight")
    groups = [
        {"params": [p for name, p in named if not name.endswith(undecayed)], "weight_decay": 0.01},
        {"params": [p for name, p in named if name.endswith(undecayed)], "weight_decay": 0.0},
    ]
    optimiser = optimization.BertAdam(groups, lr=RATE, schedule="none", warmup=0.1, t_total=STEPS)
    for _ in range(STEPS):
        run(task, student, teacher, own.LENGTHS[0], args=layers)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
    found["optimiser"] = {"steps": STEPS, "learning_rate": RATE, "changes": own.changes(before, student.state_dict())}
    return found


def simplified(folder: Path) -> dict[str, Any]:
    """Return the losses of the one step, and of the standard distillation that the script knows too."""
    modeling, _ = modules(folder, "bert")
    script = folder / "task_distill_simplified.py"
    step, soft = training_step(script), function_of(script, "soft_cross_entropy")
    terms = {}
    for length in own.LENGTHS:
        student, teacher = classifiers(modeling, 2)
        args = types.SimpleNamespace(distill_model="simplified", temperature=1.0)
        ran = run(step, student, teacher, length, args=args, soft_cross_entropy=soft)
        terms[str(length)] = numbers(ran, "att_loss", "rep_loss", "soft_loss", "hard_loss", "loss")
    return {"terms": terms}


def classifiers(modeling: ModuleType, labels: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return a student and a teacher with so many logits."""
    kind, fit = "TinyBertForSequenceClassification", {"fit_size": own.TEACHER["hidden_size"]}
    student = network(modeling, kind, own.STUDENT, "student", num_labels=labels, **fit)
    return student, network(modeling, kind, own.TEACHER, "teacher", num_labels=labels, **fit)


def modules(folder: Path, package: str) -> tuple[ModuleType, ModuleType]:
    """Import their modeling and optimization."""
    for name in ("boto3", "requests", "botocore", "botocore.exceptions"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["botocore.exceptions"].ClientError = Exception  # type: ignore[attr-defined]
    sys.path.insert(0, str(folder.resolve()))
    modeling, optimization = (importlib.import_module(f"{package}.{part}") for part in ("modeling", "optimization"))
    return modeling, optimization


if __name__ == "__main__":
    found = {"tinybert": tinybert(Path(sys.argv[1])), "simplified_tinybert": simplified(Path(sys.argv[2]))}
    OUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(OUT)
