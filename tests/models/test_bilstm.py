from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pack_padded_sequence

from distilrank.errors import ModelError, SettingsError
from distilrank.models.answers import Batch, answer
from distilrank.models.bilstm import BiLstmForSequenceClassification, load_bilstm, new_bilstm
from distilrank.models.facts import count_parameters
from distilrank.models.load import load_model, position_limit
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from tests.bilstms import MAX_WORDS, tiny_bilstm, tiny_word_tokenizer
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

Array = NDArray[np.float64]
PAIRS = tiny_pairs(12, lengths=(5, 0, 30, 1, 12))


@pytest.mark.parametrize(("dimensions", "parameters"), [(300, 963_002), (100, 483_002)])
def test_the_papers_model_has_the_papers_number_of_parameters(dimensions: int, parameters: int) -> None:
    model = new_bilstm(np.zeros((10, dimensions), np.float32), num_labels=2, siamese=False)
    assert (model.config.hidden_size, model.config.fully_connected_size, model.config.channels) == (150, 200, 2)
    counted = count_parameters(model)
    assert counted.total - counted.embeddings == parameters
    assert counted.embeddings == 2 * 10 * dimensions


# --- the network, computed without torch


def weights_of(model: BiLstmForSequenceClassification) -> dict[str, Array]:
    return {name: value.double().numpy() for name, value in model.state_dict().items()}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def last_state(weights: dict[str, Array], words: Array, *, suffix: str = "") -> Array:
    """The final hidden state of an LSTM over (length, input): gates in, forget, cell, out."""
    h = c = np.zeros(weights["lstm.weight_hh_l0"].shape[1])
    for word in words:
        gates = weights[f"lstm.weight_ih_l0{suffix}"] @ word + weights[f"lstm.bias_ih_l0{suffix}"]
        gates = gates + weights[f"lstm.weight_hh_l0{suffix}"] @ h + weights[f"lstm.bias_hh_l0{suffix}"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def text_vector(weights: dict[str, Array], ids: list[int]) -> Array:
    words = np.concatenate([weights["embeddings.static.weight"], weights["embeddings.tuned.weight"]], axis=1)[
        ids or [0]
    ]
    return np.concatenate([last_state(weights, words), last_state(weights, words[::-1], suffix="_reverse")])


def head(weights: dict[str, Array], features: Array) -> Array:
    hidden = np.maximum(weights["fully_connected.weight"] @ features + weights["fully_connected.bias"], 0)
    return weights["output.weight"] @ hidden + weights["output.bias"]


def changed_apart(model: BiLstmForSequenceClassification) -> BiLstmForSequenceClassification:
    """Make the two channels different, as training does."""
    assert model.embeddings.static is not None
    with torch.no_grad():
        model.embeddings.tuned.weight.add_(0.3).mul_(1.2)
        model.embeddings.tuned.weight[0] = 0
    return model


def test_single_texts_are_those_of_an_independent_computation() -> None:
    model, tokenizer = changed_apart(tiny_bilstm(num_labels=3, siamese=False)), tiny_word_tokenizer()
    texts = [passage for _, passage in PAIRS]
    weights = weights_of(model)
    expected = [head(weights, text_vector(weights, encoded.input_ids)) for encoded in tokenizer.encode(texts)]
    np.testing.assert_allclose(TorchScorer(model, tokenizer).logits(texts), expected, atol=1e-5)


def test_pairs_are_those_of_an_independent_computation() -> None:
    model, tokenizer = changed_apart(tiny_bilstm(num_labels=2)), tiny_word_tokenizer()
    queries, passages = zip(*PAIRS, strict=True)
    weights = weights_of(model)
    expected = []
    for one, other in zip(tokenizer.encode(queries), tokenizer.encode(passages), strict=True):
        h1, h2 = text_vector(weights, one.input_ids), text_vector(weights, other.input_ids)
        expected.append(head(weights, np.concatenate([h1, h2, h1 * h2, np.abs(h1 - h2)])))
    np.testing.assert_allclose(TorchScorer(model, tokenizer).logits(queries, passages), expected, atol=1e-5)
    assert np.ptp(np.array(expected), axis=0).min() > 1e-3


@pytest.mark.parametrize("siamese", [False, True])
def test_padding_and_company_change_nothing(siamese: bool) -> None:
    model, tokenizer = tiny_bilstm(siamese=siamese), tiny_word_tokenizer()
    queries, passages = zip(*PAIRS, strict=True)
    encoded = tokenizer.encode(queries, passages if siamese else None)
    together = answer(model, Batch.from_arrays(tokenizer.pad(encoded, length=70))).logits
    alone = [
        answer(model, Batch.from_arrays(tokenizer.pad([item], length=max(1, len(item))))).logits for item in encoded
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)


def test_gradients_are_those_of_packed_sequences() -> None:
    model = tiny_bilstm(siamese=False).double().train()
    ids, lengths = torch.randint(1, 20, (5, 9)), torch.tensor([9, 4, 1, 7, 3])
    wanted = torch.randn(5, 2 * model.config.hidden_size, dtype=torch.float64)
    found = []
    for packed in (False, True):
        model.zero_grad()
        if packed:
            texts = pack_padded_sequence(model.embeddings(ids), lengths, batch_first=True, enforce_sorted=False)
            vectors = torch.cat([*model.lstm(texts)[1][0]], dim=-1)
        else:
            vectors = model.encode(ids, lengths)
        (vectors * wanted).sum().backward()
        found.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    assert {"lstm.weight_hh_l0", "lstm.weight_hh_l0_reverse", "embeddings.tuned.weight"} <= ours.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-10, atol=1e-12)


def test_a_text_does_not_depend_on_the_other_of_its_pair() -> None:
    tokenizer = tiny_word_tokenizer()
    long = " ".join(["river"] * 50)
    (alone,) = tokenizer.encode([long])
    for query in ("the old city", long):
        (pair,) = tokenizer.encode([query], [long])
        second = [i for i, kind in zip(pair.input_ids, pair.token_type_ids, strict=True) if kind]
        assert second == alone.input_ids
        assert len(second) == MAX_WORDS


@pytest.mark.parametrize("siamese", [False, True])
def test_texts_without_a_word_are_read_alone_as_beside_others(siamese: bool) -> None:
    scorer = TorchScorer(tiny_bilstm(siamese=siamese), tiny_word_tokenizer())
    second = ["", "old city"] if siamese else None
    both = scorer.logits(["", ""], second)
    alone = scorer.logits([""], None if second is None else second[:1])
    np.testing.assert_allclose(alone, both[:1], atol=1e-6)


def test_the_static_channel_and_the_padding_row_are_not_trained() -> None:
    model, tokenizer = tiny_bilstm(), tiny_word_tokenizer()
    batch = Batch.from_arrays(tokenizer.pad(tokenizer.encode(["the old city", "a"], ["", "red wine"])))
    answer(model, batch).logits.sum().backward()
    assert model.embeddings.static is not None
    assert model.embeddings.static.weight.grad is None
    gradient = model.embeddings.tuned.weight.grad
    assert gradient is not None
    assert gradient[0].abs().max() == 0
    assert gradient[tokenizer.encode(["city"])[0].input_ids].abs().max() > 0
    assert all(p.grad is not None for n, p in model.named_parameters() if "static" not in n)


def test_one_channel_has_no_static_copy_and_both_channels_start_alike() -> None:
    one, two = tiny_bilstm(channels=1), tiny_bilstm(channels=2)
    assert one.embeddings.static is None
    assert one.lstm.input_size == 6
    assert two.lstm.input_size == 12
    assert two.embeddings.static is not None
    assert torch.equal(two.embeddings.static.weight, two.embeddings.tuned.weight)
    assert two.embeddings.tuned.weight[0].abs().max() == 0
    assert two.embeddings.tuned.weight[1].abs().max() > 0


def test_one_seed_one_network_and_torchs_own_initialisation() -> None:
    one, same, other = tiny_bilstm(), tiny_bilstm(), tiny_bilstm(seed=1)
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())
    assert not torch.equal(one.output.weight, other.output.weight)
    bound = 5**-0.5
    assert 0.8 * bound < one.lstm.weight_hh_l0.abs().max() <= bound


def test_a_saved_bilstm_is_the_same_network_for_every_loader(tmp_path: Path) -> None:
    model, tokenizer = changed_apart(tiny_bilstm(num_labels=2)), tiny_word_tokenizer()
    save_model(model, tokenizer, tmp_path / "bilstm")
    expected = TorchScorer(model, tokenizer).logits(*zip(*PAIRS, strict=True))
    for loaded in (load_bilstm(tmp_path / "bilstm"), load_model(tmp_path / "bilstm")):
        assert isinstance(loaded[0], BiLstmForSequenceClassification)
        assert not loaded[0].training
        np.testing.assert_array_equal(TorchScorer(*loaded).logits(*zip(*PAIRS, strict=True)), expected)
        assert loaded[1].max_tokens == MAX_WORDS
        assert loaded[1].encode(["Don't [MASK] THE city zzz"])[0].input_ids[1:] == [
            2, *tokenizer.encode(["the city"])[0].input_ids, 1,
        ]  # fmt: skip
        static = loaded[0].embeddings.static
        assert static is not None
        batch = Batch.from_arrays(loaded[1].pad(loaded[1].encode(["the old city"], ["red wine"])))
        answer(loaded[0], batch).logits.sum().backward()
        assert static.weight.grad is None
    assert {path.name for path in (tmp_path / "bilstm").iterdir()} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }


def test_a_part_of_a_bilstm_does_not_become_an_encoder_under_a_new_head(tmp_path: Path) -> None:
    save_model(tiny_bilstm(num_labels=3), tiny_word_tokenizer(), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    whole = load_model(tmp_path, num_labels=1)[0].state_dict()
    for name, weight in weights.items():
        assert name.startswith("output.") or torch.equal(whole[name], weight)
    del weights["lstm.weight_ih_l0"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of the weights .* lstm\.weight_ih_l0"):
        load_model(tmp_path, num_labels=1)


def test_other_networks_are_refused_and_an_lstm_has_no_positions_to_run_out_of(tmp_path: Path) -> None:
    save_model(tiny_model(), tiny_tokenizer(), tmp_path / "bert")
    with pytest.raises(ModelError, match="holds a BertForSequenceClassification, not a BiLSTM"):
        load_bilstm(tmp_path / "bert")
    assert position_limit(tiny_bilstm().config) > 100_000


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"hidden": 0}, "hidden is 0 but must be at least 1"),
        ({"fully_connected": 0}, "fully_connected is 0"),
        ({"channels": 3}, r"channels is 3 but must be 1 \(tuned\) or 2"),
        ({"num_labels": 0}, "labels is 0"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, int], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        new_bilstm(np.zeros((4, 3), np.float32), **{"num_labels": 2, "siamese": False, **wrong})  # type: ignore[arg-type]
