"""Code of users who check types with `mypy --strict`, with every public name. `nox -s lint` checks this file.

`test_types.py` checks that no name is missing. This file never runs: the functions that it calls are tested elsewhere.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import keras
import numpy as np

import awd_keras
from awd_keras import analysis, callbacks, evaluation, generation, models, runs, verification
from awd_keras.data import EOS, UNK, BPTTDataset, Corpus, TextDataset, Vocabulary, encode_file, read_vectors
from awd_keras.layers import (
    QRNN,
    AblatedLSTM,
    AdaptiveSoftmax,
    ConcatPooling,
    EmbeddingDropout,
    LockedDropout,
    MogrifierLSTM,
    WeightDropGRU,
    WeightDropLSTM,
)
from awd_keras.losses import TokenCrossEntropy
from awd_keras.metrics import BitsPerCharacter, MeanCrossEntropy, Perplexity
from awd_keras.models import AWDLSTM, PRESETS, Preset, TextClassifier
from awd_keras.optimizers import NTASGD, L2WeightDecay, LayerwiseLearningRate, schedules
from awd_keras.regularizers import ActivationRegularizer, TemporalActivationRegularizer


def read(path: Path) -> Corpus:
    corpus = Corpus.from_directory(path, min_count=2) if path.exists() else Corpus.python_docs()
    assert_type(corpus.digest, str)
    assert_type(corpus.unknown_tokens, dict[str, int])
    assert_type(corpus.words_seen_once, int)
    assert_type(corpus.vocabulary, Vocabulary)
    return corpus


def words(vocabulary: Vocabulary, path: Path) -> list[str]:
    vocabulary.save(path)
    known = [word for word in Vocabulary.load(path) if word in vocabulary and word not in (EOS, UNK)]
    assert_type(vocabulary[known[0]], int)
    assert_type(vocabulary.words, tuple[str, ...])
    Vocabulary.from_counts({"the": 2})
    assert_type(vocabulary.count_unknown(encode_file(path, vocabulary)), int)
    return Vocabulary.from_words(known).decode(vocabulary.encode(known))


def own_model(size: int, dataset: BPTTDataset) -> Any:
    tokens = keras.Input((None,), batch_size=20, dtype="int32")
    embedding = EmbeddingDropout(size, 8, rate=0.1)
    embedding.build((20, None))
    EmbeddingDropout(size, 8, weights=np.zeros((size, 8)), tie_weights=False, logit_soft_cap=30.0).quantize("int8")
    x = LockedDropout(0.4)(embedding(tokens))
    x = AblatedLSTM(16, "-srnn-out", return_sequences=True)(x)
    x = QRNN(16, window=2, zoneout=0.1, return_sequences=True)(x)
    x = MogrifierLSTM(16, rounds=3, rank=4, return_sequences=True)(x)
    gru = WeightDropGRU(16, weight_drop=0.5, return_sequences=True)
    x = gru(x)
    assert_type(gru.computed_by, str | None)
    tar = TemporalActivationRegularizer(beta=1.0)
    lstm = WeightDropLSTM(8, return_sequences=True, stateful=True, activity_regularizer=tar)
    lstm.build((20, None, 16))
    lstm.reset_state()
    assert lstm.states is not None
    x = LockedDropout(0.4, activity_regularizer=ActivationRegularizer(alpha=2.0))(lstm(x))
    model = keras.Model(tokens, embedding(x, reverse=True))
    model.compile(NTASGD(), TokenCrossEntropy(), metrics=[Perplexity(), BitsPerCharacter(), MeanCrossEntropy()])
    model.fit(dataset, callbacks=callbacks.awd_lstm(dataset))
    return model


def by_layers(model: Any, steps: int) -> None:
    rate = schedules.SlantedTriangular(1e-3, steps, cut_fraction=0.2)
    optimizer = LayerwiseLearningRate(keras.optimizers.Adam(rate), {"lstm_0": 0.5, "head": 1})
    optimizer.build(model.trainable_variables)
    optimizer.freeze("lstm_0")
    optimizer.unfreeze("lstm_0")
    optimizer.multipliers["head"].assign(0.1)
    model.compile(LayerwiseLearningRate(NTASGD(), "ulmfit"))
    model.compile(L2WeightDecay(keras.optimizers.Adam(1e-3), weight_decay=1e-6))
    model.fit(callbacks=[callbacks.GradualUnfreezing(["head", ["lstm_0", "embedding"]], epochs_each=2)])


class Letters:
    words = ("a", "b")

    def encode(self, text: str) -> list[int]:
        return [self.words.index(letter) for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.words[i] for i in ids)


def own_tokens(model: AWDLSTM, path: Path) -> str:
    letters = Letters()
    corpus = Corpus.from_directory(path, vocabulary=letters)
    assert_type(Vocabulary.of(letters), Vocabulary)
    assert_type(Corpus.from_directory(path, unit="byte"), Corpus)
    evaluation.perplexity(model, corpus.test, vocabulary=letters)
    return generation.generate(model, letters, "ab")


def classify(language_model: AWDLSTM, vocabulary: Vocabulary, texts: list[str], labels: list[int]) -> Any:
    dataset = TextDataset(texts, labels, vocabulary, batch_size=8, max_tokens=500)
    classifier = TextClassifier(language_model, 2, dropout=0.1, hidden_units=[50], max_gradient_tokens=None)
    classifier.compile(keras.optimizers.Adam(1e-3))
    classifier.fit(dataset, epochs=2)
    table, missing = read_vectors("vectors.txt", vocabulary)
    AWDLSTM(len(vocabulary), embeddings=table, seed=len(missing))
    adapted = models.adapt_vocabulary(language_model, vocabulary, Vocabulary.from_words(texts))
    assert_type(adapted, AWDLSTM)
    assert_type(models.load_torch_weights(adapted, "wt103.safetensors"), list[str])
    characters = Vocabulary.from_words("a text", unit="character")
    assert_type(characters.join(characters.cut("text")), str)
    assert_type(characters.unit, str)
    assert_type(Vocabulary.from_pickled_list("itos.pkl"), Vocabulary)
    pooled = ConcatPooling()(classifier.embedding(dataset[0][0]))
    return pooled, dataset.in_order_of_texts(classifier.predict(dataset))


def layer_by_layer(sizes: tuple[int, int], ids: np.ndarray[Any, np.dtype[np.int32]]) -> Any:
    adaptive = AdaptiveSoftmax(*sizes, cutoffs=[2])
    adaptive.build()
    hidden = adaptive(ids)
    return adaptive.loss(hidden, ids) + adaptive.log_prob(hidden)


def own_loop(model: AWDLSTM, dataset: BPTTDataset) -> float:
    model.reset_states()
    optimizer, loss, metric = NTASGD(learning_rate=10.0), TokenCrossEntropy(), Perplexity()
    model.build((20, None))
    optimizer.build(model.trainable_variables)
    for epoch in range(2):
        dataset.set_epoch(epoch)
        for layer in model.lstms:
            layer.reset_training_state()
        for index in range(len(dataset)):
            x, y = dataset[index]
            logits = model(x, training=True)
            penalty = ActivationRegularizer()(logits) + TemporalActivationRegularizer()(logits)
            metric.update_state(y, logits)
            optimizer.apply([loss(y, logits) + penalty])
        assert_type(optimizer.update_trigger(float(metric.result())), bool)
    optimizer.use_averages()
    optimizer.use_iterates()
    optimizer.start_averaging()
    assert_type(optimizer.averaging, bool)
    assert_type(dataset.window_lengths(0).tolist(), Any)
    return float(metric.result())


def compiled_model(corpus: Corpus) -> AWDLSTM:
    preset = PRESETS["tiny"]
    assert_type(preset, Preset)
    train = BPTTDataset(corpus.train, preset.batch_size, bptt=preset.bptt)
    model = AWDLSTM.from_preset("tiny", len(corpus.vocabulary), seed=1)
    model.compile(NTASGD(**preset.optimizer))
    each = [
        callbacks.ScaleLearningRate(train),
        callbacks.ResetStates(),
        callbacks.NonMonotonicTrigger(),
        callbacks.SwapAveragedWeights(),
        callbacks.SynchronizeReplicas(train),
        callbacks.CatchNonFinite(train, skip=True),
    ]
    model.fit(train, epochs=2, validation_data=train, callbacks=each)
    models.inference_step(model)
    models.layout_map(keras.distribution.DeviceMesh((1, 1), ["batch", "model"]))
    return model


def scores(model: AWDLSTM, corpus: Corpus) -> Iterator[float]:
    score = evaluation.perplexity(model, corpus.test, vocabulary=corpus.vocabulary)
    assert_type(score, evaluation.Score)
    assert_type(score.unknown_tokens, int | None)
    yield score.perplexity
    yield evaluation.cache_perplexity(model, corpus.test).bits_per_token
    rms = evaluation.gradient_rms(model, corpus.train)
    yield evaluation.dynamic_perplexity(model, corpus.test, rms=rms).loss
    trials = evaluation.tune_cache(model, corpus.valid) + evaluation.tune_dynamic(model, corpus.valid, rms=rms)
    assert_type(trials, list[evaluation.Trial])
    yield trials[0].score.seconds
    table = evaluation.surprisal(model, corpus.vocabulary, "the value")
    assert_type(table, evaluation.SurprisalTable)
    costs: list[evaluation.WordCost] = table.worst(3)
    each: list[evaluation.WordSurprisal] = list(table)
    yield costs[0].mean_bits + each[0].bits + table.bits_per_word
    of_texts: list[evaluation.TextScore] = evaluation.score_texts(model, corpus.vocabulary, ["the value"])
    yield of_texts[0].log_probability
    yield evaluation.ngram_perplexity(corpus.train, corpus.test, len(corpus.vocabulary))


def written(model: AWDLSTM, vocabulary: Vocabulary) -> str:
    assert_type(generation.generate(model, vocabulary, ["the", "value"]), list[str])
    assert_type(generation.next_words(model, vocabulary, "the"), list[tuple[str, float]])
    told = [word for _, word in generation.stream(model, vocabulary, "the value", seed=1)]
    return generation.generate(model, vocabulary, "the value", top_k=5) + " ".join(told)


def drawn(model: AWDLSTM, vocabulary: Vocabulary, directory: Path) -> list[Path]:
    found = analysis.analyse(model, vocabulary, "the value")
    assert_type(found, analysis.TextAnalysis)
    layer: analysis.LayerAnalysis = found.layers[0]
    analysis.plot_gates(layer.gates, found.words, directory / "gates.png")
    analysis.plot_memory(layer.memory, found.words, directory / "memory.png")
    x = np.zeros((1, 2, 8), "float32")
    assert_type(analysis.gate_activations(model.lstms[0], x), analysis.Gates)
    assert_type(analysis.memory_weights(model.lstms[0], x), analysis.Memory)
    return analysis.write_analysis(found, directory)


def in_a_directory(directory: Path, corpus: Corpus) -> list[str]:
    runs.train(directory, corpus, epochs=1, verbose=0)
    runs.resume(directory, epochs=2)
    runs.train(directory / "other", start_from=directory, backwards=True)
    runs.finetune(directory, directory / "finetuned")
    run = runs.Run.open(directory)
    model: Any = run.model()
    last = runs.Checkpoints(directory).load(model)
    assert_type(last, int | None)
    dataset = BPTTDataset(runs.corpus_of(run).train, 20)
    assert_type(dataset.in_epoch, bool)
    try:
        with runs.StopOnSignal() as stop:
            model.fit(dataset, callbacks=[stop, runs.RunRecorder(run, dataset)])
    except runs.Interrupted as interrupted:
        return [str(interrupted)]
    checks: list[verification.Check] = awd_keras.verification.verify()
    return [check.name for check in checks if not check.passed]
