// What write.js and names.js reach on the names of the test, and the time of a character in the
// fastest name: node score.js

import { readFileSync } from "node:fs";
import { Model } from "./names.js";
import { Writer } from "./write.js";

const read = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
const writer = new Writer(new Model(), JSON.parse(read("alphabet.json")));
const names = read("test.csv").trim().split("\n").map((line) => line.split(","));

let count = 0;
let total = 0;
let fastest = Infinity;
for (const [language, name] of names) {
  const start = performance.now();
  const found = writer.bits(name, writer.shares(language));
  fastest = Math.min(fastest, (performance.now() - start) / found.length);
  count += found.length;
  total += found.reduce((sum, bits) => sum + bits, 0);
}
console.log(`${names.length} names, ${count} characters`);
console.log(`${(total / count).toFixed(3)} bits a character, ${(1000 * fastest).toFixed(0)} us each`);
