/** Whether the numbers found are the expected ones, in the type that they are found in. */
function same(found, expected) {
  if (found?.length !== expected.length) return false;
  return found.constructor.from(expected).every((value, k) => found[k] === value);
}
