function tanh(x) {
  if (Math.abs(x) < 1e-3) return x - (x * x * x) / 3; // the difference below would lose digits
  return 1 - 2 / (exp(2 * x) + 1);
}
