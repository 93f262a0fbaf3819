"""Ends a training run cleanly after SIGINT or SIGTERM."""

import signal
import threading
from typing import Self

import keras


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM has stopped a run. If not caught, it ends the program as Ctrl-C does.

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


class StopOnSignal(keras.callbacks.Callback):
    """Raises `Interrupted` after SIGINT or SIGTERM: during `fit` after the current step, otherwise at once.

    The files of an epoch's end are always written completely. A second signal has its usual effect. Signals are handled
    within a `with` statement, and only in the main thread, as Python requires. Signals that the program ignores, or
    handles outside of Python, aren't changed.

    Example:

    >>> import keras, numpy as np, signal
    >>> from awd_keras.runs import Interrupted, StopOnSignal
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x = np.ones((8, 1), "float32")
    >>> send = lambda batch, logs: signal.raise_signal(signal.SIGTERM)
    >>> send = keras.callbacks.LambdaCallback(on_train_batch_begin=send)
    >>> try:
    ...     with StopOnSignal() as stop:
    ...         history = model.fit(x, x, epochs=9, callbacks=[send, stop], verbose=0)
    ... except Interrupted as interrupted:
    ...     print(interrupted)
    stopped by SIGTERM
    """

    def __init__(self) -> None:
        super().__init__()
        self._before: dict = {}
        self._number = None
        self._in_fit = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # None stands for a handler that wasn't set by Python, which can't restore it.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number, frame):
        self.__exit__()
        self._number = number
        if not self._in_fit:
            raise Interrupted(number)

    def _stop_if_asked(self):
        if self._number is not None:
            raise Interrupted(self._number)

    def on_train_begin(self, logs=None):
        self._in_fit = True

    def on_epoch_begin(self, epoch, logs=None):
        # For a signal that came at the end of the previous epoch.
        self._stop_if_asked()

    def on_train_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def on_test_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def on_train_end(self, logs=None):
        self._in_fit = False
        self._stop_if_asked()
