/** Rows of whole numbers, each times its scale in units. */
function scaled(Type, unit, whole, scales) {
  const found = new Type(whole.length);
  const size = whole.length / scales.length;
  for (let k = 0; k < found.length; ++k) found[k] = unit * scales[Math.floor(k / size)] * whole[k];
  return found;
}
