/** Copies `size` numbers of `from`, from `fromAt` on, to `to`, from `toAt` on. */
function copy(to, from, size, toAt = 0, fromAt = 0) {
  for (let k = 0; k < size; ++k) to[toAt + k] = from[fromAt + k];
}
