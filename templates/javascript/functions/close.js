/** Whether each number found is the expected one within the tolerance. */
function close(found, expected, size) {
  if (found?.length !== expected.length) return false;
  return expected.every((value, k) => {
    // NaN was recorded where there is no finite number, or a very large one.
    if (Number.isNaN(value)) return !(Math.abs(found[k]) < LARGEST);
    return Math.abs(found[k] - value) <= TOLERANCE * (size + Math.abs(value));
  });
}
