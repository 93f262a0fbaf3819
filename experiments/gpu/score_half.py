"""Scores the half-precision weights of train_minutes.py, and with --run the full ones too; adds both to NAME.json."""

import json

from common import brought_back, parser_of_what_was_brought_back


def main():
    parser = parser_of_what_was_brought_back(__doc__)
    parser.add_argument("--run", metavar="RUN", help="directory of the run itself, for its weights in full precision")
    options = parser.parse_args()
    path, collected, corpus = brought_back(options)
    from awd_keras.output import write_whole

    collected["scores"] = scores(collected, corpus, options)
    text = json.dumps(collected, indent=2) + "\n"
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))
    for precision, score in collected["scores"].items():
        print(f"{precision}: valid {score['valid']:.4f}, test {score['test']:.4f}")


def scores(collected, corpus, options):
    """Perplexities on valid and test, by precision."""
    from half_weights import read_half

    from awd_keras import evaluation
    from awd_keras.models import AWDLSTM, PRESETS
    from awd_keras.runs import Run

    settings = collected["settings"]
    preset = PRESETS[settings["preset"]]
    half = AWDLSTM.from_config(settings["model"])
    half.build((max(preset.valid_batch_size, preset.test_batch_size), None))
    read_half(half, options.name, options.folder)
    models = {"half": half}
    if options.run is not None:
        models["full"] = Run.open(options.run).model()
    splits = {
        "valid": (corpus.valid, preset.valid_batch_size),
        "test": (corpus.test, preset.test_batch_size),
    }
    return {
        precision: {
            split: evaluation.perplexity(model, tokens, rows, settings["bptt"]).perplexity
            for split, (tokens, rows) in splits.items()
        }
        for precision, model in models.items()
    }


if __name__ == "__main__":
    main()
