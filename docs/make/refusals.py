"""What is refused though a Keras computes it: the second table of docs/layers.md.

Each row has a part of the message that names it, by which the tests find that it is really refused.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """One row: where it stands in a model, what is refused, in files of which Keras, what to do."""

    where: str
    what: str
    eras: str
    instead: str
    says: str  # a part of the message, as a regular expression


ALL = "all"

REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        "any layer",
        "weights quantised to int8, int4 or float8",
        "Keras 3",
        "save before quantize()",
        "it is quantised",
    ),
    Refusal(
        "Dense, EinsumDense, Embedding",
        "un-merged LoRA weights, in HDF5",
        "Keras 3",
        "save as .keras, which holds the merged kernel",
        "its LoRA weights are stored separately",
    ),
    Refusal(
        "any layer",
        "weights that are NaN or infinite",
        ALL,
        "--allow-nonfinite",
        "values that are not finite",
    ),
    Refusal(
        "any layer",
        "a setting that this version does not know, or a dtype that is not a type",
        "newer ones",
        "save without it",
        "setting .* is unknown|dtype is .*, (expected|which is)",
    ),
    Refusal(
        "any layer",
        "a class that is not of Keras",
        ALL,
        "--custom CLASS=package.module:function, or CLASS=KERAS_CLASS where it changes nothing",
        "is a custom class|layers of this class are not supported",
    ),
    Refusal(
        "Dropout, noise; recurrent and attention layers with dropout",
        "a call with training=True, which makes `predict` random",
        "Keras 2, TF",
        "--inference, which takes such layers as they are at inference",
        "it is called with training=True.*--inference",
    ),
    Refusal(
        "BatchNormalization, SpectralNormalization",
        "a call with training=True: `predict` then normalises by the current batch",
        "Keras 2, TF",
        "a call without it",
        "it is called with training=True.*save the model again",
    ),
    Refusal(
        "any layer",
        "an argument of its call that changes what it computes and is not known here",
        ALL,
        "a call without it",
        "it is called with .*, which is not supported",
    ),
    Refusal(
        "any layer",
        "a constant in its call that differs from sample to sample",
        "TF 2, Keras 3",
        "a constant whose batch axis is 1, or one more input",
        "differs from sample to sample",
    ),
    Refusal(
        "any activation",
        "a function that is not of Keras, and sparsemax, which Keras itself computes wrongly",
        ALL,
        "--custom NAME=package.module:function",
        "is not an activation of Keras|sparsemax",
    ),
    Refusal(
        "any activation",
        "a PReLU, or a Softmax along an axis other than the last, in place of a name",
        ALL,
        "the layer after one with activation='linear'",
        "is a layer of class|is a Softmax along axis",
    ),
    Refusal(
        "GRU, LSTM, SimpleRNN, RNN, ConvLSTM, Bidirectional",
        "stateful=True, and called more than once or inside TimeDistributed",
        ALL,
        "stateful=False, or one call",
        "a stateful layer that is called more than once|stateful=True inside TimeDistributed",
    ),
    Refusal(
        "RNN",
        "`constants` for a cell",
        ALL,
        "a cell that gets them with its inputs (RepeatVector, Concatenate)",
        "constants",
    ),
    Refusal(
        "Bidirectional",
        "time_major=True with return_sequences=True",
        "TF 1.15 to 2.2",
        "save with time_major=False: these reversed the batch instead of time",
        "with time_major=True, TensorFlow before 2.3",
    ),
    Refusal(
        "ConvLSTM1D, ConvLSTM2D",
        "an initial state with data_format='channels_first'",
        ALL,
        "data_format='channels_last'",
        "an initial state with data_format='channels_first'",
    ),
    Refusal(
        "ConvLSTM1D, ConvLSTM2D",
        "softmax, log_softmax or glu as an activation with data_format='channels_first'",
        ALL,
        "data_format='channels_last'",
        r"activation \w+ with data_format='channels_first'",
    ),
    Refusal(
        "RMSNormalization",
        "a scale that widens the last axis, where that has a length of 1",
        "Keras 3",
        "axis=-1, or a Reshape before it",
        "length 1 found, expected == ",
    ),
    Refusal(
        "Normalization",
        "a given mean of length 1 along an axis that is kept and longer",
        "Keras 3",
        "a mean of full length: versions spread it along different axes",
        r"statistics of shape \(.*\) for an axis that is longer",
    ),
    Refusal(
        "Masking",
        "inputs that are not (time, features)",
        ALL,
        "a Reshape before it",
        r"expected \(time, features\)",
    ),
    Refusal(
        "Embedding",
        "mask_zero=True on indices of more than one axis",
        ALL,
        "mask_zero=False",
        "mask_zero on an input of more than one axis",
    ),
    Refusal(
        "GRU and other layers that use masks",
        "a mask of more than one axis, as TimeDistributed(Embedding(mask_zero=True)) makes it",
        "Keras 2.2 to TF 2.15",
        "mask_zero=False there",
        "a mask of more than one axis",
    ),
    Refusal(
        "any layer",
        "a `mask` of its own besides the one of its input, passed on",
        "Keras 3.0 to 3.10",
        "save with a later one",
        "it is given a mask that is not that of its input",
    ),
    Refusal(
        "SpectralNormalization",
        "around an Embedding, or with a mask",
        "TF 2.13 on",
        "the layer inside, with the weights of the last step",
        "it wraps an Embedding|a mask reaches it",
    ),
    Refusal(
        "BatchNormalization",
        "mode=2, which normalises by the current batch",
        "Keras 1",
        "mode=0 or 1",
        "mode 2 normalises by the current batch",
    ),
    Refusal(
        "Merge",
        "a mode that is a function",
        "Keras 1",
        "a mode by its name; --custom Merge=... knows what yours computes",
        "merge mode .* is not supported|Python code",
    ),
    Refusal(
        "Conv, pooling, padding layers",
        "a file that tells nowhere whether channels come first",
        "Keras 1.0, 1.1",
        "add dim_ordering to its configuration and pass that with --config",
        "does not say which axis holds the channels",
    ),
    Refusal(
        "Conv1D, Conv2D and pooling",
        "padding='same' with an even window or strides, on Theano",
        "Keras 1 and 2",
        "a padding layer and padding='valid'",
        "Theano pads windows",
    ),
    Refusal(
        "UpSampling2D",
        "interpolation='bicubic', 'lanczos3' or 'lanczos5'; 'bilinear' on Theano",
        "TF 2.1 on; Keras 2.2 and 2.3",
        "'nearest' or 'bilinear'",
        "interpolation .* is not supported",
    ),
    Refusal(
        "LocallyConnected1D, LocallyConnected2D",
        "an input of free length",
        "to TF 2.15",
        "an Input of fixed length, as Keras asks for, too",
        "the length of its input is free",
    ),
    Refusal(
        "Attention, AdditiveAttention",
        "inputs of other than two axes after the batch axis",
        ALL,
        "a Reshape to (time, features) before it",
        "must have a time axis and features",
    ),
    Refusal(
        "MultiHeadAttention",
        "masks, scores, windows or causal masks over several attention_axes; axes that reach the "
        "heads",
        "TF 2.4 on",
        "attention over one axis",
        "not supported for inputs with more axes|a causal mask or a window is not supported|"
        "attends over the heads",
    ),
    Refusal(
        "MultiHeadAttention",
        "an output_shape of several axes",
        "TF 2.4 on",
        "one number, and a Reshape after it",
        r"its weight 'kernel' has shape .* expected \(any, any, any\)",
    ),
    Refusal(
        "operations in a functional model",
        "sort, top_k and what else is no arithmetic, comparison, reduction or change of shape",
        "TF 1.15 on, Keras 3",
        "a layer instead, or one of your own with --custom",
        "this operation is not supported",
    ),
    Refusal(
        "operations in a functional model",
        "operands of which one has fewer axes: its batch axis meets another one",
        "TF 1.15 on, Keras 3",
        "an expand_dims before it, which says where the axis is meant to be",
        "the batch axis of one meets another axis",
    ),
    Refusal(
        "operations in a functional model",
        "casts to float16 and other types that round or wrap",
        "TF 1.15 on, Keras 3",
        "float32, int32 or bool",
        "a cast to '",
    ),
    Refusal(
        "any layer or operation",
        "integers or booleans where Keras does not compute as with floats: a LeakyReLU, a "
        "LayerNormalization or a clip of integers, a sum of booleans, a mean of integers in TF",
        ALL,
        "a cast to float32 before it",
        "which Keras treats unlike floats|is not boolean",
    ),
    Refusal(
        "CategoryEncoding, one_hot",
        "a call on computed floats, whose fractions each backend treats in its own way",
        ALL,
        "a cast to int32 before it",
        "may hold fractions",
    ),
    Refusal(
        "a model file",
        "a SavedModel directory, YAML, a checkpoint, a pickle",
        ALL,
        "model.save('m.keras') or model.save('m.h5') in the Keras that loads it",
        "SavedModel|YAML|pickle",
    ),
)
