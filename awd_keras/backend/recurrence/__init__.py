"""Loops over time: the LSTM, the GRU and the Mogrifier over a whole sequence, and the weighted sum of gated layers."""

from keras import activations, ops

from awd_keras.backend.of_framework import of_framework
from awd_keras.backend.recurrence.generic import masked, step_by_step
from awd_keras.backend.recurrence.gru_steps import fused_gru, generic_gru
from awd_keras.backend.recurrence.lstm_steps import fused_lstm, generic_lstm
from awd_keras.backend.recurrence.mogrifier_steps import fused_mogrifier, generic_mogrifier

_framework = of_framework(__name__)

fast_gru = _framework.fast_gru
fast_lstm = _framework.fast_lstm
lstm_supports_jit = _framework.lstm_supports_jit
weighted_sums = _framework.weighted_sums

__all__ = [
    "fast_gru",
    "fast_lstm",
    "generic_gru",
    "generic_lstm",
    "generic_mogrifier",
    "gru",
    "lstm",
    "lstm_supports_jit",
    "masked",
    "mogrifier",
    "step_by_step",
    "weighted_sums",
]


def lstm(sequences, initial_state, kernel, recurrent_kernel, bias, *, go_backwards=False, **options):
    """Like `generic_lstm`, but uses the framework's own LSTM, or `fused_lstm`, if these support the options."""
    if _is_plain(**options):
        ordered = ops.flip(sequences, axis=1) if go_backwards else sequences
        arguments = (ordered, initial_state, kernel, recurrent_kernel, bias)
        return fast_lstm(*arguments) or fused_lstm(*arguments)
    return generic_lstm(sequences, initial_state, kernel, recurrent_kernel, bias, go_backwards=go_backwards, **options)


def gru(sequences, initial_state, kernel, recurrent_kernel, bias, *, go_backwards=False, reset_after=True, **options):
    """Like `generic_gru`, but uses the framework's own GRU, or `fused_gru`, if these support the options."""
    if reset_after and _is_plain(**options):
        ordered = ops.flip(sequences, axis=1) if go_backwards else sequences
        arguments = (ordered, initial_state, kernel, recurrent_kernel, bias)
        return fast_gru(*arguments) or fused_gru(*arguments)
    options |= {"go_backwards": go_backwards, "reset_after": reset_after}
    return generic_gru(sequences, initial_state, kernel, recurrent_kernel, bias, **options)


def mogrifier(sequences, initial_state, *weights, go_backwards=False, **options):
    """Like `generic_mogrifier`, but uses `fused_mogrifier` if that supports the options."""
    if _is_plain(**options):
        return fused_mogrifier(ops.flip(sequences, axis=1) if go_backwards else sequences, initial_state, *weights)
    return generic_mogrifier(sequences, initial_state, *weights, go_backwards=go_backwards, **options)


def _is_plain(
    *,
    activation,
    recurrent_activation,
    mask=None,
    recurrent_mask=None,
    unroll=False,
    zero_output_for_mask=False,  # has no effect without a mask
):
    """Whether `fast_lstm` supports these options of `generic_lstm`."""
    return (
        activation is activations.tanh
        and recurrent_activation is activations.sigmoid
        and mask is None
        and recurrent_mask is None
        and not unroll
    )
