function sigmoid(x) {
  return 1 / (1 + exp(-x));
}
