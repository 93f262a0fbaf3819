"""Nothing is compiled, and there are no gradients."""


def program(function, model):
    """`function` of a model and of tensors, compiled once for each of their shapes.

    It takes no gradients, other than by `gradients`. Variables are read anew in each call: their values are no part of
    the program.

    Args:
        function: takes the model, then tensors or lists of tensors, and returns the like; it may assign to the model's
            variables.
        model: a built `keras.Model`.

    Returns:
        A function of tensors, and of lists of tensors.
    """

    def run(*arguments):
        return function(model, *arguments)

    return run


def gradients(loss, model):
    """The value of a loss and its gradients, within what `program` runs.

    Args:
        loss: a function without arguments that calls the model.
        model: the `keras.Model`.

    Returns:
        The scalar, and a list of tensors of the shapes of `model.trainable_variables`; zeros where the loss doesn't
        depend on one.

    Raises:
        NotImplementedError: if the framework has no gradients.
    """
    raise NotImplementedError("Keras's backend here takes no gradients. Received: a loss to be differentiated")
