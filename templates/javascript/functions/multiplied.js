/** The quotient total * scale / 2 ** (16 + shift): rounded down to 16, then half up. */
function multiplied(total, scale, shift) {
  const q = (total >> 16) * scale + (((total & 0xffff) * scale) >>> 16);
  return (q >> shift) + ((q >> (shift - 1)) & 1);
}
