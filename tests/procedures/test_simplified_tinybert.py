from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.projections import Projections
from distilrank.models.relu_head import ReluLinear
from distilrank.procedures import simplified_tinybert
from distilrank.procedures.simplified_tinybert import SimplifiedTinyBertSettings, distil, loss_terms
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch
from distilrank.training.journal import read_steps
from distilrank.training.settings import TrainingSettings
from tests.procedures.networks import MAX_TOKENS, as_batches, both_answers, labelled_pairs, modes, teacher_and_student
from tests.tiny import tiny_model, tiny_tokenizer

Array = NDArray[np.float64]
UNIFORM = (2, 4)
NAMES = ("embedding", "hidden", "attention", "soft", "hard")
DEFAULT = SimplifiedTinyBertSettings(max_tokens=MAX_TOKENS)
PUBLISHED = SimplifiedTinyBertSettings(max_tokens=MAX_TOKENS, as_published=True)


def projections_for(*, as_published: bool = False) -> Projections:
    return Projections(student_width=8, teacher_width=16, as_published=as_published, seed=3).double()


def relative(expected: float) -> object:
    return pytest.approx(expected, rel=1e-6, abs=0.0)


# --- what the networks hold, computed without distilrank


def hidden_states_of(model: PreTrainedModel, batch: LabelledBatch) -> list[Array]:
    tokens = batch.batch
    with torch.no_grad():
        output = model.bert(tokens.input_ids, tokens.attention_mask, tokens.token_type_ids, output_hidden_states=True)
    return [states.numpy() for states in output.hidden_states]


def scores_of(model: PreTrainedModel, states: list[Array], layer: int) -> Array:
    """QK^T / sqrt(d_k) of a layer, counted from 1, from its weights and the states that it reads."""
    attention = model.bert.encoder.layer[layer - 1].attention.self
    weights = {name: value.numpy() for name, value in attention.state_dict().items()}
    read, heads = states[layer - 1], model.config.num_attention_heads
    queries, keys = (read @ weights[f"{name}.weight"].T + weights[f"{name}.bias"] for name in ("query", "key"))
    batch, length, width = queries.shape
    queries, keys = (part.reshape(batch, length, heads, width // heads) for part in (queries, keys))
    return np.einsum("bihd,bjhd->bhij", queries, keys) / np.sqrt(width // heads)


def logits_of(model: PreTrainedModel, batch: LabelledBatch) -> Array:
    """Class logits; one logit z is the two classes [0, z]."""
    tokens = batch.batch
    with torch.no_grad():
        logits = model(tokens.input_ids, tokens.attention_mask, tokens.token_type_ids).logits.numpy()
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits


def log_softmax(logits: Array) -> Array:
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def expected_terms(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    batch: LabelledBatch,
    projections: Projections,
    mapping: tuple[int, ...],
    temperature: float,
) -> dict[str, float]:
    """The terms of the paper, example by example on real tokens only, summed over layers and averaged at the end."""
    ours, theirs = hidden_states_of(student, batch), hidden_states_of(teacher, batch)
    embed, layers = (m.weight.detach().numpy().T for m in (projections.embedding, projections.hidden))
    rows = []
    for row, n in enumerate(batch.batch.attention_mask.sum(dim=1).tolist()):
        hidden = sum(
            np.square(ours[m][row, :n] @ layers - theirs[g][row, :n]).mean() for m, g in enumerate(mapping, start=1)
        )
        attention = sum(
            np.square(
                scores_of(student, ours, m)[row, :, :n, :n] - scores_of(teacher, theirs, g)[row, :, :n, :n]
            ).mean()
            for m, g in enumerate(mapping, start=1)
        )
        z_student, z_teacher = logits_of(student, batch)[row], logits_of(teacher, batch)[row]
        wanted = np.exp(log_softmax(z_teacher / temperature))
        rows.append(
            {
                "embedding": np.square(ours[0][row, :n] @ embed - theirs[0][row, :n]).mean(),
                "hidden": hidden,
                "attention": attention,
                "soft": -(wanted * log_softmax(z_student / temperature)).sum() * temperature**2,
                "hard": -log_softmax(z_student)[int(batch.labels[row])],  # type: ignore[index]
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in NAMES}


def task_distill_simplified(
    student: PreTrainedModel, teacher: PreTrainedModel, batch: LabelledBatch, fit_dense: torch.nn.Linear
) -> dict[str, float]:
    """``task_distill_simplified.py`` of cxa-unique/Simplified-TinyBERT, with ``transformer/modeling.py``.

    All tensors are padded to one length. A teacher of N layers and a student of M have blocks of k = N / M layers;
    attention of student layer i (from 0) is compared with the teacher's i k + k - 1, hidden state i (from 0, the
    embedding output) with i k. Both attentions carry the mask; what is at or below -1e2 becomes 0. Means run over
    everything: batch x heads x length x length, batch x length x width, batch x classes.
    """
    mask = batch.batch.attention_mask.numpy()
    ours, theirs = hidden_states_of(student, batch), hidden_states_of(teacher, batch)
    added = (1.0 - mask[:, None, None, :]) * -10000.0
    student_atts = [scores_of(student, ours, layer) + added for layer in range(1, len(ours))]
    teacher_atts = [scores_of(teacher, theirs, layer) + added for layer in range(1, len(theirs))]
    k = len(teacher_atts) // len(student_atts)
    att_loss = 0.0
    for i, student_att in enumerate(student_atts):
        teacher_att = teacher_atts[i * k + k - 1]
        difference = np.where(student_att <= -1e2, 0.0, student_att) - np.where(teacher_att <= -1e2, 0.0, teacher_att)
        att_loss += np.square(difference).sum() / difference.size
    weight, bias = fit_dense.weight.detach().numpy(), fit_dense.bias.detach().numpy()
    rep_losses = []
    for i, student_rep in enumerate(ours):
        difference = student_rep @ weight.T + bias - theirs[i * k]
        rep_losses.append(np.square(difference).sum() / difference.size)
    z_student, z_teacher = logits_of(student, batch), logits_of(teacher, batch)
    soft = -np.exp(log_softmax(z_teacher)) * log_softmax(z_student)
    hard = -log_softmax(z_student)[np.arange(len(z_student)), batch.labels.numpy()]  # type: ignore[union-attr]
    return {
        "embedding": float(rep_losses[0]),
        "hidden": float(sum(rep_losses[1:])),
        "attention": float(att_loss),
        "soft": float(soft.sum() / soft.size),
        "hard": float(hard.sum() / hard.size),
    }


# --- the equation


@pytest.mark.parametrize("mapping", [UNIFORM, (1, 2), (4, 1)])
@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_terms_are_those_of_an_independent_computation(num_labels: int, mapping: tuple[int, ...]) -> None:
    teacher, student = teacher_and_student(num_labels)
    projections = projections_for()
    (batch,) = as_batches(labelled_pairs(classes=max(2, num_labels)))
    settings = SimplifiedTinyBertSettings(mapping=mapping, temperature=2.0, max_tokens=MAX_TOKENS)
    terms = loss_terms(*both_answers(student, teacher, batch, mapping), batch, projections, mapping, settings)
    expected = expected_terms(student, teacher, batch, projections, mapping, temperature=2.0)
    assert list(terms) == list(NAMES)
    assert {name: term.item() for name, term in terms.items()} == {n: relative(v) for n, v in expected.items()}


@pytest.mark.parametrize("num_labels", [1, 2, 3])
def test_as_published_is_task_distill_simplified(num_labels: int) -> None:
    teacher, student = teacher_and_student(num_labels)
    simplified_tinybert.use_relu_head(student)
    projections = projections_for(as_published=True)
    (batch,) = as_batches(labelled_pairs(classes=max(2, num_labels)), length=MAX_TOKENS)
    terms = loss_terms(*both_answers(student, teacher, batch, UNIFORM), batch, projections, UNIFORM, PUBLISHED)
    fit_dense = projections.hidden
    assert isinstance(fit_dense, torch.nn.Linear)
    expected = task_distill_simplified(student, teacher, batch, fit_dense)
    assert all(term.dtype == torch.float64 for term in terms.values())
    assert {name: term.item() for name, term in terms.items()} == {n: relative(v) for n, v in expected.items()}
    assert torch.stack(list(terms.values())).sum().item() == relative(sum(expected.values()))


def test_regression_and_several_labels_have_their_own_soft_and_hard_terms() -> None:
    teacher, student = teacher_and_student(3)
    labels = [(1, 0, 1), (0, 0, 0), (1, 1, 1)]
    pairs = labelled_pairs(3)
    examples = [
        Example(text=p.text, text_pair=p.text_pair, label=label) for p, label in zip(pairs, labels, strict=True)
    ]
    (batch,) = as_batches(examples)
    answers = both_answers(student, teacher, batch, UNIFORM)
    terms = loss_terms(*answers, batch, projections_for(), UNIFORM, DEFAULT, problem="multi_label_classification")
    z_student, z_teacher = (each.logits.detach().numpy() for each in answers)
    assert batch.labels is not None
    for name, wanted in {"soft": 1 / (1 + np.exp(-z_teacher)), "hard": batch.labels.numpy()}.items():
        each = wanted * np.log1p(np.exp(-z_student)) + (1 - wanted) * np.log1p(np.exp(z_student))
        assert terms[name].item() == relative(float(each.mean()))

    teacher, student = teacher_and_student(1)
    (batch,) = as_batches([Example(text=e.text, text_pair=e.text_pair, label=2.5) for e in labelled_pairs(3)])
    answers = both_answers(student, teacher, batch, UNIFORM)
    terms = loss_terms(*answers, batch, projections_for(), UNIFORM, DEFAULT, problem="regression")
    z_student, z_teacher = (each.logits.detach().numpy()[:, 0] for each in answers)
    assert terms["soft"].item() == relative(float(np.square(z_student - z_teacher).mean()))
    assert terms["hard"].item() == relative(float(np.square(z_student - 2.5).mean()))


# --- laws


def terms_of(examples: list[Example], settings: SimplifiedTinyBertSettings, **options: Any) -> dict[str, float]:
    """The step's terms: the mean over its micro-batches, weighted by their examples."""
    teacher, student = teacher_and_student()
    projections = projections_for(as_published=settings.as_published)
    sums: dict[str, float] = {}
    for batch in as_batches(examples, **options):
        terms = loss_terms(*both_answers(student, teacher, batch, UNIFORM), batch, projections, UNIFORM, settings)
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + term.item() * len(batch.batch) / len(examples)
    return sums


def test_terms_do_not_depend_on_padding_or_on_how_the_batch_is_cut() -> None:
    examples = labelled_pairs(7)
    whole = terms_of(examples, DEFAULT)
    for options in ({"length": MAX_TOKENS}, {"batch_tokens": 60}, {"batch_tokens": 1}):
        assert terms_of(examples, DEFAULT, **options) == {name: relative(value) for name, value in whole.items()}
    # What the authors' code computes depends on padding: the comparison above would notice.
    longest = max(map(len, tiny_tokenizer().encode(*zip(*((e.text, str(e.text_pair)) for e in examples), strict=True))))
    assert longest < MAX_TOKENS
    padded, not_padded = (terms_of(examples, PUBLISHED, length=length) for length in (MAX_TOKENS, longest))
    for name in ("embedding", "hidden", "attention"):
        assert padded[name] != relative(not_padded[name])


@pytest.mark.parametrize("name", ["soft", "hard"])
@pytest.mark.parametrize("settings", [DEFAULT, PUBLISHED], ids=["default", "as published"])
def test_the_class_terms_of_a_one_logit_ranker_teach(settings: SimplifiedTinyBertSettings, name: str) -> None:
    # A softmax over the one logit itself would be constant: loss 0, gradient 0 and no complaint.
    teacher, student = teacher_and_student(num_labels=1)
    (batch,) = as_batches(labelled_pairs())
    projections = projections_for(as_published=settings.as_published)
    term = loss_terms(*both_answers(student, teacher, batch, UNIFORM), batch, projections, UNIFORM, settings)[name]
    assert term.item() > 0.01
    term.backward()
    assert student.classifier.weight.grad.abs().max() > 1e-3
    assert student.bert.embeddings.word_embeddings.weight.grad.abs().max() > 0


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_the_layers() -> None:
    teacher = tiny_model(layers=2, seed=1).double()
    (batch,) = as_batches(labelled_pairs())
    same = Projections(student_width=16, teacher_width=16)
    terms = loss_terms(*both_answers(teacher, teacher, batch, (1, 2)), batch, same, (1, 2), DEFAULT)
    assert {name: terms[name].item() for name in ("embedding", "hidden", "attention")} == {
        "embedding": 0.0,
        "hidden": 0.0,
        "attention": 0.0,
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_scales_its_term_and_zero_removes_it(name: str) -> None:
    examples = labelled_pairs(3)
    all_terms = terms_of(examples, DEFAULT)
    without = terms_of(examples, SimplifiedTinyBertSettings(**{name: 0.0}))
    assert without == {other: value for other, value in all_terms.items() if other != name}
    tripled = terms_of(examples, SimplifiedTinyBertSettings(**{name: 3.0}))
    assert tripled == {n: relative(3 * v if n == name else v) for n, v in all_terms.items()}


def test_the_gradient_reaches_student_and_projections_and_never_the_teacher() -> None:
    teacher, student = teacher_and_student()
    projections = projections_for()
    (batch,) = as_batches(labelled_pairs())
    ours, _ = both_answers(student, teacher, batch, UNIFORM)
    # The teacher's answers with a gradient, as they would be without no_grad.
    theirs = simplified_tinybert.answer(teacher, batch.batch, hidden_states=True, attention_layers=UNIFORM)
    terms = loss_terms(ours, theirs, batch, projections, UNIFORM, DEFAULT)
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in [*student.named_parameters(), *projections.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert [name for name, parameter in teacher.named_parameters() if parameter.grad is not None] == []


def test_terms_are_finite_in_bf16() -> None:
    teacher, student = (model.float() for model in teacher_and_student())
    (batch,) = as_batches(labelled_pairs())
    with torch.autocast("cpu", torch.bfloat16):
        answers = both_answers(student, teacher, batch, UNIFORM)
        terms = loss_terms(*answers, batch, projections_for().float(), UNIFORM, DEFAULT)
        torch.stack(list(terms.values())).sum().backward()
    assert all(torch.isfinite(term) and term.dtype == torch.float32 for term in terms.values())
    assert all(torch.isfinite(parameter.grad).all() for parameter in student.parameters())


# --- the whole procedure


class Told(Exception):
    """Carries what the loop was told out of a procedure."""


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Mapping[str, Any]]:
    """Run ``distil`` up to the loop, call ``look`` with what the loop was told, and return that."""

    def run(
        student: PreTrainedModel, teacher: PreTrainedModel, settings: SimplifiedTinyBertSettings
    ) -> Mapping[str, Any]:
        told: dict[str, Any] = {}

        def fake(**given: Any) -> None:
            given["projections"].to(student.dtype)
            parts = given["split"](labelled_pairs(6))
            told.update(given, parts=parts, terms=[given["loss_terms"](part.content) for part in parts])

        monkeypatch.setattr(simplified_tinybert, "train", fake)
        distil(student, teacher, tiny_tokenizer(), [], settings=settings, folder=Path("run"), command={})
        return told

    return run


def test_the_loop_is_given_the_terms_of_the_equation(inside: Callable[..., Mapping[str, Any]]) -> None:
    teacher, student = teacher_and_student()
    settings = SimplifiedTinyBertSettings(max_tokens=24, mapping=(1, 3), batch_tokens=100)
    told = inside(student, teacher, settings)
    assert told["model"] is student
    assert not {id(p) for p in told["projections"].parameters()} & {id(p) for p in student.parameters()}
    assert sum(part.examples for part in told["parts"]) == 6
    assert len(told["parts"]) > 1
    for part, terms in zip(told["parts"], told["terms"], strict=True):
        assert part.content.batch.input_ids.shape[1] <= 24
        assert part.content.batch.input_ids.numel() <= 100
        expected = expected_terms(student, teacher, part.content, told["projections"], (1, 3), temperature=1.0)
        assert {name: term.item() for name, term in terms.items()} == {n: relative(v) for n, v in expected.items()}


def test_as_published_pads_to_the_full_length_shares_one_projection_and_has_a_relu(
    inside: Callable[..., Mapping[str, Any]],
) -> None:
    teacher, student = teacher_and_student()
    told = inside(student, teacher, SimplifiedTinyBertSettings(max_tokens=64, as_published=True))
    assert {part.content.batch.input_ids.shape[1] for part in told["parts"]} == {64}
    assert told["projections"].embedding is told["projections"].hidden
    assert told["projections"].hidden.bias is not None
    assert isinstance(student.classifier, ReluLinear)
    assert not isinstance(teacher.classifier, ReluLinear)
    for part, terms in zip(told["parts"], told["terms"], strict=True):
        expected = task_distill_simplified(student, teacher, part.content, told["projections"].hidden)
        assert {name: term.item() for name, term in terms.items()} == {n: relative(v) for n, v in expected.items()}


@pytest.mark.parametrize("hard", [1.0, 0.0])
@pytest.mark.parametrize("steps", [None, "one", "two"])
def test_one_step_or_two_with_or_without_the_hard_label(
    steps: Any, hard: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student = teacher_and_student()
    told: list[dict[str, Any]] = []

    def fake(**given: Any) -> str:
        given["projections"].to(student.dtype)
        (part,) = given["split"](labelled_pairs(3))
        told.append({**given, "terms": tuple(given["loss_terms"](part.content))})
        return str(given["stage"])

    monkeypatch.setattr(simplified_tinybert, "train", fake)
    loop = training(7, evaluate_every=2, patience=3)
    settings = SimplifiedTinyBertSettings(max_tokens=MAX_TOKENS, steps=steps, hard=hard, training=loop)
    judge = dict
    last = distil(
        student, teacher, tiny_tokenizer(), [], settings=settings, folder=Path("run"), command={}, evaluate=judge
    )
    answers = ("soft", "hard") if hard else ("soft",)
    layers = ("embedding", "hidden", "attention")
    expected = [(Path("run/layers"), layers, None), (Path("run/answers"), answers, judge)]
    if steps != "two":
        expected = [(Path("run"), (*layers, *answers), judge)]
    assert [(step["folder"], step["terms"], step["evaluate"]) for step in told] == expected
    assert told[-1]["settings"] == loop
    assert last == told[-1]["stage"] == ("simplified-tinybert-answers" if steps == "two" else "simplified-tinybert")
    if steps == "two":
        assert told[0]["settings"] == training(7)  # nothing to be judged by
        assert told[0]["projections"] is told[1]["projections"]


def test_only_what_the_terms_need_is_computed(inside: Callable[..., Mapping[str, Any]]) -> None:
    teacher, student = (model.float() for model in teacher_and_student())
    asked: list[Mapping[str, Any]] = []
    teacher.register_forward_pre_hook(lambda module, args, given: asked.append(given), with_kwargs=True)
    told = inside(student, teacher, SimplifiedTinyBertSettings(max_tokens=40, embedding=0, hidden=0))
    assert {call["output_hidden_states"] for call in asked} == {False}
    assert all(set(terms) == {"attention", "soft", "hard"} for terms in told["terms"])


def training(steps: int = 3, **options: Any) -> TrainingSettings:
    options = {"learning_rate": 1e-3, "batch_size": 4, "trackers": (), **options}
    return TrainingSettings(max_steps=steps, **options)


@pytest.mark.parametrize("was_training", [True, False])
def test_the_teacher_is_only_read(tmp_path: Path, was_training: bool) -> None:
    teacher, student = (model.float() for model in teacher_and_student())
    teacher.train(was_training)
    teacher.classifier.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    seen: list[tuple[bool, bool, bool]] = []
    teacher.register_forward_pre_hook(
        lambda module, args: seen.append(
            (any(modes(module)), torch.is_grad_enabled(), any(p.requires_grad for p in module.parameters()))
        )
    )
    settings = SimplifiedTinyBertSettings(max_tokens=MAX_TOKENS, training=training(evaluate_every=1))
    distil(
        student,
        teacher,
        tiny_tokenizer(),
        labelled_pairs(8),
        teacher_tokenizer=tiny_tokenizer(),
        settings=settings,
        folder=tmp_path / "run",
        command={},
        evaluate=lambda: {"one": 1.0},
    )
    assert len(seen) == 3
    assert set(seen) == {(False, False, False)}
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert set(modes(teacher)) == {was_training}
    assert [name for name, p in teacher.named_parameters() if not p.requires_grad] == ["classifier.weight"]


def test_training_lowers_every_term_and_trains_the_projections(tmp_path: Path) -> None:
    teacher, student = (model.float() for model in teacher_and_student())
    settings = SimplifiedTinyBertSettings(
        max_tokens=MAX_TOKENS, training=training(80, learning_rate=5e-3, batch_size=8)
    )
    result = distil(
        student, teacher, tiny_tokenizer(), labelled_pairs(8), settings=settings, folder=tmp_path / "run", command={}
    )
    first, *_, last = read_steps(result.history)
    assert list(first["terms"]) == list(NAMES)
    assert all(
        last["terms"][name] < 0.8 * first["terms"][name] for name in ("embedding", "hidden", "attention", "hard")
    )
    # Checkpointed with the run and no part of the student.
    assert (tmp_path / "run" / "final" / "projections.safetensors").is_file()
    assert not any("projection" in name for name in student.state_dict())


# --- refusals


def refuse(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    settings: SimplifiedTinyBertSettings = DEFAULT,
    *,
    tokenizer: PairTokenizer | None = None,
) -> None:
    distil(
        student,
        teacher,
        tiny_tokenizer(),
        labelled_pairs(2),
        teacher_tokenizer=tokenizer or tiny_tokenizer(),
        settings=settings,
        folder=Path("never made"),
        command={},
    )


def test_networks_that_do_not_match_are_refused_before_any_training() -> None:
    teacher, student = teacher_and_student()
    with pytest.raises(ModelError, match=r"student has 2 label.*teacher 1"):
        refuse(tiny_model(num_labels=2), teacher)
    with pytest.raises(ModelError, match="different token ids"):
        refuse(student, teacher, tokenizer=tiny_tokenizer(lowercase=False))
    with pytest.raises(SettingsError, match="max_tokens is 65, but BertForSequenceClassification has positions for 64"):
        refuse(student, teacher, SimplifiedTinyBertSettings(max_tokens=65))
    with pytest.raises(SettingsError, match="student 3, teacher 4; name the teacher layers, as in mapping"):
        refuse(tiny_model(layers=3), teacher)
    with pytest.raises(SettingsError, match="must name one teacher layer from 1 to 4 for each of 2"):
        refuse(student, teacher, SimplifiedTinyBertSettings(max_tokens=MAX_TOKENS, mapping=(2, 5)))
    assert not Path("never made").exists()


def test_heads_must_match_only_where_attention_is_compared(
    inside: Callable[..., Mapping[str, Any]],
) -> None:
    teacher, student = (model.float() for model in teacher_and_student())
    student.config.num_attention_heads = 2
    for layer in student.bert.encoder.layer:
        layer.attention.self.num_attention_heads, layer.attention.self.attention_head_size = 2, 4
    with pytest.raises(ModelError, match="student has 2 attention heads and the teacher 4"):
        refuse(student, teacher)
    told = inside(student, teacher, SimplifiedTinyBertSettings(max_tokens=MAX_TOKENS, attention=0))
    assert all("attention" not in terms for terms in told["terms"])


def test_as_published_knows_classes_only() -> None:
    teacher, student = teacher_and_student()
    student.config.problem_type = "regression"
    with pytest.raises(SettingsError, match="as_published knows classes only"):
        refuse(student, teacher, PUBLISHED)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"hidden": -0.5}, "hidden is -0.5 but"),
        ({"soft": float("nan")}, "soft is nan but"),
        (dict.fromkeys(NAMES, 0.0), "every term has weight 0"),
        ({"steps": "three"}, "steps is 'three' but must be one or two"),
        ({"steps": "two", "soft": 0.0, "hard": 0.0}, "all terms of one of them have weight 0"),
        ({"temperature": 0.0}, "temperature is 0.0 but must be greater than 0"),
        ({"max_tokens": 7}, "max_tokens is 7 but must be at least 8"),
        ({"batch_tokens": 0}, "batch_tokens is 0 but must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        SimplifiedTinyBertSettings(**wrong)


def test_the_hard_term_needs_labels() -> None:
    teacher, student = teacher_and_student()
    (batch,) = as_batches([Example(text="red dog", text_pair="blue sea")])
    answers = both_answers(student, teacher, batch, UNIFORM)
    with pytest.raises(InputError, match="hard: 0"):
        loss_terms(*answers, batch, projections_for(), UNIFORM, DEFAULT)
    without = SimplifiedTinyBertSettings(hard=0)
    assert "soft" in loss_terms(*answers, batch, projections_for(), UNIFORM, without)


def test_the_published_constants() -> None:
    # distill.sh and argparse of the authors' code
    settings = SimplifiedTinyBertSettings()
    assert {name: getattr(settings, name) for name in NAMES} == dict.fromkeys(NAMES, 1.0)
    assert (settings.temperature, settings.max_tokens, settings.mapping) == (1.0, 256, "uniform")
    run = settings.training
    assert (run.batch_size, run.learning_rate, run.epochs, run.warmup_share) == (64, 5e-5, 2, 0.1)
    assert (run.schedule, run.weight_decay, run.seed) == ("linear", 0.01, 42)
