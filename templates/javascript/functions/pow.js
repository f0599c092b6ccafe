/** x ** y; 1 to any power is 1, which Math.pow denies for an infinite one. */
function pow(x, y) {
  return x === 1 ? 1 : Math.pow(x, y);
}
