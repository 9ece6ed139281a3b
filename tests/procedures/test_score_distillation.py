from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor
from transformers import PreTrainedModel

from distilrank import losses
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError, ResumeError, SettingsError
from distilrank.models.answers import Batch, answer
from distilrank.models.scorer import TorchScorer
from distilrank.procedures.score_distillation import (
    OBJECTIVES,
    Lists,
    Objective,
    OverLayers,
    OverLists,
    ScoreDistillationSettings,
    distil,
    loss_terms,
    task,
)
from distilrank.records import Group
from distilrank.training.groups import GroupBatch
from distilrank.training.journal import read_steps
from distilrank.training.microbatch import MicroBatch
from distilrank.training.settings import TrainingSettings
from tests.bilstms import tiny_bilstm, tiny_word_tokenizer
from tests.tiny import WORDS, tiny_model, tiny_tokenizer

OVER_LISTS = [name for name, kind in OBJECTIVES.items() if isinstance(kind, OverLists)]
OVER_LAYERS = [name for name, kind in OBJECTIVES.items() if isinstance(kind, OverLayers)]
DISTILLING = [name for name, kind in OBJECTIVES.items() if isinstance(kind, OverLists) and kind.scores]
LIVING = ("dog", "cat", "bird", "tree")
OTHERS = [word for word in WORDS if word not in LIVING and len(word) > 1]


def training(steps: int = 2, **options: Any) -> TrainingSettings:
    return TrainingSettings(
        **{"max_steps": steps, "batch_size": 4, "learning_rate": 5e-3, "trackers": (), "dropout": 0.0, **options}
    )


def settings(*objectives: str | Objective, **options: Any) -> ScoreDistillationSettings:
    asked = tuple(Objective(name=each) if isinstance(each, str) else each for each in objectives)
    told = {"objectives": asked, "relation_heads": 4, "max_tokens": 32, "training": training(), **options}
    return ScoreDistillationSettings(**told)


def groups_of(count: int, *, seed: int, scored: bool = True) -> list[Group]:
    """What lives is relevant, first or not; a teacher scores it by how much of it lives."""
    draw = random.Random(seed)
    groups = []
    for i in range(count):
        size = draw.choice((2, 3, 5))
        living = draw.sample(range(3), size) if size <= 3 else [0, 1, 2, 0, 0]
        passages = tuple(" ".join([*draw.sample(LIVING, n), *draw.sample(OTHERS, 3)]) for n in living)
        scores = tuple(2.0 * n - 2 + draw.uniform(-0.3, 0.3) for n in living)
        relevance = tuple(float(n == max(living)) for n in living)
        groups.append(
            Group(
                query="what",
                passages=passages,
                relevance=relevance,
                scores=scores if scored else None,
                query_id=f"q{i}",
            )
        )
    return groups


GROUPS = groups_of(7, seed=3)


def teacher_and_student() -> tuple[PreTrainedModel, PreTrainedModel]:
    """Four layers and 16 wide, and two layers and 8 wide."""
    return tiny_model(layers=4, hidden=16, seed=1), tiny_model(layers=2, hidden=8, seed=2)


# --- what the loop is given


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run ``distil`` up to the loop, split the groups as the loop would and compute the terms; return what was told."""

    def run(told: ScoreDistillationSettings, groups: Sequence[Group] = GROUPS, **change: Any) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def fake(**given: Any) -> None:
            parts: list[MicroBatch[GroupBatch]] = given["split"](list(given["examples"]))
            seen.update(given, parts=parts, terms=[given["loss_terms"](part.content) for part in parts])

        monkeypatch.setattr(task, "train", fake)
        teacher, student = teacher_and_student()
        networks = {"student": student, "teacher": teacher, **change}
        networks.setdefault("tokenizer", tiny_tokenizer())
        distil(groups=groups, settings=told, folder=Path("never made"), command={}, **networks)
        return {**seen, **networks}

    return run


def totals(told: dict[str, Any]) -> dict[str, Tensor]:
    """The step's terms: the mean over its parts, weighted by their groups."""
    count = sum(part.examples for part in told["parts"])
    sums: dict[str, Tensor] = {}
    for part, terms in zip(told["parts"], told["terms"], strict=True):
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + term * part.examples / count
    return sums


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


def near(expected: dict[str, float]) -> dict[str, object]:
    return {name: pytest.approx(value, rel=1e-4) for name, value in expected.items()}


# --- what the terms are


def one_list(scores: NDArray[np.float32], group: Group) -> dict[str, float]:
    """Every objective over the scores of one group, from the losses themselves."""
    s, t, r = (torch.tensor(np.asarray(x))[None] for x in (scores, group.scores, group.relevance))
    all_real = torch.ones_like(s)
    gains = torch.tensor(1 / rankdata(-np.array(group.scores)))[None]
    found = {
        "mse": losses.logit_mse(s.T, t.T),
        "bce": losses.soft_binary_cross_entropy(s, t, temperature=2.0),
        "margin_mse": losses.margin_mse(s, t, r, all_real),
        "ranknet": losses.ranknet(s, t, all_real),
        "kl": losses.kl_divergence(s, t, temperature=3.0),
        "adr_mse": losses.adr_mse(s, t, all_real, temperature=0.5),
        "lambda_loss": losses.lambda_loss(s, gains, all_real),
        "list_mle": losses.list_mle(s, t, all_real, top=2),
        "p_list_mle": losses.list_mle(s, t, all_real, position_aware=True),
        "info_nce": losses.info_nce(s, r, all_real),
        "hard_bce": losses.binary_cross_entropy(s[0], r[0].clamp(max=1)),
    }
    return {name: term.item() for name, term in found.items()}


def test_objectives_over_lists_are_their_losses_group_by_group(inside: Callable[..., dict[str, Any]]) -> None:
    asked = {name: Objective(name=name) for name in OVER_LISTS}
    for name, temperature in {"bce": 2.0, "kl": 3.0, "adr_mse": 0.5}.items():
        asked[name] = Objective(name=name, temperature=temperature)
    asked["list_mle"] = Objective(name="list_mle", top=2)
    graded = [replace(GROUPS[0], relevance=tuple(3 * r for r in GROUPS[0].relevance)), *GROUPS[1:]]
    told = inside(settings(*asked.values()), graded)
    scorer = TorchScorer(told["student"], tiny_tokenizer(max_tokens=32))
    each = [one_list(scorer.score([(g.query, p) for p in g.passages]), g) for g in graded]
    expected = {name: float(np.mean([row[name] for row in each])) for name in OVER_LISTS}
    assert values(totals(told)) == near(expected)
    assert list(totals(told)) == OVER_LISTS


def one_pair(student: PreTrainedModel, teacher: PreTrainedModel, projections: Any, query: str, passage: str) -> Any:
    """Every objective over the layers for one pair, by itself and so without padding."""
    tokenizer = tiny_tokenizer(max_tokens=32)
    batch = Batch.from_arrays(tokenizer.pad(tokenizer.encode([query], [passage])))
    with torch.no_grad():
        ours = answer(student, batch, hidden_states=True, attention_layers=(1, 2), relation_layer=2)
        theirs = answer(teacher, batch, hidden_states=True, attention_layers=(2, 4), relation_layer=4)
    mask = batch.attention_mask
    own, other = ours.hidden_states, theirs.hidden_states
    maps = projections.embedding, projections.hidden
    found = {
        "embedding": losses.hidden_state_loss(maps[0](own[0]), other[0], mask),
        "hidden": sum(losses.hidden_state_loss(maps[1](own[m]), other[2 * m], mask) for m in (1, 2)),
        "attention": sum(
            losses.attention_loss(s, t, mask)
            for s, t in zip(ours.attention_scores, theirs.attention_scores, strict=True)
        ),
        "relations": losses.relation_loss(ours.relation_states, theirs.relation_states, mask, heads=4),
        "pkd": losses.pkd_loss(maps[1](own[1][:, 0]), other[2][:, 0]),
    }
    return {name: torch.as_tensor(term).item() for name, term in found.items()}


def test_objectives_over_layers_average_a_groups_pairs_and_then_groups(inside: Callable[..., dict[str, Any]]) -> None:
    told = inside(settings(*OVER_LAYERS))
    networks = told["student"], told["teacher"], told["projections"]
    by_group = [[one_pair(*networks, g.query, p) for p in g.passages] for g in GROUPS]
    expected = {
        name: float(np.mean([np.mean([pair[name] for pair in group]) for group in by_group])) for name in OVER_LAYERS
    }
    assert values(totals(told)) == near(expected)
    # The groups are of several sizes: a mean over pairs would be another number.
    pooled = {name: float(np.mean([pair[name] for pair in itertools.chain(*by_group)])) for name in OVER_LAYERS}
    assert values(totals(told)) != near(pooled)


@pytest.mark.parametrize("names", [OVER_LISTS, OVER_LAYERS])
def test_how_a_step_is_cut_does_not_matter_to_value_and_gradient(
    inside: Callable[..., dict[str, Any]], names: list[str]
) -> None:
    found = []
    for batch_tokens in (100_000, 40, 1):
        told = inside(settings(*names, batch_tokens=batch_tokens))
        terms = totals(told)
        torch.stack(list(terms.values())).sum().backward()
        found.append((len(told["parts"]), values(terms), {n: p.grad for n, p in told["student"].named_parameters()}))
    assert [parts for parts, _, _ in found] == [1, found[1][0], 7]
    for _, terms, gradients in found[1:]:
        assert terms == near(found[0][1])
        torch.testing.assert_close(gradients, found[0][2], rtol=2e-3, atol=1e-5)
    assert max(gradient.abs().max() for gradient in found[0][2].values() if gradient is not None) > 1e-2


def test_weights_and_the_sum() -> None:
    lists = Lists(
        scores=torch.tensor([[1.0, 0.0]]),
        teacher=torch.tensor([[3.0, 0.0]]),
        relevance=torch.tensor([[1.0, 0.0]]),
        mask=torch.ones(1, 2, dtype=torch.bool),
    )
    asked = Objective(name="margin_mse", weight=0.5), Objective(name="hidden", weight=3.0), Objective(name="mse")
    terms = loss_terms(lists, {"hidden": torch.tensor(7.0)}, settings(*asked))
    assert values(terms) == {"margin_mse": 2.0, "hidden": 21.0, "mse": 2.0}


# --- whose scores


def test_scores_that_stand_in_the_groups_need_no_teacher(inside: Callable[..., dict[str, Any]]) -> None:
    told = inside(settings("kl", "margin_mse"), teacher=None)
    for part, rows in zip(told["parts"], [GROUPS], strict=True):
        assert part.content.scores[part.content.mask].tolist() == pytest.approx([s for g in rows for s in g.scores])
    assert told["projections"] is None
    # Nor are they another's where the teacher is run for its layers.
    with_layers = totals(inside(settings("kl", "margin_mse", "hidden")))
    assert values(totals(told)) == near({name: with_layers[name].item() for name in ("kl", "margin_mse")})


@pytest.mark.parametrize("layers", [(), ("hidden",)])
@pytest.mark.parametrize("some", [False, True])
def test_otherwise_the_teacher_scores_them_in_evaluation_mode(
    inside: Callable[..., dict[str, Any]], some: bool, layers: tuple[str, ...]
) -> None:
    unscored = [replace(group, scores=None) for group in GROUPS]
    teacher, _ = teacher_and_student()
    scorer = TorchScorer(teacher, tiny_tokenizer(max_tokens=32))
    rows = [scorer.score([(g.query, p) for p in g.passages]).tolist() for g in GROUPS]
    by_hand = [replace(g, scores=tuple(row)) for g, row in zip(GROUPS, rows, strict=True)]
    # Where only some groups have scores, nobody's but the teacher's are taken.
    given = [GROUPS[0], *unscored[1:]] if some else unscored
    teacher.train()
    told = settings("kl", "mse", *layers)
    assert values(totals(inside(told, given, teacher=teacher))) == near(values(totals(inside(told, by_hand))))
    assert teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_live_teacher_may_read_other_tokens(inside: Callable[..., dict[str, Any]]) -> None:
    unscored = [replace(group, scores=None) for group in GROUPS]
    other = tiny_tokenizer(lowercase=False)
    shouting = [replace(g, passages=tuple(p.upper() for p in g.passages)) for g in unscored]
    told = inside(settings("mse"), shouting, teacher_tokenizer=other)
    scorer = TorchScorer(told["teacher"], other.with_max_tokens(32))
    expected = [s for g in shouting for s in scorer.score([(g.query, p) for p in g.passages]).tolist()]
    (part,) = told["parts"]
    assert part.content.scores[part.content.mask].tolist() == pytest.approx(expected, rel=1e-4)


def test_labels_alone_ask_nobody(inside: Callable[..., dict[str, Any]]) -> None:
    unscored = [replace(group, scores=None) for group in GROUPS]
    assert list(totals(inside(settings("info_nce", "hard_bce"), unscored, teacher=None))) == ["info_nce", "hard_bce"]


# --- whole trainings


TRAIN, TEST = groups_of(120, seed=5), groups_of(40, seed=6)


def pairs_in_order(model: PreTrainedModel, tokenizer: PairTokenizer | None = None) -> float:
    """The share of two passages of a query that stand as their numbers of living things do: 0.5 by chance."""
    scorer = TorchScorer(model, tokenizer or tiny_tokenizer(max_tokens=32))
    right = []
    for group in TEST:
        scores = scorer.score([(group.query, passage) for passage in group.passages])
        for i, j in itertools.permutations(range(len(scores)), 2):
            if group.scores is not None and group.scores[i] > group.scores[j] + 1:
                right.append(scores[i] > scores[j])
    return float(np.mean(right))


@pytest.mark.parametrize("name", DISTILLING)
def test_a_student_learns_the_teachers_order_and_a_negated_teachers_ruins_it(tmp_path: Path, name: str) -> None:
    qualities = []
    for sign in (1.0, -1.0):
        given = [replace(g, scores=tuple(sign * s for s in g.scores or ())) for g in TRAIN]
        student = tiny_model(layers=1, hidden=16, seed=0)
        told = settings(name, training=training(60, batch_size=8, learning_rate=1e-2))
        distil(student, student, tiny_tokenizer(), given, settings=told, folder=tmp_path / str(sign), command={})
        qualities.append(pairs_in_order(student))
    # Measured over three seeds: 1.0, and up to 0.02.
    assert qualities[0] > 0.95
    assert qualities[1] < 0.1


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    teacher, _ = teacher_and_student()
    told = settings("kl", "info_nce", "hidden", training=training(6, checkpoint_every=2, dropout=0.1))
    unscored = [replace(group, scores=None) for group in GROUPS]

    def run(folder: Path, evaluate: Any = None, **change: Any) -> PreTrainedModel:
        student = tiny_model(layers=2, hidden=8, seed=2)
        own = replace(told, **change)
        distil(student, teacher, tiny_tokenizer(), unscored, settings=own, folder=folder, command={}, evaluate=evaluate)
        return student

    class Killed(Exception):
        """Stands for a kill."""

    def kill() -> dict[str, float]:
        raise Killed

    whole = run(tmp_path / "whole", evaluate=lambda: {"nDCG@10": 0.5})
    with pytest.raises(Killed):
        run(tmp_path / "cut", evaluate=kill)
    again = run(tmp_path / "cut", evaluate=lambda: {"nDCG@10": 0.5})
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    journal = tmp_path / "cut" / "journal.jsonl"
    assert list(read_steps(journal)[-1]["terms"]) == ["kl", "info_nce", "hidden"]
    with pytest.raises(ResumeError):
        run(tmp_path / "whole", training=training(6, checkpoint_every=2, dropout=0.1, learning_rate=1e-4))


@pytest.mark.parametrize("name", OVER_LISTS)
def test_a_siamese_bilstm_learns_from_scores_and_labels_too(tmp_path: Path, name: str) -> None:
    qualities = []
    for sign in (1.0, -1.0):
        given = [replace(g, scores=tuple(sign * s for s in g.scores or ())) for g in TRAIN]
        student, words = tiny_bilstm(), tiny_word_tokenizer()
        told = settings(name, training=training(40, batch_size=8, learning_rate=2e-2))
        distil(student, tiny_model(), words, given, settings=told, folder=tmp_path / str(sign), command={})
        qualities.append(pairs_in_order(student, words))
    # Measured over up to two seeds: at least 0.91, and with negated scores up to 0.09 where scores are read at all.
    assert qualities[0] > 0.85
    assert qualities[1] < 0.2 if name in DISTILLING else qualities[1] == qualities[0]


# --- refusals, all of them before a folder is made


def refuse(told: ScoreDistillationSettings, groups: Sequence[Group] = GROUPS, **change: Any) -> None:
    teacher, student = teacher_and_student()
    given = {"student": student, "teacher": teacher, "tokenizer": tiny_tokenizer(), **change}
    try:
        distil(groups=groups, settings=told, folder=Path("never made"), command={}, **given)
    finally:
        assert not Path("never made").exists()


def group(relevance: tuple[float, ...], **fields: Any) -> Group:
    return Group(query="red", passages=tuple("abc"[: len(relevance)]), relevance=relevance, **fields)


@pytest.mark.parametrize(
    ("bad", "name", "problem"),
    [
        (
            group((0.0, 0.0), query_id="q9"),
            "margin_mse",
            "query 'q9' cannot be learned from: margin_mse sets a relevant",
        ),
        (group((1.0, 1.0)), "info_nce", "number 8 cannot be learned from: info_nce sets a relevant passage against"),
        *(
            (group((1.0,), scores=(1.0,)), name, f"{name} compares passages, and it has only one")
            for name in ("ranknet", "kl", "adr_mse", "lambda_loss", "list_mle", "p_list_mle")
        ),
        (group((1.0, 0.0), scores=(1.0, float("nan"))), "kl", "a score is not a finite number"),
    ],
)
def test_groups_that_teach_nothing_are_refused(bad: Group, name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        refuse(settings(name), [*GROUPS, bad])


def test_what_is_no_ranker_and_what_is_too_long_is_refused() -> None:
    with pytest.raises(ModelError, match="a ranker has one logit, but the student has 2"):
        refuse(settings("kl"), student=tiny_model(num_labels=2))
    with pytest.raises(ModelError, match="the student is a BiLSTM of single texts"):
        refuse(settings("kl"), student=tiny_bilstm(siamese=False), tokenizer=tiny_word_tokenizer())
    unscored = [replace(each, scores=None) for each in GROUPS]
    with pytest.raises(ModelError, match="a ranker has one logit, but the teacher has 3"):
        refuse(settings("kl"), unscored, teacher=tiny_model(num_labels=3))
    with pytest.raises(SettingsError, match="has positions for 64 tokens"):
        refuse(settings("kl", max_tokens=65))


def test_layers_that_cannot_be_compared_are_refused() -> None:
    # A teacher of other tokens ("Red" is another word to it) is fine for scores, and not for layers.
    other = tiny_tokenizer(lowercase=False)
    with pytest.raises(ModelError, match="into different token ids"):
        refuse(settings("kl", "hidden"), teacher_tokenizer=other)
    with pytest.raises(ModelError, match="is a BiLSTM, which has none of the layers that hidden, pkd would compare"):
        refuse(settings("kl", "hidden", "pkd"), student=tiny_bilstm(), tokenizer=tiny_word_tokenizer())
    with pytest.raises(ModelError, match="does not keep its layers as BERT does"):
        refuse(settings("hidden"), teacher=tiny_bilstm())
    with pytest.raises(ModelError, match="pkd compares layers below the last, and the student has 1"):
        refuse(settings("pkd"), student=tiny_model(layers=1))
    with pytest.raises(SettingsError, match="relation_heads is 5 but must divide"):
        refuse(settings("relations", relation_heads=5))
    with pytest.raises(SettingsError, match="mapping"):
        refuse(settings("attention", mapping=(1, 2, 3)))
    heads = tiny_model(layers=2, hidden=8)
    heads.config.num_attention_heads = 2
    with pytest.raises(ModelError, match="2 attention heads and the teacher 4"):
        refuse(settings("attention"), student=heads)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"objectives": ()}, "objectives is empty; name at least one of mse, bce, margin_mse"),
        ({"objectives": (Objective(name="kl"), Objective(name="kl", weight=2.0))}, "objective kl is given 2 times"),
        ({"relation_heads": 0}, "relation_heads is 0 but must be at least 1"),
        ({"max_tokens": 2}, "max_tokens is 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        ScoreDistillationSettings(**wrong)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("klm", "objective 'klm' is unknown; did you mean 'kl'"),
        ("kl:much", "objective 'kl:much' cannot be read; write name:weight:temperature, such as kl:0.5:2"),
        ("kl:1:2:3", "objective 'kl:1:2:3' cannot be read"),
        ("kl:0", "the weight of objective kl is 0.0 but must be greater than 0"),
        ("kl:1:-2", "the temperature of objective kl is -2.0 but must be greater than 0"),
        ("kl:nan", "the weight of objective kl is nan"),
        ("margin_mse:1:2", "objective margin_mse has no temperature; bce, kl, adr_mse have one"),
        ("hidden:1:2", "objective hidden has no temperature"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        Objective.parse(text)


def test_objectives_on_the_command_line() -> None:
    assert Objective.parse("kl") == Objective(name="kl", weight=1.0, temperature=1.0)
    assert Objective.parse("kl:0.5") == Objective(name="kl", weight=0.5)
    assert Objective.parse("kl:0.5:2") == Objective(name="kl", weight=0.5, temperature=2.0)
    with pytest.raises(SettingsError, match="objective kl has no top; list_mle, p_list_mle have one"):
        Objective(name="kl", top=3)
    with pytest.raises(SettingsError, match="the top of objective list_mle is 0"):
        Objective(name="list_mle", top=0)


def test_the_objectives_by_name() -> None:
    assert OVER_LISTS == [
        "mse", "bce", "margin_mse", "ranknet", "kl", "adr_mse", "lambda_loss", "list_mle", "p_list_mle",
        "info_nce", "hard_bce",
    ]  # fmt: skip
    assert OVER_LAYERS == ["embedding", "hidden", "attention", "relations", "pkd"]
    assert OVER_LISTS[:9] == DISTILLING
