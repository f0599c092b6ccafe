/** The array `into`, filled with the numbers that the caller gives. */
function read(name, given, into) {
  check(name, given, into.length);
  for (let k = 0; k < into.length; ++k) {
    if (typeof given[k] !== "number") {
      throw new TypeError(`${name}: expected a number at ${k}, found ${String(given[k])}`);
    }
    into[k] = given[k];
  }
  return into;
}
