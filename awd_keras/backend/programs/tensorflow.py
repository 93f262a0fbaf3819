"""TensorFlow."""

import tensorflow as tf
from keras import ops


def program(function, model):
    """A graph, which serves all lengths from the second one on."""

    def run(*arguments):
        return function(model, *arguments)

    return tf.function(run, autograph=False, reduce_retracing=True)


def gradients(loss, model):
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, [variable.value for variable in variables], unconnected_gradients="zero")
    # An embedding's is a list of rows, in which a word that occurs twice has two.
    return value, [ops.reshape(gradient, variable.shape) for gradient, variable in zip(found, variables, strict=True)]
