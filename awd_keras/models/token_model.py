"""The base class of language models: how they are built and compiled, and how their input is checked."""

import contextlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from awd_keras import backend
from awd_keras.backend.keras_private import InOrder, SymbolicallyBuilt, has_strategy
from awd_keras.checks import check_integers
from awd_keras.inference import begin_text, check_batch_size
from awd_keras.losses import TokenCrossEntropy
from awd_keras.losses.token_cross_entropy import deferring
from awd_keras.metrics import MeanCrossEntropy, Perplexity
from awd_keras.models.quantization import quantize_again, quantized_policies
from awd_keras.optimizers import NTASGD
from awd_keras.optimizers.scaled_rate import put_back_rate


class TokenModel(SymbolicallyBuilt):
    """A `keras.Model` whose inputs and targets are ids of its vocabulary.

    Ids outside of the vocabulary are refused. `evaluate` and `predict` begin at a zero state.

    It is built for the first batch; on several devices, for the rows of the first device. This happens before the first
    step: on TensorFlow, Keras would build it within the compiled step, which doesn't know batch sizes if they differ.

    `defers_logits()` is True while the model may return `DeferredLogits` instead of its logits: in `fit` and `evaluate`
    if loss and metrics need only the cross-entropy, and within the context `deferring_logits()`.

    A subclass has the attributes `vocabulary_size`, and `chunked_cross_entropy`, a boolean or None.
    """

    vocabulary_size: int
    chunked_cross_entropy: bool | None

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        jit_compile: bool | str | None = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`, but by default with the paper's optimizer, its loss, and perplexity.

        Args:
            optimizer: defaults to `NTASGD()`.
            loss: defaults to `TokenCrossEntropy()`.
            loss_weights: as in Keras.
            metrics: defaults to `[Perplexity()]`.
            jit_compile: defaults to what suits windows of many lengths: XLA on JAX, but not on TensorFlow.
            **kwargs: the other arguments of `keras.Model.compile`.
        """
        loss = TokenCrossEntropy() if loss is None else loss
        metrics = [Perplexity()] if metrics is None else metrics
        self._only_cross_entropy = self._wants_no_more_than_cross_entropy(loss, metrics, kwargs.get("weighted_metrics"))
        self._default_jit_compile = jit_compile is None
        super().compile(
            optimizer=NTASGD() if optimizer is None else optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            jit_compile=backend.jit_compile() if jit_compile is None else jit_compile,
            **kwargs,
        )

    def _wants_no_more_than_cross_entropy(self, loss, metrics, weighted_metrics):
        """Whether loss and metrics can use `DeferredLogits`, which give only their cross-entropy."""
        asking = [
            one
            for one in keras.tree.flatten([metrics, weighted_metrics])
            if one is not None and not _inherits(one, MeanCrossEntropy, "update_state")
        ]
        if not _inherits(loss, TokenCrossEntropy, "call", "__call__") or loss.reduction in (None, "none"):
            asking.append(loss)
        # Their targets may differ from those of the metrics, or they may read the logits.
        asking += [name for name in ("compute_loss", "compute_metrics") if not _inherits(self, keras.Model, name)]
        if asking and self.chunked_cross_entropy:
            raise ValueError(
                "Argument `chunked_cross_entropy` must not be True for a model with another loss than a reduced "
                "`TokenCrossEntropy`, with other metrics than `MeanCrossEntropy` and those made of it, or with its "
                f"own `compute_loss` or `compute_metrics`. Received: {asking[0]!r}"
            )
        return not asking

    def get_build_config(self):
        """Called by Keras to save the model: as in `keras.Model`, with how it is quantized."""
        config = super().get_build_config()
        return config and {**config, **quantized_policies(self)}

    def build_from_config(self, config):
        """Called by Keras to build a loaded model."""
        super().build_from_config(config)
        quantize_again(self, config.get("quantized", {}))

    def get_compile_config(self):
        """The arguments of `compile` that are saved. A default isn't, as it differs between backends."""
        config = super().get_compile_config()
        if config and self._default_jit_compile:
            config["jit_compile"] = None
        return config

    def compile_from_config(self, config):
        """Called by Keras to compile a loaded model, as the model has its own `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        self._check_ids(x, y)
        _check_alone(x, y=y, sample_weight=kwargs.get("sample_weight"), class_weight=kwargs.get("class_weight"))
        # If `fit` splits rows off for validation, a batch may be smaller than the data.
        x = self._build_for(x, batch_size, check=not kwargs.get("validation_split"))
        try:
            return super().fit(x, y, batch_size, *args, **kwargs)
        finally:
            # After a step that was interrupted, `ScaleLearningRate` hasn't.
            if self.compiled:
                put_back_rate(self.optimizer)

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, from a zero state."""
        begin_text(self)
        self._check_ids(x, y)
        _check_alone(x, y=y, sample_weight=kwargs.get("sample_weight"))
        x = self._build_for(x, batch_size)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`, from a zero state. (`predict_on_batch` continues from the last state.)"""
        begin_text(self)
        self._check_ids(x)
        x = self._build_for(x, batch_size)
        return super().predict(x, batch_size, *args, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_ids(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        self._check_ids(x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        self._check_ids(x)
        return super().predict_on_batch(x)

    def train_step(self, *args):
        with self._own_step():
            return super().train_step(*args)

    def test_step(self, *args):
        with self._own_step():
            return super().test_step(*args)

    def _own_step(self):
        return self.deferring_logits() if self._only_cross_entropy else contextlib.nullcontext()

    @contextlib.contextmanager
    def deferring_logits(self):
        """A context in which the model may return `DeferredLogits` instead of its logits."""
        # Not an attribute of the model, as TensorFlow's replicas are threads, each of which runs its own step.
        before = deferring.set(self)
        try:
            yield
        finally:
            deferring.reset(before)

    def defers_logits(self):
        chunked = self.chunked_cross_entropy
        return deferring.get() is self and (self.prefers_deferred_logits if chunked is None else chunked)

    @property
    def prefers_deferred_logits(self) -> bool:
        return self.vocabulary_size > backend.large_vocabulary()

    def _check_ids(self, x, y=None):
        # Checked here, as compiled code can't raise: for such an id, JAX looks up NaN, and XLA another word.
        for name, values in (("x", x), ("y", y)):
            ids = getattr(values, "tokens", values)
            if not isinstance(ids, np.ndarray) or ids.size == 0:
                continue
            check_integers(name, ids)
            for value in (ids.min(), ids.max()):
                if not 0 <= value < self.vocabulary_size:
                    raise ValueError(
                        f"Argument `{name}` must hold token ids in [0, {self.vocabulary_size}), the vocabulary. "
                        f"Received: {value}"
                    )

    def _build_for(self, x, batch_size, check=True):
        """Builds the model for the data's first batch, unless it is built, and returns the data."""
        if has_strategy(self):
            return x
        if getattr(x, "shape", ()):
            shape = (min(x.shape[0], batch_size or 32), *x.shape[1:])  # 32 is Keras's default
        elif self.built or hasattr(x, "shape") or not isinstance(x, Iterable):
            return x
        else:
            batch, x = _first_batch(x)
            ids, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
            shape = getattr(ids, "shape", ())
        if self.built and check:
            check_batch_size(self, shape[0])
        elif not self.built and len(shape) == 2:  # other shapes are refused when the model is called
            self.build((shape[0], None))
        return x


def _check_alone(x, **others):
    """Raises ValueError if `x` is a dataset of windows, and there are other arguments, which Keras would ignore."""
    for name, value in others.items():
        if value is not None and isinstance(x, InOrder):
            raise ValueError(
                f"Argument `{name}` must be None if `x` is a {type(x).__name__}, which holds inputs and targets. "
                f"Received: {name} of type {type(value).__name__}"
            )


def _inherits(instance, cls, *methods):
    """Whether this is an instance of the class that has these methods from it, and none of its own."""
    return isinstance(instance, cls) and all(getattr(type(instance), name) is getattr(cls, name) for name in methods)


def _first_batch(data):
    """The first batch, and the data with that batch: it is put back in front of a generator."""
    if isinstance(data, keras.utils.PyDataset):
        return data[0], data
    batches = iter(data)
    batch = next(batches, None)
    return batch, _chained(batch, batches) if batches is data else data


def _chained(first, others):
    # A generator, as Keras doesn't take any iterator.
    yield first
    yield from others
