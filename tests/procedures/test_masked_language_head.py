from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertModel, PreTrainedModel

from distilrank.data.words import Words
from distilrank.errors import InputError, ModelError, ResumeError, SettingsError
from distilrank.models.masked_language import load_masked_language_model
from distilrank.procedures.masked_language_head import (
    HIT_RATE,
    MaskedLanguageHeadSettings,
    _masked,
    _single_pieces,
    _split,
    fit_masked_language_head,
    hit_rate_measure,
    log_shares,
    loss_terms,
)
from distilrank.training.journal import read_steps
from distilrank.training.settings import TrainingSettings
from distilrank.workflows.fit_mlm_head import fit_mlm_head
from tests.augmentation.networks import tiny_masked_model
from tests.tiny import VOCABULARY, WORDS, tiny_config, tiny_tokenizer


def tiny_texts(count: int, *, seed: int = 0) -> list[str]:
    drawn = random.Random(seed)
    return [" ".join([*drawn.choices(WORDS[:6], k=drawn.choice((3, 8, 14))), "."]) for _ in range(count)]


def tiny_settings(*, steps: int = 40, **changes: Any) -> MaskedLanguageHeadSettings:
    training = TrainingSettings(
        max_steps=steps, batch_size=8, learning_rate=3e-2, dropout=0.0, evaluate_every=steps, trackers=()
    )
    return MaskedLanguageHeadSettings(max_tokens=24, training=training, **changes)


def fitted(folder: Path, *, model: PreTrainedModel | None = None, **changes: Any) -> tuple[PreTrainedModel, Any]:
    model = tiny_masked_model() if model is None else model
    result = fit_masked_language_head(
        model,
        tiny_tokenizer(),
        tiny_texts(60),
        held_out=tiny_texts(20, seed=1),
        settings=tiny_settings(**changes),
        folder=folder,
        command={},
    )
    return model, result


@pytest.mark.parametrize(("told", "learned"), [(None, {"0", "1"}), (1, {"1"}), (0, set())])
def test_the_head_and_the_layers_told_are_fitted_and_the_loss_falls(
    tmp_path: Path, told: int | None, learned: set[str]
) -> None:
    before = {name: weight.clone() for name, weight in tiny_masked_model().state_dict().items()}
    model, result = fitted(tmp_path, learned_layers=told)
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    transform = ("dense.weight", "dense.bias", "LayerNorm.weight", "LayerNorm.bias")
    assert {name for name in changed if not name.startswith("bert.encoder.layer.")} == {
        "cls.predictions.bias",
        "cls.predictions.decoder.bias",
        *(f"cls.predictions.transform.{part}" for part in transform),
    }
    assert {name.split(".")[3] for name in changed if name.startswith("bert.encoder.layer.")} == learned
    losses = [step["terms"]["masked_tokens"] for step in read_steps(result.history)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    untrained = hit_rate_measure(
        tiny_masked_model(), tiny_tokenizer().with_max_tokens(24), tiny_texts(20, seed=1), settings=tiny_settings()
    )()
    assert result.best_value > untrained


def parts(texts: list[str], settings: MaskedLanguageHeadSettings, *, times: int = 1) -> list[Any]:
    """The micro-batches of so many steps on the same texts, one after the other."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer().with_max_tokens(settings.max_tokens)
    words = Words(tokenizer)
    return [part for _ in range(times) for part in _split(texts, tokenizer, words, settings, torch.device("cpu"))]


def test_a_share_of_the_tokens_is_masked_and_no_special_one() -> None:
    texts = ["the red dog", " ".join(["dog"] * 20)]
    (part,) = parts(texts, tiny_settings())
    content = part.content
    assert part.examples == 2
    assert content.masked.sum(dim=1).tolist() == [3, 1]  # 15% of 20 words, and at least one of 3
    assert (content.batch.input_ids[content.masked] == VOCABULARY.index("[MASK]")).all()
    assert (content.batch.input_ids == VOCABULARY.index("[MASK]")).sum() == 4
    assert not content.masked[:, 0].any()
    assert not (content.masked & (content.batch.attention_mask == 0)).any()
    assert content.wanted.tolist()[:3] == [VOCABULARY.index("dog")] * 3
    drawn = [int(part.content.masked[1].nonzero()) for part in parts(texts, tiny_settings(), times=40)]
    assert set(drawn) == {1, 2, 3}
    (more,) = parts(texts, tiny_settings(masked_share=0.4))
    assert more.content.masked.sum(dim=1).tolist() == [8, 1]  # 40% of 20 and of 3


def test_the_bias_starts_from_how_frequent_tokens_are(tmp_path: Path) -> None:
    dog, cat, size = VOCABULARY.index("dog"), VOCABULARY.index("cat"), len(VOCABULARY)
    found = log_shares(tiny_tokenizer(), ["dog cat dog", "dog"], size=size)
    assert found.exp()[[dog, cat, 0]].tolist() == pytest.approx([4 / (size + 4), 2 / (size + 4), 1 / (size + 4)])
    model, _ = fitted(tmp_path, steps=1)
    assert model.cls.predictions.bias[VOCABULARY.index("the")] > model.cls.predictions.bias[dog] + 2


def test_the_loss_by_another_way() -> None:
    model = tiny_masked_model()
    (part,) = parts(tiny_texts(5), tiny_settings(masked_share=0.4))
    content = part.content
    logits = model(
        input_ids=content.batch.input_ids,
        attention_mask=content.batch.attention_mask,
        token_type_ids=content.batch.token_type_ids,
    ).logits.double().log_softmax(-1)  # fmt: skip
    wanted, place = [], 0
    for row in range(5):
        own = []
        for column in content.masked[row].nonzero()[:, 0].tolist():
            own.append(-logits[row, column, content.wanted[place]].item())
            place += 1
        wanted.append(np.mean(own))
    terms = loss_terms(model, content)
    assert list(terms) == ["masked_tokens"]
    assert terms["masked_tokens"].item() == pytest.approx(np.mean(wanted), rel=1e-5)


def test_hit_rate_by_hand() -> None:
    model, tokenizer = tiny_masked_model(), tiny_tokenizer().with_max_tokens(24)
    with torch.no_grad():  # the head always answers dog, then cat, whatever it reads
        model.cls.predictions.transform.LayerNorm.weight.zero_()
        model.cls.predictions.bias.zero_()
        model.cls.predictions.bias[VOCABULARY.index("dog")] = 2.0
        model.cls.predictions.bias[VOCABULARY.index("cat")] = 1.0
    texts = ["dog", "dog", "cat", "moon"]

    def rate(k: int) -> float:
        return hit_rate_measure(model, tokenizer, texts, settings=tiny_settings(), k=k)()

    assert (rate(1), rate(2), rate(len(VOCABULARY))) == (0.5, 0.75, 1.0)


def test_the_same_words_are_masked_each_time_and_others_by_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []

    def masked(encoded: Any, places: Any, *rest: Any) -> Any:
        seen.append([int(place) for chosen in places for place in chosen])
        return _masked(encoded, places, *rest)

    monkeypatch.setattr("distilrank.procedures.masked_language_head._masked", masked)
    texts = tiny_texts(20)
    training = replace(tiny_settings().training, seed=7)
    for settings in (tiny_settings(), tiny_settings(), replace(tiny_settings(), training=training)):
        hit_rate_measure(tiny_masked_model(), tiny_tokenizer().with_max_tokens(24), texts, settings=settings)()
    once = len(seen) // 3
    assert seen[:once] == seen[once : 2 * once] != seen[2 * once :]


def test_only_words_of_one_piece_are_measured() -> None:
    tokenizer = tiny_tokenizer()
    words = Words(tokenizer)
    found = _single_pieces(tokenizer.encode(["dogs red ox bird"])[0], words)
    # [CLS] dog ##s red o ##x bird [SEP]
    assert found.tolist() == [3, 6]
    with pytest.raises(InputError, match="no held-out text has a word"):
        hit_rate_measure(tiny_masked_model(), tokenizer, ["dogs ox"], settings=tiny_settings())


def test_other_families_and_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="to BERT networks only, and this is 'roberta'"):
        fitted(tmp_path, model=tiny_masked_model("roberta"))
    with pytest.raises(SettingsError, match=r"masked_share is 1\.0"):
        tiny_settings(masked_share=1.0)
    with pytest.raises(SettingsError, match="held_out is 0"):
        tiny_settings(held_out=0)
    with pytest.raises(SettingsError, match="learned_layers is -1 but must not be negative"):
        tiny_settings(learned_layers=-1)
    with pytest.raises(SettingsError, match="learned_layers is 3, but the encoder has 2"):
        fitted(tmp_path, learned_layers=3)


def test_from_a_bare_checkpoint_to_a_model_that_augments(tmp_path: Path) -> None:
    bare, text = tmp_path / "bare", tmp_path / "text.txt"
    BertModel(tiny_config()).save_pretrained(bare)
    tiny_tokenizer().save(bare)
    text.write_text("\n\n".join(tiny_texts(60)))
    settings = tiny_settings(steps=3, held_out=2)
    made = fit_mlm_head(str(bare), text=text, out=tmp_path / "mlm", settings=settings, offline=True)
    load_masked_language_model(made.folder, offline=True)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest[HIT_RATE] == made.result.best_value
    again = fit_mlm_head(str(bare), text=text, out=tmp_path / "mlm", settings=settings, offline=True)
    assert again.result.best_value == made.result.best_value
    with pytest.raises(ResumeError, match="held_out was 2 and is 3 now"):
        fit_mlm_head(
            str(bare), text=text, out=tmp_path / "mlm", settings=tiny_settings(steps=3, held_out=3), offline=True
        )


def test_what_is_measured_is_not_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare, text = tmp_path / "bare", tmp_path / "text.txt"
    BertModel(tiny_config()).save_pretrained(bare)
    tiny_tokenizer().save(bare)
    text.write_text("\n\n".join(f"dog {i}" for i in range(60)))
    seen: dict[str, Any] = {}

    def watched(model: Any, tokenizer: Any, texts: list[str], *, held_out: list[str], **_: Any) -> None:
        seen.update(learned=texts, held_out=held_out)
        raise InterruptedError

    monkeypatch.setattr("distilrank.workflows.fit_mlm_head.fit_masked_language_head", watched)
    with pytest.raises(InterruptedError):
        fit_mlm_head(str(bare), text=text, out=tmp_path / "mlm", settings=tiny_settings(held_out=2), offline=True)
    assert seen["held_out"] == ["dog 0", "dog 20"]
    assert sorted([*seen["learned"], *seen["held_out"]]) == sorted(f"dog {i}" for i in range(60))


def test_text_too_short_to_hold_any_out_is_refused(tmp_path: Path) -> None:
    bare, text = tmp_path / "bare", tmp_path / "text.txt"
    BertModel(tiny_config()).save_pretrained(bare)
    tiny_tokenizer().save(bare)
    text.write_text("the red dog\n")
    with pytest.raises(InputError, match=r"text\.txt: holds too little text"):
        fit_mlm_head(str(bare), text=text, out=tmp_path / "mlm", settings=tiny_settings(), offline=True)
    assert not (tmp_path / "mlm").exists()
