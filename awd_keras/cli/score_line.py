"""How the command line prints a score."""


def score_line(name, score, batch_size):
    """One line of a `Score`."""
    return (
        f"{name:5} perplexity {score.perplexity:.2f}  loss {score.loss:.4f}  "
        f"bits/token {score.bits_per_token:.4f}  tokens {score.tokens}  "
        f"<unk> {score.unknown_tokens} ({score.unknown_tokens / score.tokens:.1%})  "
        f"batch size {batch_size}  seconds {score.seconds:.1f}"
    )
