function tanh(x) {
  return 1 - 2 / (exp(2 * x) + 1);
}
