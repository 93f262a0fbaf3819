"""`awd-keras evaluate --worst`."""

import pytest

from awd_keras import cli, evaluation, runs
from awd_keras.data import Corpus
from awd_keras.models import AWDLSTM, PRESETS
from backends_tests.runs.small_run import write_text

pytestmark = pytest.mark.once


def test_lists_the_words_that_cost_most(tmp_path, capsys):
    write_text(tmp_path / "text")
    corpus = Corpus.from_directory(tmp_path / "text")
    model = AWDLSTM(len(corpus.vocabulary), embedding_dim=4, hidden_units=4, num_layers=1, seed=1)
    model.build((PRESETS["tiny"].valid_batch_size, None))
    run = runs.Run.create(tmp_path / "run", {"preset": "tiny", "bptt": 10}, corpus.vocabulary)
    run.write_model(model)
    command = ["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "text")]
    assert cli.main([*command, "--worst", "4"]) == 0
    scores, header, *rows = capsys.readouterr().out.split("\n", 3)[1:]
    assert scores.startswith("test ")
    assert header == ""
    table = evaluation.surprisal(
        model, corpus.vocabulary, corpus.valid, batch_size=PRESETS["tiny"].valid_batch_size, bptt=10
    )
    header, *rows = rows[0].splitlines()
    assert header.split("  ")[1:] == ["total bits", "occurrences", "mean bits", "word"]
    assert [row.split() for row in rows] == [
        [f"{cost.total_bits:.1f}", str(cost.occurrences), f"{cost.mean_bits:.2f}", cost.word] for cost in table.worst(4)
    ]


@pytest.mark.parametrize("count", ["0", "-3"])
def test_bad_counts(capsys, count):
    assert cli.main(["evaluate", "nowhere", "--worst", count]) == 2
    assert f"Option --worst must be a positive integer. Received: {count}" in capsys.readouterr().err
