"""PyTorch: DistributedDataParallel, in one process for each device."""

import builtins
import functools
import logging
import os
import signal
import tempfile
import threading
import time

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def count_devices(devices):
    """A CPU allows any number, as any number of processes can share it."""
    if not torch.cuda.is_available():
        return 1 if devices == "all" else devices
    available = torch.cuda.device_count()
    if devices == "all":
        return available
    if devices > available:
        raise ValueError(f"There are only {available} devices. Received: devices={devices}")
    return devices


def run_on(devices, function, *arguments):
    """Starts the processes as `torchrun` does."""
    if count_devices(devices) == 1:
        return function(*arguments)
    # Imported here, as the import takes longer than building a small model.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # These loggers would report the end of a process too, which is raised as an exception here.
    for name in ("torch.distributed.elastic", "torch.multiprocessing"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            run_id=os.path.basename(logs),
            max_restarts=0,
            monitor_interval=0.2,
            # Only the first process prints: the others would print the same.
            logs_specs=DefaultLogsSpecs(log_dir=logs, redirects=dict.fromkeys(range(1, devices), Std.ALL)),
        )
        try:
            return elastic_launch(config, _run)(function, arguments)[0]
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            raise _reason(rank, failure, devices) from None
        except SignalException as stop:
            # The processes have ended. Now the signal takes effect here.
            _handle(handlers)
            signal.raise_signal(stop.sigval)
            raise
        finally:
            _handle(handlers)


def _handle(handlers):
    """Restores the signal handlers, which PyTorch has replaced in the main thread."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            # None stands for a handler that wasn't set by Python, which can't restore it.
            if handler is not None:
                signal.signal(number, handler)


def _run(function, arguments):
    """Runs the function in one of the processes."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        result = function(*arguments)
        # No process ends while others may still wait for it.
        dist.barrier()
        return result
    except RuntimeError:
        # This may have failed only because another process has died. The wait lets the parent find that one first.
        time.sleep(5)
        raise
    finally:
        dist.destroy_process_group()


def _reason(rank, failure, devices):
    """The exception of a process that failed, of the same class if it is a built-in one."""
    if failure.exitcode < 0:
        return ChildProcessError(f"Process {rank + 1} of {devices} was ended by {failure.signal_name()}")
    text = failure.message["message"] if isinstance(failure.message, dict) else failure.message
    name, _, message = text.partition(": ")
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        return kind(message)
    return ChildProcessError(f"Process {rank + 1} of {devices} failed. {text}")


def process():
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


class _Forward(torch.nn.Module):
    """A module whose `forward` is a model's `call`, for `DistributedDataParallel`."""

    def __init__(self, model):
        super().__init__()
        self.weights = torch.nn.ParameterList([variable.value for variable in model.trainable_variables])
        self.forward = model.call


def replicate(model):
    """Wraps the model in `DistributedDataParallel`, which averages the gradients.

    Keras's training step calls the model itself, not the wrapper. So the function that the model's call runs is
    replaced by the wrapper.
    """
    if process()[1] == 1 or "call" in vars(model):
        return
    call = model.call
    parallel = DistributedDataParallel(_Forward(model))

    @functools.wraps(call)
    def replicated(*args, training=False, **kwargs):
        return (parallel if training else call)(*args, training=training, **kwargs)

    object.__setattr__(model, "call", replicated)


@torch.no_grad()
def average_values(variables):
    count = process()[1]
    if count > 1:
        for variable in variables:
            dist.all_reduce(variable.value)
            variable.value.div_(count)


def own_seed(seed):
    rank = process()[0]
    if rank == 0 or seed.device.type == "meta":
        return seed
    first, count = seed.tolist()
    first = np.random.SeedSequence([first & 0xFFFFFFFF, rank]).generate_state(1)[0] >> 1
    return torch.tensor([int(first), count], dtype=seed.dtype, device=seed.device)


def program(function, model):
    def run(*arguments):
        with torch.no_grad():
            return function(model, *arguments)

    return run


def gradients(loss, model):
    variables = [variable.value for variable in model.trainable_variables]
    with torch.enable_grad():
        value = loss()
        found = torch.autograd.grad(value, variables, allow_unused=True, materialize_grads=True)
    return value.detach(), list(found)
