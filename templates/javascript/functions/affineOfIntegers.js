/**
 * y += w x with a matrix w of whole numbers, each row times its scale. Element k of a vector is at
 * its place + k * step, that of the matrix at its place + row * rowStep + column. Four rows at a
 * time share what is read of x.
 */
function affineOfIntegers(y, w, scales, x, shift, rows, columns,
    yAt = 0, wAt = 0, xAt = 0, first = 0, rowStep = columns, yStep = 1, xStep = 1) {
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const a = wAt + row * rowStep;
    const b = a + rowStep;
    const c = b + rowStep;
    const d = c + rowStep;
    let sumA = 0;
    let sumB = 0;
    let sumC = 0;
    let sumD = 0;
    for (let k = 0; k < columns; ++k) {
      const value = x[xAt + k * xStep];
      sumA = (sumA + w[a + k] * value) | 0;
      sumB = (sumB + w[b + k] * value) | 0;
      sumC = (sumC + w[c + k] * value) | 0;
      sumD = (sumD + w[d + k] * value) | 0;
    }
    const at = yAt + row * yStep;
    y[at] += multiplied(sumA, scales[first + row], shift);
    y[at + yStep] += multiplied(sumB, scales[first + row + 1], shift);
    y[at + 2 * yStep] += multiplied(sumC, scales[first + row + 2], shift);
    y[at + 3 * yStep] += multiplied(sumD, scales[first + row + 3], shift);
  }
  for (; row < rows; ++row) {
    const start = wAt + row * rowStep;
    let sum = 0;
    for (let k = 0; k < columns; ++k) sum = (sum + w[start + k] * x[xAt + k * xStep]) | 0;
    y[yAt + row * yStep] += multiplied(sum, scales[first + row], shift);
  }
}
