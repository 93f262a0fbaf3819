"""Work of awd_keras, as users run it."""

import keras
import numpy as np
from cache_text import draw

from awd_keras import callbacks, data, models, optimizers
from awd_keras.evaluation import perplexity, score_texts
from awd_keras.evaluation.cache import cache_loss
from awd_keras.evaluation.perplexity import Window
from awd_keras.generation import generate

# The number of sentences that are read together.
TEXTS = 32


def training(shape, steps, averaging=False):
    """Steps of `fit` with the whole recipe.

    Args:
        shape: a `Shape`.
        steps: the number of steps in a sample.
        averaging: whether NT-ASGD averages.

    Returns:
        A function that computes a sample.
    """
    tokens = np.random.default_rng(0).integers(shape.vocabulary_size, size=shape.tokens * steps + 1)
    dataset = data.BPTTDataset(tokens, shape.batch_size, shape.bptt, variable=False)
    model = models.AWDLSTM(**shape.model, seed=0)
    model.compile(optimizers.NTASGD(learning_rate=1.0))
    # The callbacks of `callbacks.awd_lstm` without the trigger, which needs validation; that isn't timed here.
    parts = [callbacks.ResetStates(), callbacks.ScaleLearningRate(dataset), callbacks.SwapAveragedWeights()]

    def run():
        model.fit(dataset, callbacks=parts, verbose=0)

    if averaging:
        run()
        model.optimizer.start_averaging()
    return run


def classification(shape, tokens, most):
    """A step of a classifier's `fit` on texts of one length.

    Args:
        shape: a `Shape`, whose batch size is the number of texts.
        tokens: the number of tokens in a text.
        most: the classifier's `max_gradient_tokens`.

    Returns:
        A function that makes the step.
    """
    rng = np.random.default_rng(0)
    ids = rng.integers(shape.vocabulary_size, size=(shape.batch_size, tokens))
    labels = rng.integers(2, size=shape.batch_size)
    classifier = models.TextClassifier(models.AWDLSTM(**shape.model, seed=0), 2, max_gradient_tokens=most)
    classifier.compile("adam")

    def run():
        classifier.fit(ids, labels, batch_size=shape.batch_size, verbose=0)

    return run


def evaluation(shape, batch_size, windows):
    """`model.evaluate` on a stream, as `fit` does between epochs.

    Args:
        shape: a `Shape`, whose batch size isn't used.
        batch_size: the number of rows of the stream.
        windows: the number of windows in each row.

    Returns:
        A function that scores the stream.
    """
    tokens = np.random.default_rng(0).integers(shape.vocabulary_size, size=batch_size * windows * shape.bptt + 1)
    dataset = data.BPTTDataset(tokens, batch_size, shape.bptt, variable=False)
    model = models.AWDLSTM(**shape.model, seed=0)
    model.compile()

    def run():
        model.evaluate(dataset, verbose=0)

    return run


def generation(shape, words):
    """Writes `words` words, one after the other."""
    vocabulary = data.Vocabulary([*(f"word{index}" for index in range(shape.vocabulary_size - 1)), "<eos>"])
    model = models.AWDLSTM(**shape.model, seed=0)

    def run():
        generate(model, vocabulary, "", max_words=words, seed=0)

    return run


def texts(shape, count, words, together):
    """Scores `count` sentences of `words` words: each by itself, or `together` as one stream."""
    vocabulary = data.Vocabulary([*(f"word{index}" for index in range(shape.vocabulary_size - 1)), "<eos>"])
    drawn = np.random.default_rng(0).integers(shape.vocabulary_size - 1, size=(count, words))
    sentences = [" ".join(vocabulary.decode(ids)) for ids in drawn]
    model = models.AWDLSTM(**shape.model, seed=0)
    model.build((TEXTS, None))

    def run():
        if together:
            # Includes looking up the words, as `score_texts` does.
            tokens = np.concatenate([vocabulary.encode(sentence.split()) for sentence in sentences])
            perplexity(model, tokens, batch_size=TEXTS)
        else:
            score_texts(model, vocabulary, sentences, TEXTS)

    return run


def cache(shape, tokens, window):
    """The work of `cache_perplexity` without the model, whose results are random.

    Args:
        shape: a `Shape`.
        tokens: the number of tokens in the text.
        window: the number of words in the cache.

    Returns:
        A function that scores the text, and returns the mean cross-entropy.
    """
    states, words = draw(shape, tokens)
    log_p = np.full(tokens, -np.log(shape.vocabulary_size), "float32")
    edges = range(shape.bptt, tokens, shape.bptt)
    parts = [Window(*part) for part in zip(*(np.split(array, edges) for array in (words, log_p, states)), strict=True)]

    states_alone = keras.Input((shape.bptt,))
    holder = keras.Model(states_alone, states_alone)  # holds the cache's program, instead of a language model

    def run():
        return cache_loss(holder, parts, window, interpolation=0.1, theta=1.0, wait_until_full=True)[0]

    return run
