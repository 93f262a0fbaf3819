"""JAX."""

import jax
import keras


def program(function, model):
    """What the variables hold goes in, and what has been assigned to them comes out."""

    @jax.jit
    def compiled(values, arguments):
        variables = model.variables
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            begun = [scope.get_current_value(variable) for variable in variables]
            outputs = function(model, *arguments)
        ended = [scope.get_current_value(variable) for variable in variables]
        pairs = enumerate(zip(begun, ended, strict=True))
        return outputs, {index: end for index, (begin, end) in pairs if end is not begin}

    def run(*arguments):
        variables = model.variables
        outputs, assigned = compiled([variable.value for variable in variables], arguments)
        for index, value in assigned.items():
            variables[index].assign(value)
        return outputs

    return run


def gradients(loss, model):
    trainable = model.trainable_variables
    places = {id(variable) for variable in trainable}
    others = [variable for variable in model.variables if id(variable) not in places]
    # In a scope of its own, which sees nothing of the program's, and whose assignments are handed on.
    known = [(variable, variable.value) for variable in others]

    def value_of(values):
        with keras.StatelessScope([*known, *zip(trainable, values, strict=True)]) as scope:
            value = loss()
        return value, [scope.get_current_value(variable) for variable in others]

    values = [variable.value for variable in trainable]
    (value, ended), found = jax.value_and_grad(value_of, has_aux=True)(values)
    for variable, end in zip(others, ended, strict=True):
        variable.assign(end)
    return value, found
