"""`examples/ablation.py`: what each variant changes, the table for given results, and that it continues."""

import importlib.util
import json
import shutil
from pathlib import Path

import keras
import pytest

from awd_keras import runs
from awd_keras.models import PRESETS
from awd_keras.optimizers import NTASGD
from backends_tests.runs.small_run import make_corpus, write_text

SCRIPT = Path(__file__).parents[2] / "examples" / "ablation.py"
SIZES = {"embedding_dim": 6, "hidden_units": 8, "num_layers": 2}
SETTINGS = {"preset": "ptb", **SIZES, "batch_size": 4, "epochs": 7, "finetune_epochs": 3, "non_monotone_interval": 2}
TITLE = {**SETTINGS, "backend": "jax", "train_tokens": 1234, "words": 56}


@pytest.fixture(scope="module")
def ablation():
    specification = importlib.util.spec_from_file_location("ablation", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("variant", "model", "optimizer", "others"),
    [
        ("weight-drop", {"weight_drop": 0.0}, {}, {}),
        ("embedding-dropout", {"embedding_dropout": 0.0}, {}, {}),
        ("ar-tar", {"alpha": 0.0, "beta": 0.0}, {}, {}),
        ("small-embedding", {"embedding_dim": 8}, {}, {}),
        ("weight-decay", {}, {"weight_decay": 0.0}, {}),
        ("nt-asgd", {}, {"non_monotone_interval": 7}, {}),
        ("variable-length", {}, {}, {"variable": False}),
    ],
)
def test_a_variant_differs_from_the_full_model_in_its_own_part_alone(ablation, variant, model, optimizer, others):
    full = ablation.arguments_of("full", SETTINGS)
    assert full == {
        "preset": "ptb",
        "model": SIZES,
        "optimizer": {"non_monotone_interval": 2},
        "epochs": 7,
        "batch_size": 4,
        "variable": True,
    }
    expected = {**full, **others, "model": {**SIZES, **model}, "optimizer": {**full["optimizer"], **optimizer}}
    assert ablation.arguments_of(variant, SETTINGS) == expected
    # The presets have all parts that are left out.
    assert {"tiny", "ptb", "wikitext-2"} <= {*ablation.AVERAGED} < {*PRESETS}
    for preset in map(PRESETS.get, ablation.AVERAGED):
        assert all(preset.model[name] > 0 for name in model)
        assert all(preset.optimizer[name] > 0 for name in optimizer)


def test_the_settings_are_the_preset_s_own_but_for_those_given(ablation):
    corpus = make_corpus()
    own = ablation.settings_of(ablation.parse(["--output", "x", "--preset", "ptb"]), corpus)
    assert {name: own[name] for name in SETTINGS} == {
        "preset": "ptb",
        "embedding_dim": 400,
        "hidden_units": 1150,
        "num_layers": 3,
        "batch_size": 20,
        "epochs": 500,
        "finetune_epochs": 500,
        "non_monotone_interval": 5,
    }
    assert (own["train_tokens"], own["words"], own["text_digest"]) == (65, 9, corpus.digest)
    assert own["backend"] == keras.backend.backend()
    given = ["--epochs", "4", "--hidden-units", "7", "--non-monotone-interval", "2"]
    changed = ablation.settings_of(ablation.parse(["--output", "x", "--preset", "ptb", *given]), corpus)
    # By default, fine-tuning has as many epochs as training.
    expected = {**own, "epochs": 4, "finetune_epochs": 4, "hidden_units": 7, "non_monotone_interval": 2}
    assert changed == expected
    none = ablation.parse(["--output", "x", "--preset", "ptb", *given, "--finetune-epochs", "0"])
    assert ablation.settings_of(none, corpus) == {**expected, "finetune_epochs": 0}


def test_without_nt_asgd_averaging_never_begins(ablation):
    triggered = {}
    for variant in ("full", "nt-asgd"):
        optimizer = NTASGD(**ablation.arguments_of(variant, SETTINGS)["optimizer"])
        optimizer.build([])
        # Measures that only get worse, one for each epoch.
        triggered[variant] = any(optimizer.update_trigger(measure) for measure in range(1, 1 + SETTINGS["epochs"]))
    assert triggered == {"full": True, "nt-asgd": False}


def test_which_variants_are_fine_tuned(ablation, tmp_path):
    def names(variant, finetune_epochs):
        paths = ablation.directories(tmp_path, variant, 3, {"finetune_epochs": finetune_epochs})
        return [path and str(path.relative_to(tmp_path)) for path in paths]

    for variant in ablation.PAPER:
        finetuned = f"{variant}/seed-3-finetuned"
        assert names(variant, 0) == ["full/seed-3" if variant == "fine-tuning" else f"{variant}/seed-3", None]
        if variant == "fine-tuning":
            assert names(variant, 1) == ["full/seed-3", None]
        else:
            assert names(variant, 1) == [f"{variant}/seed-3", None if variant == "nt-asgd" else finetuned]


def results(values, epochs=(5, None, 6)):
    return {
        seed: {"valid_perplexity": 2 * value, "test_perplexity": value, "triggered_epoch": epoch}
        for seed, (value, epoch) in enumerate(zip(values, epochs, strict=False))
    }


def test_the_figures_of_the_table(ablation, tmp_path):
    found = {
        "full": results([100.0, 110.0, 90.0]),
        "fine-tuning": results([101.0, 111.0, 92.0]),
        "nt-asgd": results([99.0, 108.0, 89.5]),
        "weight-drop": results([101.0, 108.0, 90.0]),
        "ar-tar": results([120.0]),
        "weight-decay": {},
    }
    rows = {row["variant"]: row for row in ablation.summarize(found)}
    row = rows["nt-asgd"]
    assert row["seeds"] == [0, 1, 2]
    assert row["test_perplexity"] == pytest.approx([(99 + 108 + 89.5) / 3, 89.5, 108])
    assert row["test_perplexity_change"] == pytest.approx([-3.5 / 3, -2, -0.5])
    assert row["valid_perplexity_change"] == pytest.approx([-7 / 3, -4, -1])
    assert row["percents"] == pytest.approx([-1, -200 / 110, -50 / 90])
    # The paper has 66.3 and 63.7, and 60.0 and 57.3 for the full model.
    assert (row["paper_valid_perplexity_change"], row["paper_test_perplexity_change"]) == (6.3, 6.4)
    assert row["paper_percent"] == pytest.approx(100 * 6.4 / 57.3)
    agrees = {variant: row["agrees"] for variant, row in rows.items()}
    assert agrees == {
        "full": None,
        "fine-tuning": "yes",
        "nt-asgd": "no",
        "weight-drop": "unclear",
        "ar-tar": "one seed",
        "weight-decay": None,
    }
    lines = ablation.table(list(rows.values()), TITLE).splitlines()
    assert lines[-6].startswith("| nothing | 0, 1, 2 | 200.0 (180.0 to 220.0) | 100.0 (90.0 to 110.0) |")
    assert lines[-3].endswith("| -0.3 (-2.0 to +1.0) | +11.1 / +11.6 | unclear | 5, never, 6 |")
    assert lines[-2] == "| ar-tar | 0 | 240.0 | 120.0 | +40.0 | +20.0 | +2.7 / +3.0 | one seed | 5 |"
    assert lines[-1] == "| weight-decay |  |  |  |  |  | +3.7 / +3.7 |  |  |"


def test_the_picture(ablation, tmp_path, monkeypatch):
    found = {"full": results([100.0, 110.0]), "weight-drop": results([120.0, 110.0]), "ar-tar": results([90.0])}
    found["weight-decay"] = {}
    drawn = []
    monkeypatch.setattr(ablation.Figure, "savefig", lambda self, path, **_: drawn.append(self))
    ablation.draw(ablation.summarize(found), TITLE, tmp_path)
    (axes,) = drawn[0].axes
    # An unfinished variant has no bar.
    assert [label.get_text() for label in axes.get_yticklabels()] == ["no weight-drop", "no ar-tar"]
    worse, better = (container[0] for container in axes.containers)
    assert (worse.get_width(), better.get_width()) == pytest.approx((10, -10))
    assert worse.get_facecolor() != better.get_facecolor()
    seeds, paper, *_ = axes.lines
    assert list(seeds.get_xdata()) == pytest.approx([20, 0])
    assert paper.get_xdata() == pytest.approx(100 * 11.6 / 57.3)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The smallest possible command, with windows of one length, so that JAX compiles them once."""
    directory = tmp_path_factory.mktemp("ablation")
    write_text(directory / "text")
    sizes = {"batch-size": 4, "embedding-dim": 6, "hidden-units": 8, "num-layers": 1, "epochs": 1, "finetune-epochs": 1}
    options = [str(word) for name, value in sizes.items() for word in (f"--{name}", value)]
    return ["--data", str(directory / "text"), "--output", str(directory / "output"), *options, "--only"]


@pytest.fixture(scope="module")
def output(ablation, command):
    assert ablation.main([*command, "full", "variable-length"]) == 0
    return Path(command[3])


def figures(output):
    return json.loads((output / "ablation.json").read_text(encoding="utf-8"))


def test_trains_fine_tunes_and_reports(ablation, output, command):
    runs_of = ("full/seed-0", "full/seed-0-finetuned", "variable-length/seed-0", "variable-length/seed-0-finetuned")
    configs = [runs.Run.open(output / name).config for name in runs_of]
    assert [config["variable"] for config in configs] == [True, True, False, False]
    found = figures(output)["results"]
    for variant, name in (
        ("full", "full/seed-0-finetuned"),
        ("fine-tuning", "full/seed-0"),
        ("variable-length", "variable-length/seed-0-finetuned"),
    ):
        result = runs.Run.open(output / name).result
        assert found[variant]["0"]["test_perplexity"] == result["test_perplexity"]
        # Such a short fine-tuning may not improve the model, so its result isn't checked.
        assert ("finetuned_from" in found[variant]["0"]) is name.endswith("finetuned")
        assert f"| {result['valid_perplexity']:.1f} |" in (output / "ablation.md").read_text(encoding="utf-8")
    assert [variant for variant in found if not found[variant]] == [
        name for name in ablation.PAPER if name not in ("full", "fine-tuning", "variable-length")
    ]
    assert (output / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_goes_on(ablation, output, command, monkeypatch):
    before = figures(output)
    begun = []

    def finetune(*arguments, real=runs.finetune, **options):
        begun.append("finetune")
        return real(*arguments, **options)

    monkeypatch.setattr(runs, "train", None)
    monkeypatch.setattr(runs, "finetune", finetune)
    # Three cases: all is finished; only the first run's scoring is missing; the fine-tuning hasn't begun.
    assert ablation.main([*command, "full"]) == 0
    (output / "full/seed-0/result.json").unlink()
    assert ablation.main([*command, "full"]) == 0
    assert begun == []
    shutil.rmtree(output / "full/seed-0-finetuned")
    assert ablation.main([*command, "full"]) == 0
    assert begun == ["finetune"]
    after = figures(output)
    for found in (before, after):
        for result in found["results"]["full"].values():
            del result["tokens_per_second"]
    assert after["results"]["full"] == before["results"]["full"]


def test_runs_of_other_settings_are_refused(ablation, output, command, capsys, monkeypatch):
    before = figures(output)
    assert ablation.main([*command, "full", "--epochs", "2"]) == 2
    assert "with epochs=1: choose another --output" in capsys.readouterr().err
    backend = keras.backend.backend()
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    assert ablation.main([*command, "full"]) == 2
    assert f"with backend='{backend}': choose another --output" in capsys.readouterr().err
    assert figures(output) == before


def test_the_table_keeps_seeds_of_other_commands(ablation, output, command, monkeypatch):
    def train(directory, *_, **__):
        directory.mkdir(parents=True)
        for name in ("config.json", "result.json"):
            shutil.copyfile(output / "full/seed-0" / name, directory / name)

    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(runs, "resume", lambda *_, **__: None)
    monkeypatch.setattr(runs, "finetune", lambda _, directory, **__: train(directory))
    try:
        assert ablation.main([*command, "full", "--seeds", "12"]) == 0
        found = figures(output)
        assert list(found["results"]["full"]) == ["0", "12"]
        assert found["rows"][0]["seeds"] == [0, 12]
        assert list(found["results"]["variable-length"]) == ["0"]
    finally:
        for name in ("seed-12", "seed-12-finetuned"):
            shutil.rmtree(output / "full" / name)


def test_bad_input_is_one_line_and_leaves_nothing_behind(ablation, command, tmp_path, capsys):
    command = [*command, "full", "--output", str(tmp_path)]
    assert ablation.main([*command, "--epochs", "0"]) == 2
    assert capsys.readouterr().err == "ablation: Argument `epochs` must be a positive integer. Received: epochs=0\n"
    assert ablation.main([*command, "--batch-size", "1000"]) == 2
    assert "`batch_size`" in capsys.readouterr().err
    # The error comes before anything is trained.
    assert ablation.main([*command, "--finetune-epochs", "-1"]) == 2
    assert "Argument `finetune_epochs` must be an integer of at least 0. Received" in capsys.readouterr().err
    assert not any(tmp_path.glob("*/*"))


def test_a_signal(ablation, command, tmp_path, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise runs.Interrupted(15)

    monkeypatch.setattr(runs, "train", stop)
    assert ablation.main([*command, "full", "--output", str(tmp_path)]) == 128 + 15
    assert "stopped by SIGTERM; the same command continues" in capsys.readouterr().err
