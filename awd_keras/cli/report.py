"""What `awd-keras train` and `finetune` say of the run that they train."""

import sys


def report(directory, run):
    """Calls `run`, which trains in `directory`, and prints what came of it; the exit status."""
    from awd_keras import runs

    try:
        result = run()
    except runs.Interrupted as stop:
        print()  # Keras's progress bar has left its line open.
        checkpoints = runs.Checkpoints(directory).paths()
        kept = f"kept {checkpoints[0]}; " if checkpoints else ""
        print(f"awd-keras: {stop}; {kept}to go on: awd-keras train --resume {directory}", file=sys.stderr)
        return 128 + stop.number
    except FloatingPointError:
        print()
        raise
    start = result.get("finetuned_from")
    print(f"backend           {result['backend']}")
    if start:
        print(f"fine-tuned from   {start['run']}, valid perplexity {_figure(start['valid_perplexity'])}")
        print(f"epochs            {result['epochs']}, {_why_so_many(result)}")
    else:
        print(f"averaging         {_averaging(result['triggered_epoch'])}")
    print(f"skipped steps     {result['skipped_steps']}")
    if "unknown_tokens" in result:  # which runs of before don't have
        print(f"tokens <unk>      {', '.join(f'{name} {count}' for name, count in result['unknown_tokens'].items())}")
    print(f"tokens a second   {result['tokens_per_second']:.0f}")
    print(f"valid perplexity  {_figure(result['valid_perplexity'])}")
    print(f"test perplexity   {_figure(result['test_perplexity'])}")
    print(f"run directory     {directory}")
    return 0


def verbosity():
    """Keras's progress bar in a terminal; elsewhere, in a log for example, a line an epoch."""
    return 1 if sys.stdout.isatty() else 2


def _averaging(epoch):
    return "not begun" if epoch is None else f"since the end of epoch {epoch}"


def _why_so_many(result):
    return "as many as it might have" if result["stopped_epoch"] is None else "until validation stopped improving"


def _figure(value):
    return "not finite: the training diverged" if value is None else f"{value:.2f}"
