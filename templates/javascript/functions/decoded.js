/** The numbers of a base64 text, little-endian. (There is no atob in an AudioWorklet.) */
function decoded(Type, text) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const value = Object.fromEntries([...digits].map((digit, k) => [digit, k]));
  const packed = text.replace(/[^A-Za-z0-9+/]/g, "");
  const bytes = new Uint8Array(Math.floor((packed.length * 3) / 4));
  let bits = 0;
  for (let k = 0; k < packed.length; ++k) {
    bits = ((bits << 6) | value[packed[k]]) & 0xffffff;
    if (k % 4 > 0) bytes[Math.floor((k * 3) / 4)] = bits >> (6 - 2 * (k % 4));
  }
  return new Type(bytes.buffer);
}
