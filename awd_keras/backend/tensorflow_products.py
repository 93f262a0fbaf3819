"""What TensorFlow's products are computed of."""

import tensorflow as tf


def widened(operand):
    """What a product is computed of: on a CPU, half precision in float32.

    Where a processor doesn't multiply bfloat16 itself, TensorFlow cuts off the digits that it should round: each
    product comes out smaller by up to 1%, and a gradient that goes through one in every time step by more and more.
    """
    half = operand.dtype in (tf.bfloat16, tf.float16)
    return tf.cast(operand, tf.float32) if half and not tf.config.list_physical_devices("GPU") else operand
