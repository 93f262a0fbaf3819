"""Text as streams of word ids: vocabularies, corpora and windows for truncated backpropagation."""

from awd_keras.data.bptt import BPTTDataset
from awd_keras.data.corpus import Corpus, encode_file
from awd_keras.data.text_dataset import TextDataset
from awd_keras.data.vocabulary import EOS, UNK, Vocabulary
from awd_keras.data.word_vectors import read_vectors

__all__ = ["EOS", "UNK", "BPTTDataset", "Corpus", "TextDataset", "Vocabulary", "encode_file", "read_vectors"]
