function softplus(x) {
  return Math.max(x, 0) + Math.log1p(exp(-Math.abs(x)));
}
