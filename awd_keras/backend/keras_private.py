"""Every private name of Keras that is used anywhere, with the reason."""


def compile_config(model):
    """The object that each `model.compile` makes anew, or None: nothing public tells that a model was recompiled."""
    return getattr(model, "_compile_config", None)


def flatten_layers(model):
    """A model and all its layers, layers in layers included: Keras has no public walk over them."""
    return model._flatten_layers()


def has_strategy(model):
    """Whether the model is trained on several devices of TensorFlow: `distribute_strategy` is never None."""
    return getattr(model, "_distribute_strategy", None) is not None
