/** The error function: 2 / sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!. */
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let total = x;
  let term = x;
  for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(total); n += 2) {
    term *= (2 * x * x) / n;
    total += term;
  }
  return 1.1283791670955126 * exp(-x * x) * total;
}
