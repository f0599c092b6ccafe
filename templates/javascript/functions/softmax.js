/** y = exp(x) / sum exp(x); element k of a vector is at its place + k * step. */
function softmax(y, x, size, yAt = 0, xAt = 0, yStep = 1, xStep = 1) {
  let top = -Infinity;
  for (let k = 0; k < size; ++k) top = Math.max(top, x[xAt + k * xStep]);
  let total = 0;
  for (let k = 0; k < size; ++k) total += exp(x[xAt + k * xStep] - top);
  for (let k = 0; k < size; ++k) y[yAt + k * yStep] = exp(x[xAt + k * xStep] - top) / total;
}
