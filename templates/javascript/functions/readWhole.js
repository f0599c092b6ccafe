/** The array `into`, filled with whole numbers below `limit`: rows of a table, say. */
function readWhole(name, given, into, limit) {
  check(name, given, into.length);
  for (let k = 0; k < into.length; ++k) {
    if (!Number.isInteger(given[k]) || given[k] < 0 || given[k] >= limit) {
      const wanted = limit < Infinity ? ` from 0 to ${limit - 1}` : "";
      throw new RangeError(`${name}: expected whole numbers${wanted}, found ${String(given[k])}`);
    }
    into[k] = given[k];
  }
  return into;
}
