"""What is said where a call is made again for its gradients, and can't be."""


def second_run(name):
    """The error for a layer of this name."""
    return RuntimeError(
        f"Layer {name!r} draws masks or carries a state, and was called again to rematerialize what it is part of: the "
        "second call's masks and state would be others. Leave what holds the layer out of it, and have the layer "
        "itself rematerialized: build the model outside of `keras.RematScope`, and its layers inside."
    )
