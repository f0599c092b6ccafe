/** Whether the numbers found are the expected ones. */
function same(found, expected) {
  return found?.length === expected.length && expected.every((value, k) => found[k] === value);
}
