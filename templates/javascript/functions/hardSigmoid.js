function hardSigmoid(x) {
  return Math.min(Math.max(0.2 * x + 0.5, 0), 1);
}
