/** The quotient q / 2 ** n, rounded half up. */
function shifted(q, n) {
  return (q >> n) + ((q >> (n - 1)) & 1);
}
