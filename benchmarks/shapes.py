"""The sizes of the benchmarks' models and windows."""

import dataclasses
import itertools


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes of a language model and of its training windows. The defaults are the paper's for Penn Treebank."""

    vocabulary_size: int = 10_000
    embedding_dim: int = 400
    hidden_units: int = 1150
    num_layers: int = 3
    input_dropout: float = 0.4
    hidden_dropout: float = 0.25
    output_dropout: float = 0.4
    embedding_dropout: float = 0.1
    weight_drop: float = 0.5
    alpha: float = 2.0
    beta: float = 1.0
    batch_size: int = 20
    bptt: int = 70

    @property
    def tokens(self) -> int:
        """The number of tokens in a step."""
        return self.batch_size * self.bptt

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, units) of each LSTM."""
        sizes = [self.embedding_dim] + [self.hidden_units] * (self.num_layers - 1) + [self.embedding_dim]
        return list(itertools.pairwise(sizes))

    @property
    def model(self) -> dict:
        """The arguments of the model, without those of the data."""
        arguments = dataclasses.asdict(self)
        del arguments["batch_size"], arguments["bptt"]
        return arguments


SHAPES = {
    "ptb": Shape(),
    "wikitext-2": Shape(vocabulary_size=33_278, batch_size=80, input_dropout=0.65, hidden_dropout=0.2),
    "small": Shape(
        embedding_dim=128,
        hidden_units=256,
        num_layers=2,
        input_dropout=0.2,
        hidden_dropout=0.1,
        output_dropout=0.2,
        embedding_dropout=0.05,
        weight_drop=0.2,
        alpha=1.0,
        beta=0.5,
        batch_size=40,
    ),
}
