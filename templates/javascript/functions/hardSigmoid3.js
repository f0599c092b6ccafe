function hardSigmoid3(x) {
  return Math.min(Math.max(x / 6 + 0.5, 0), 1);
}
