"""How the callbacks find the optimizer that averages."""


def averaging_optimizer(callback):
    """The `NTASGD` of the callback's model, also when Keras has wrapped it for loss scaling.

    Raises:
        ValueError: if the model has another optimizer, or none.
    """
    optimizer = getattr(callback.model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(optimizer, "use_averages"):
        raise ValueError(
            f"Callback `{type(callback).__name__}` needs a model compiled with "
            "`awd_keras.optimizers.NTASGD`. With another optimizer, give `fit` those of `awd_lstm(dataset)` that work "
            f"with any: `ScaleLearningRate(dataset)` and `ResetStates(dataset)`. Received: optimizer={optimizer}"
        )
    return optimizer
