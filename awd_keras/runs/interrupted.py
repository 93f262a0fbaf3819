"""What a run that a signal has stopped raises."""

import signal


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM has stopped a run. Uncaught, it ends the program as Ctrl-C does.

    Args:
        number: the signal's number.

    Example:

    >>> import signal
    >>> from awd_keras.runs import Interrupted
    >>> print(Interrupted(signal.SIGTERM))
    stopped by SIGTERM
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}"
