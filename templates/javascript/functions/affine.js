/**
 * y += w x with a matrix w. Element k of a vector is at its place + k * step, that of the matrix at
 * its place + row * rowStep + column * columnStep. Four rows at a time share what is read of x.
 */
function affine(y, w, x, rows, columns,
    yAt = 0, wAt = 0, xAt = 0, rowStep = columns, columnStep = 1, yStep = 1, xStep = 1) {
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
      const at = k * columnStep;
      sumA += w[a + at] * value;
      sumB += w[b + at] * value;
      sumC += w[c + at] * value;
      sumD += w[d + at] * value;
    }
    const at = yAt + row * yStep;
    y[at] += sumA;
    y[at + yStep] += sumB;
    y[at + 2 * yStep] += sumC;
    y[at + 3 * yStep] += sumD;
  }
  for (; row < rows; ++row) {
    const start = wAt + row * rowStep;
    let sum = 0;
    for (let k = 0; k < columns; ++k) sum += w[start + k * columnStep] * x[xAt + k * xStep];
    y[yAt + row * yStep] += sum;
  }
}
