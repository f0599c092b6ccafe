// The page: what is asked for, the chart of the next letter, and the names.

import { Model } from "./names.js";
import { Dice, tempered, Writer } from "./write.js";

const SHOWN = 10; // letters in the chart, and names in the list

const text = async (file) => (await fetch(file)).text();
const [alphabet, learned] = await Promise.all([text("alphabet.json"), text("train.csv")]);
const writer = new Writer(new Model(), JSON.parse(alphabet));
const known = new Set(learned.trim().split("\n").map((line) => line.split(",")[1]));

const at = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));
const form = document.querySelector("form");

function made(tag, properties, ...inside) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...inside);
  return found;
}

const percent = (p) => `${(100 * p).toFixed(0)} %`;
const language = () =>
  writer.shares(at.first.value, at.second.value, Number(at.share.value));
const temperature = () => Number(at.temperature.value);

/** The rows of the chart are made once, so that their bars move and the focus stays. */
const rows = Array.from({ length: SHOWN }, () => {
  const [bar, letter, share] = ["bar", "letter", "percent"].map((className) =>
    made("span", { className }),
  );
  const button = made("button", { type: "button" }, bar, letter, share);
  button.addEventListener("click", () => {
    at.start.value += letter.textContent;
    show();
  });
  at.chart.append(made("li", {}, button));
  return { button, letter, share };
});

function show() {
  at.shared.value = percent(Number(at.share.value));
  at.warm.value = temperature().toFixed(2);
  const start = writer.usable(at.start.value);
  const p = tempered(writer.after(start, language()), temperature());
  const likely = p.map((_, index) => index).sort((a, b) => p[b] - p[a]);
  rows.forEach(({ button, letter, share }, rank) => {
    const index = likely[rank];
    letter.textContent = index === 0 ? "end of the name" : writer.letters[index];
    share.textContent = p[index] < 0.005 ? "<1 %" : percent(p[index]);
    button.style.setProperty("--p", p[index]);
    button.disabled = index === 0;
  });
}

function write() {
  const dice = new Dice(Number(at.seed.value));
  at.seed.value = Number(at.seed.value) + 1;
  const start = writer.usable(at.start.value);
  const found = Array.from({ length: SHOWN }, () =>
    writer.name(language(), temperature(), dice, start),
  );
  at.names.replaceChildren(
    ...found.map((name) => {
      const note = made("small", { textContent: known.has(name) ? "known" : "" });
      return made("li", {}, made("span", {}, writer.titled(name, at.first.value)), note);
    }),
  );
}

for (const [select, wanted] of [[at.first, "Icelandic"], [at.second, "Italian"]]) {
  select.append(...writer.languages.map((name) => made("option", {}, name)));
  select.selectedIndex = Math.max(0, writer.languages.indexOf(wanted));
}
form.addEventListener("input", show);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  write();
});
show();
write();
document.body.dataset.ready = "yes";
