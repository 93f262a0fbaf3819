"""What `awd-keras train` and `finetune` print at the end of a training."""

import shlex
import sys

from awd_keras.output import to_resume

# Pairs of words are counted only in training texts of at most this many tokens, as more take too long.
_COUNTED = 10_000_000


def report(directory, run):
    """Trains, and prints the result. Returns the exit status.

    Args:
        directory: the directory of the run.
        run: function that trains in `directory` and returns the result and the corpus. With None for the corpus, the
            result isn't compared with counted words.
    """
    from awd_keras import runs

    try:
        result, corpus = run()
    except runs.Interrupted as stop:
        print()  # Keras's progress bar has left its line open.
        checkpoints = runs.Checkpoints(directory).paths()
        kept = f"kept {checkpoints[0]}; " if checkpoints else ""
        print(f"awd-keras: {stop}; {kept}to go on: {to_resume(directory)}", file=sys.stderr)
        return 128 + stop.number
    except FloatingPointError:
        print()
        raise
    start = result.get("finetuned_from")
    print(f"backend           {result['backend']}")
    begun = result.get("started_from")
    if begun:
        print(f"started from      {begun['run']}, which knew {begun['known_words']:,} of the words")
    if start:
        print(f"fine-tuned from   {start['run']}, valid perplexity {_figure(start['valid_perplexity'])}")
        print(f"epochs            {result['epochs']}, {_why_so_many(result)}")
    elif result.get("optimizer", "NTASGD") != "NTASGD":
        print(f"optimizer         {result['optimizer']}, which averages nothing")
    else:
        print(f"averaging         {_averaging(result['triggered_epoch'], directory)}")
    print(f"skipped steps     {result['skipped_steps']}")
    if "unknown_tokens" in result:  # runs of earlier versions don't have it
        print(f"tokens <unk>      {', '.join(f'{name} {count:,}' for name, count in result['unknown_tokens'].items())}")
    print(f"tokens a second   {result['tokens_per_second']:,.0f}")
    print(f"valid perplexity  {_figure(result['valid_perplexity'])}")
    print(f"test perplexity   {_figure(result['test_perplexity'])}{_compared(corpus)}")
    if result.get("test_bits_per_character") is not None:
        bits = (f"{name} {result[f'{name}_bits_per_character']:.3f}" for name in ("valid", "test"))
        print(f"bits a character  {', '.join(bits)}")
    print(f"run directory     {directory}")
    curve = runs.Run(directory).path("curve.png")
    if curve.is_file():
        print(f"learning curve    {curve}")
    print(f"to write with it  awd-keras generate {shlex.quote(str(directory))} --prompt TEXT")
    return 0


def _averaging(epoch, directory):
    if epoch is not None:
        return f"since the end of epoch {epoch}"
    return (
        "not begun: validation hasn't stopped improving for long enough, so the weights are those of plain SGD; "
        f"to train on: {to_resume(directory)} --epochs N"
    )


def _compared(corpus):
    from awd_keras import evaluation

    if corpus is None or len(corpus.train) > _COUNTED:
        return ""
    words, pairs = (
        evaluation.ngram_perplexity(corpus.train, corpus.test, len(corpus.vocabulary), order) for order in (1, 2)
    )
    named = corpus.vocabulary.cut_by.plural
    return f" (counting {named} alone: {words:.2f}; pairs of {named}: {pairs:.2f})"


def _why_so_many(result):
    return "the epoch limit" if result["stopped_epoch"] is None else "until validation stopped improving"


def _figure(value):
    return "not finite: the training diverged" if value is None else f"{value:.2f}"
