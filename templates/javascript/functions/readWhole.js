/** The array `into`, filled with whole numbers from `least` on, below `limit`. */
function readWhole(name, given, into, limit, least = 0) {
  check(name, given, into.length);
  for (let k = 0; k < into.length; ++k) {
    if (!Number.isInteger(given[k]) || given[k] < least || given[k] >= limit) {
      const wanted = limit < Infinity ? ` from ${least} to ${limit - 1}` : "";
      throw new RangeError(`${name}: expected whole numbers${wanted}, found ${String(given[k])}`);
    }
    into[k] = given[k];
  }
  return into;
}
