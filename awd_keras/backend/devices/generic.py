"""The default: a single device."""


def count_devices(devices):
    """The number of devices that `devices` stands for.

    Args:
        devices: positive integer, or `"all"`.

    Raises:
        ValueError: if there are fewer.
    """
    if devices not in (1, "all"):
        raise ValueError(f"There is one device. Received: devices={devices}")
    return 1


def run_on(devices, function, *arguments):
    """Calls a function so that the models that it builds and fits are trained on several devices.

    The rows of each training batch are split between the devices, which all hold the same weights. The function may
    run in new processes, one for each device. It is then copied to them with its arguments, and the result or the
    exception of one process is returned or raised.

    Args:
        devices: positive integer, as `count_devices` gives it.
        function: a function of a module.
        *arguments: its arguments.

    Returns:
        What the function returns.

    Raises:
        ValueError: if there are fewer devices.
        ChildProcessError: if a process has been killed.
    """
    count_devices(devices)
    return function(*arguments)


def process():
    """The number of this process among those that train together, from 0, and how many there are."""
    return 0, 1


def replicate(model):
    """Makes every training step of the model average its gradients over the processes, starting from equal weights.

    Args:
        model: `keras.Model`, at the beginning of its `fit`.
    """


def average_values(variables):
    """Sets each variable to its mean over the processes.

    Args:
        variables: list of `keras.Variable`s.
    """


def add_gradients(gradients):
    """The sum of the gradients over the devices, each of which has computed the gradients of its share of the loss.

    Args:
        gradients: list of tensors, and None.
    """
    return gradients


def share_gradients(gradients):
    """The device's share of what `add_gradients` returned, for Keras's optimizers, which add the shares themselves.

    Args:
        gradients: list of tensors.
    """
    return gradients


def own_seed(seed):
    """A seed that differs between devices if each runs its own program. On the first device, it is `seed`.

    Args:
        seed: tensor of two integers, as a seed generator gives it.
    """
    return seed


def own_rows(function, batch, shared, seeds):
    """Calls `function(*batch, *shared, *seeds)` on every device, with the device's own rows and seeds.

    Args:
        function: a function of tensors. It reads and writes no variables, and the first axis of each result is the
            batch.
        batch: list of tensors whose first axis is the batch, and None.
        shared: list of tensors that every device gets whole, and None. Their gradients are summed over the devices.
        seeds: list of seeds that `own_seed` returned, and None.
    """
    return function(*batch, *shared, *seeds)


def splits_variables():
    """Whether `keras.distribution` can give each device a part of a variable."""
    return False


def program(function, model):
    """`function` of a model and of tensors, compiled once for each of their shapes.

    The only gradients in it are those of `gradients`. Each call reads the current values of the variables.

    Args:
        function: takes the model, then tensors or lists of tensors, and returns tensors or lists of them. It may assign
            to the model's variables.
        model: a built `keras.Model`.

    Returns:
        A function of tensors, and of lists of tensors.
    """

    def run(*arguments):
        return function(model, *arguments)

    return run


def gradients(loss, model):
    """The value of a loss and its gradients, for use in a function that `program` runs.

    Args:
        loss: a function without arguments that calls the model.
        model: the `keras.Model`.

    Returns:
        The scalar, and a list of tensors of the shapes of `model.trainable_variables`; zeros where the loss doesn't
        depend on one.

    Raises:
        NotImplementedError: if the framework has no gradients.
    """
    raise NotImplementedError("This backend of Keras can't compute gradients. Received: a loss to be differentiated")
