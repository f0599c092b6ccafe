/** What is left of x after whole multiples of y; it has the sign of x. */
function fmod(x, y) {
  return x % y;
}
