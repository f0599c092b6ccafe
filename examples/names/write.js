// Writes names with any model that has `step([letter], language)` and `reset()`: in a page or in node.

/** Random numbers from 0 to 1 (xorshift, 32 bits), the same in every language. */
export class Dice {
  constructor(seed) {
    this.state = Math.imul(seed, 2654435761) || 1;
  }

  roll() {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) / 4294967296;
  }
}

/** What remains of probabilities at a temperature: above 1 the rare gain, below it the likely. */
export function tempered(probabilities, temperature) {
  const weights = Array.from(probabilities, (p) => p ** (1 / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** An index that is drawn with these probabilities. */
export function drawn(probabilities, dice) {
  let left = dice.roll();
  return Math.max(0, probabilities.findIndex((p) => (left -= p) < 0));
}

export class Writer {
  static longest = 20;

  /** `alphabet` is what alphabet.json holds; its first letter stands before a name and after it. */
  constructor(model, alphabet) {
    this.model = model;
    this.letters = alphabet.letters;
    this.capitals = alphabet.capitals;
    this.languages = alphabet.languages;
  }

  /** The input `language`: `share` of it is the second language, the rest the first. */
  shares(first, second = first, share = 0) {
    const found = this.languages.map(() => 0);
    found[this.languages.indexOf(first)] += 1 - share;
    found[this.languages.indexOf(second)] += share;
    return found;
  }

  /** The text in lower case, without what is no letter of the alphabet. */
  usable(text) {
    const small = [...text.toLowerCase()];
    return small.filter((letter) => this.letters.indexOf(letter) > 0).join("");
  }

  /** Probabilities of the letter that comes after `start`. */
  after(start, language) {
    this.model.reset();
    let p = this.model.step([0], language);
    for (const letter of start) p = this.model.step([this.letters.indexOf(letter)], language);
    return p;
  }

  /** One name in lower case that begins with `start`. */
  name(language, temperature, dice, start = "") {
    let found = start;
    let p = this.after(start, language);
    while (found.length < Writer.longest) {
      const index = drawn(tempered(p, temperature), dice);
      if (index === 0) break;
      found += this.letters[index];
      p = this.model.step([index], language);
    }
    return found;
  }

  /** The name with a capital; Turkish has its own for i. */
  titled(name, language) {
    const capital = this.capitals[this.letters.indexOf(name[0])] ?? "";
    return (name[0] === "i" && language === "Turkish" ? "İ" : capital) + name.slice(1);
  }

  /** What each letter of a name and its end take, in bits: -log2 of their probability. */
  bits(name, language) {
    this.model.reset();
    let letter = 0;
    return [...name, this.letters[0]].map((following) => {
      const p = this.model.step([letter], language);
      letter = this.letters.indexOf(following);
      return -Math.log2(Math.max(p[letter], 1e-9));
    });
  }
}
