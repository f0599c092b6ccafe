/** The quotient q * r / 2 ** 15, rounded down. */
function scaledBy(q, r) {
  return 2 * (q >> 16) * r + (((q & 0xffff) * r) >>> 15);
}
