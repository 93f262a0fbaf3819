"""The layers of AWD-LSTM: an LSTM with weight drop, locked dropout, embedding dropout, and other cells."""

from awd_keras.layers.ablated_lstm import AblatedLSTM
from awd_keras.layers.adaptive_softmax import AdaptiveSoftmax
from awd_keras.layers.concat_pooling import ConcatPooling
from awd_keras.layers.embedding_dropout import EmbeddingDropout
from awd_keras.layers.locked_dropout import LockedDropout
from awd_keras.layers.mogrifier_lstm import MogrifierLSTM
from awd_keras.layers.qrnn import QRNN
from awd_keras.layers.weight_drop_gru import WeightDropGRU
from awd_keras.layers.weight_drop_lstm import WeightDropLSTM

__all__ = [
    "QRNN",
    "AblatedLSTM",
    "AdaptiveSoftmax",
    "ConcatPooling",
    "EmbeddingDropout",
    "LockedDropout",
    "MogrifierLSTM",
    "WeightDropGRU",
    "WeightDropLSTM",
]
