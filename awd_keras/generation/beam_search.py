"""Beam search: the likeliest text, found by keeping a few candidates at a time."""

import math

import numpy as np

from awd_keras.generation.next_words import next_logits, read_logits, read_prompts
from awd_keras.inference import move_rows


def beam_search(model, vocabulary, prompts, num_beams, choice, max_words, stop, length_penalty):
    """The best text after each prompt, as the docstring of `generate` defines it.

    Args:
        model: the `keras.Model`, which carries its state; it is built for `num_beams` rows a prompt.
        vocabulary: the `Vocabulary` of the model.
        prompts: a list of lists of ids, none empty.
        num_beams: the number of texts that are kept for each prompt.
        choice: the `Choice`, which decides which words are penalized and banned.
        max_words: the most words of a text.
        stop: ids of the words that end a text.
        length_penalty: the exponent of a text's number of words in its score.

    Returns:
        For each prompt the ids after it, without the word that ended them.
    """
    beams = [_Beams(prompt, num_beams, length_penalty) for prompt in prompts]
    inputs = read_prompts(model, [prompt for prompt in prompts for _ in range(num_beams)])
    origin = np.arange(len(inputs), dtype="int32")
    for _ in range(max_words):
        # Every call has all rows, so that one program serves all calls.
        logits = read_logits(model, vocabulary, _moved_logits, inputs, origin)
        for place, beam in enumerate(beams):
            if len(beam.ended) < num_beams:
                rows = slice(place * num_beams, (place + 1) * num_beams)
                words, moved = beam.read(logits[rows], choice, stop)
                inputs[rows, 0], origin[rows] = words, place * num_beams + moved
        if all(len(beam.ended) >= num_beams for beam in beams):
            break
    return [beam.best() for beam in beams]


def _moved_logits(model, ids, origin):
    move_rows(model, origin)
    return next_logits(model, ids)


class _Beams:
    """The texts that are kept after one prompt: the ids `texts`, their log-probabilities `sums`, and those `ended`."""

    def __init__(self, prompt, count, length_penalty):
        self.prompt = prompt
        self.texts: list[list[int]] = [[] for _ in range(count)]
        # All candidates begin as the same text, so only one of them is possible.
        self.sums = np.full(count, -np.inf)
        self.sums[0] = 0
        self.ended = []
        self.length_penalty = length_penalty

    def read(self, logits, choice, stop):
        """Continues the texts by the likeliest words. Returns each text's last word, and which text it continues."""
        log_p = np.array(
            [_log_softmax(choice.adjust(row, self.prompt + text)) for row, text in zip(logits, self.texts, strict=True)]
        )
        sums = self.sums[:, None] + log_p
        for beam, word in _largest(sums, len(self.texts)):
            if word in stop and sums[beam, word] > -np.inf:
                # Less likely candidates are skipped, as enough unfinished texts are kept already.
                text = self.texts[beam]
                self.ended.append((self._score(sums[beam, word], len(text) + 1), text))
        sums[:, stop] = -np.inf
        kept = _largest(sums, len(self.texts))
        self.texts = [[*self.texts[beam], int(word)] for beam, word in kept]
        self.sums = np.array([sums[beam, word] for beam, word in kept])
        moved, words = zip(*kept, strict=True)
        return words, np.array(moved)

    def best(self):
        """The text with the highest score of those that have ended, or also of the unfinished ones if too few have."""
        going = [] if len(self.ended) >= len(self.texts) else zip(self.sums, self.texts, strict=True)
        scored = [*self.ended, *((self._score(total, len(text)), text) for total, text in going)]
        return max(scored, key=lambda pair: pair[0])[1]

    def _score(self, total, words):
        """A number that orders texts as `total / words ** length_penalty` does, and is in range for any penalty."""
        return self.length_penalty * math.log(words) - (math.log(-total) if total else -math.inf)


def _largest(sums, count):
    """Rows and columns of the largest values. Of equal ones, the first."""
    places = np.argsort(-sums, axis=None, kind="stable")[:count]
    return list(zip(*np.unravel_index(places, sums.shape), strict=True))


def _log_softmax(logits):
    shifted = logits.astype("float64") - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
