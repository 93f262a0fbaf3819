"""Where the draws of a layer's masks had got to, in files of before: among the layer's own variables."""

_NAME = "seed_state"


def load_seed_state(layer, store):
    """Takes the state, if it is there, and returns what else `load_own_variables` was given."""
    generator = getattr(layer, "seed_generator", None)
    if generator is not None and _NAME in store:
        generator.load(store[_NAME])
    names = store.keys()  # Keras's view of an HDF5 group can't be walked itself
    return {name: store[name] for name in names if name != _NAME}
