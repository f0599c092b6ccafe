"""Files of Keras, every release since 1.0."""
