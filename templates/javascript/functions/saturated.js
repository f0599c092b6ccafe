/** The number within 16 bits that is next to q. */
function saturated(q) {
  return Math.min(Math.max(q, -32768), 32767);
}
