"""Makes a run of weights that were brought back in half precision: `train --from` or `finetune` goes on."""

from common import brought_back, parser_of_what_was_brought_back


def main():
    parser = parser_of_what_was_brought_back(__doc__)
    parser.add_argument("run", metavar="RUN", help="directory of the new run")
    options = parser.parse_args()
    _, collected, corpus = brought_back(options)
    restore(collected, options.name, options.folder, corpus.vocabulary, options.run)
    print(f"{options.run} can be trained further: see awd-keras train --from, or awd-keras finetune")


def restore(collected, name, folder, vocabulary, directory):
    """Writes a run with the model, and a result if averaging had begun, but without checkpoints to resume.

    Args:
        collected: the content of NAME.json, which `collect_run.py` writes.
        name: string.
        folder: path of the directory with the weights.
        vocabulary: the `Vocabulary` of the run's text.
        directory: path of the new run.

    Returns:
        The `Run`.
    """
    from half_weights import read_half

    from awd_keras.models import AWDLSTM, PRESETS
    from awd_keras.runs import Run

    settings = collected["settings"]
    model = AWDLSTM.from_config(settings["model"])
    model.build((max(settings["batch_size"], PRESETS[settings["preset"]].valid_batch_size), None))
    read_half(model, name, folder)
    run = Run.create(directory, {**settings, "text": None, "versions": collected["versions"]}, vocabulary)
    run.write_model(model)
    if collected["finished"] or collected["triggered_epoch"]:  # what `finetune` goes on from
        run.write_result({name: collected[name] for name in ("valid_perplexity", "test_perplexity", "triggered_epoch")})
    return run


if __name__ == "__main__":
    main()
