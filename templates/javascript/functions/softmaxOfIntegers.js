/** y = shares of 2 ** 15 in proportion to e ** (x / 2 ** 16), whose sum is 2 ** 15. */
function softmaxOfIntegers(y, x, size, exp, yAt = 0, xAt = 0, yStep = 1, xStep = 1) {
  let top = x[xAt];
  for (let k = 1; k < size; ++k) top = Math.max(top, x[xAt + k * xStep]);
  let total = 0;
  for (let k = 0; k < size; ++k) total += exp(top - x[xAt + k * xStep]);
  let left = total >> 1;
  for (let k = 0; k < size; ++k) {
    left += exp(top - x[xAt + k * xStep]) * 32768;
    const share = Math.floor(left / total);
    y[yAt + k * yStep] = share;
    left -= share * total;
  }
}
