"""rnn-codegen: a trained recurrent network becomes one self-contained source file."""

__version__ = "0.1.0"
