"""A process that holds one subject of a benchmark and runs it on request; see `measure.py`."""

import contextlib
import importlib
import json
import os
import resource
import sys
import time


def main():
    """Builds the subject in argv[1]. For each line of the standard input, runs it and answers with time and memory."""
    answers = sys.stdout
    order = json.loads(sys.argv[1])

    def answer(**facts):
        print(json.dumps(facts), file=answers, flush=True)

    # What libraries print must not be mixed with answers.
    with contextlib.redirect_stdout(sys.stderr):
        from shapes import Shape

        shape = Shape(**order.pop("shape"))
        module = importlib.import_module(order.pop("module"))
        start_framework()
        idle = peak_memory()
        run = getattr(module, order.pop("function"))(shape, **order)
        run()  # compiles
        answer(idle=idle, peak=peak_memory(), device=device_name())
        for _ in sys.stdin:
            began = time.perf_counter()
            run()
            answer(seconds=time.perf_counter() - began, idle=idle, peak=peak_memory(), device=device_name())


def start_framework():
    """Makes the framework allocate the memory that it needs for any computation."""
    if os.environ["KERAS_BACKEND"] == "torch":
        import torch

        (torch.ones((8, 8)) @ torch.ones((8, 8))).sum().item()
    else:
        import keras

        keras.ops.convert_to_numpy(keras.ops.matmul(keras.ops.ones((8, 8)), keras.ops.ones((8, 8))))


def peak_memory():
    """The peak memory so far in bytes: of the device's allocator on a GPU, else of the whole process."""
    match os.environ["KERAS_BACKEND"]:
        case "torch":
            import torch

            if torch.cuda.is_available():
                return torch.cuda.max_memory_allocated()
        case "jax":
            import jax

            if jax.default_backend() == "gpu":
                return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
        case "tensorflow":
            import tensorflow as tf

            if tf.config.list_physical_devices("GPU"):
                return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name():
    """The device that is measured: the processor, or the GPU's name."""
    match os.environ["KERAS_BACKEND"]:
        case "torch":
            import torch

            return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        case "jax":
            import jax

            return jax.local_devices()[0].device_kind
        case "tensorflow":
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
            return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"


if __name__ == "__main__":
    main()
