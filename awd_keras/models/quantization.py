"""How a quantized model is written to a file, and loaded: by the dtype policies of its quantized layers.

Keras writes a layer's policy with its config. These models make their layers themselves, from sizes and rates.
"""

import keras

from awd_keras.backend.keras_private import flatten_layers


def quantized_policies(model):
    """For a config: the policies of the layers that `quantize` has changed, by the layer's number. Empty if none has.

    By number, as the name that Keras gives a layer may be another in the next process.
    """
    policies = {
        str(number): layer.dtype_policy
        for number, layer in enumerate(flatten_layers(model))
        if layer.quantization_mode is not None
    }
    return {"quantized": keras.saving.serialize_keras_object(policies)} if policies else {}


def quantize_again(model, quantized):
    """Quantizes the layers of a built model by what `quantized_policies` wrote, which may be nothing."""
    policies = keras.saving.deserialize_keras_object(quantized)
    for number, layer in enumerate(list(flatten_layers(model))):
        if str(number) in policies:
            layer.dtype_policy = policies[str(number)]  # Keras then quantizes it
