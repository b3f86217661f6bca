const byId = (id) => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// The choice to see images plain goes with the reader from page to page.
const heat = byId("heat");
if (heat) {
  let store;
  try { store = window.sessionStorage; } catch { /* refused: the choice lasts for this page */ }
  heat.checked = store?.getItem("heat") !== "off";
  heat.addEventListener("change", () => store?.setItem("heat", heat.checked ? "on" : "off"));
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const said = button.parentNode.querySelector("[role=status]");
    try {
      await navigator.clipboard.writeText(location.href.split("#")[0]);
      said.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(byId(button.dataset.copy));
      said.textContent = "Selected: copy it with the keyboard";
    }
  });
}

const SHOWN = 40;
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

// How well a term fits a token: the whole of it, its beginning, a word's beginning, anywhere.
const fit = (term, token) => {
  const at = term.indexOf(token);
  if (at < 0) return 0;
  if (term.length === token.length) return 6;
  if (at === 0) return 4;
  return term.includes(" " + token) || term.includes("-" + token) ? 3 : 1;
};

const fits = (terms, text) => {
  const found = new Float32Array(terms.length);
  terms.forEach((term, i) => { found[i] = fit(term, text); });
  return found;
};

// Words of the direction count most, then labels and concepts, then words of the sparse code.
const best = (numbers, found, weight, step = 0) =>
  numbers.reduce((most, n, i) => Math.max(most, found[n] && found[n] * weight - i * step), 0);
const weigh = (unit, found) =>
  Math.max(best(unit.words, found, 4, 0.2), best(unit.names, found, 3), best(unit.code, found, 2));

// As the words of a pair are printed: "golden, yellow, lemon".
const tokensOf = (text) => text.split(/[\s,;"“”]+/u).filter(Boolean);

// "2,456", "2-456" or "head 2 · neuron 456"; "pair 1480", its number in the tables; "head 2" and
// "neuron 456", which are all of theirs.
const numbered = (index, text) => {
  const both = text.match(/^(?:(?:pair|head) )?(\d+)(?: ?[-·:,/] ?| )(?:neuron )?(\d+)$/);
  if (both) return (u) => u.head === Number(both[1]) && u.neuron === Number(both[2]);
  const one = text.match(/^(pair|head|neuron) (\d+)$/);
  const number = one && Number(one[2]);
  return one && {
    pair: (u) => numberOf(index, u) === number,
    head: (u) => u.head === number,
    neuron: (u) => u.neuron === number,
  }[one[1]];
};
const numberOf = (index, unit) => unit.kind === "pairs" ? unit.head * index.width + unit.neuron : null;

const search = (index, query) => {
  const text = plain(query).trim().replace(/\s+/g, " ");
  const wanted = numbered(index, text);
  if (wanted) return index.units.filter(wanted);
  const tokens = tokensOf(text).map((token) => fits(index.terms, token));
  if (!tokens.length) return null;
  const whole = fits(index.terms, text);
  const scored = [];
  for (const unit of index.units) {
    const parts = tokens.map((found) => weigh(unit, found));
    let score = parts.every(Boolean) ? parts.reduce((a, b) => a + b) + weigh(unit, whole) : 0;
    if (String(unit.neuron) === text) score += 100;
    if (String(numberOf(index, unit)) === text) score += 50;
    if (score) scored.push([score, unit]);
  }
  return scored.sort((a, b) => b[0] - a[0]).map(([, unit]) => unit);
};

// Letters to change, leave out or put in, to make one word of another.
const distance = (a, b) => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] !== b[j - 1])));
    }
    row = next;
  }
  return row[b.length];
};

// The query with every word that the atlas lacks replaced by the one most like it; null if none is.
const meant = (index, query) => {
  const known = [...new Set(index.terms.flatMap(tokensOf))];
  const tokens = tokensOf(plain(query)).map((token) => {
    if (known.some((word) => word.includes(token))) return token;
    const near = known.map((word) => [distance(token, word), word]).sort((a, b) => a[0] - b[0])[0];
    return near && near[0] <= token.length / 3 ? near[1] : null;
  });
  const found = tokens.includes(null) ? null : tokens.join(" ");
  return found && found !== plain(query).trim() && search(index, found)?.length ? found : null;
};

const read = ({ width, terms, pairs, neurons, topics }) => ({
  width,
  texts: terms,
  terms: terms.map(plain),
  topics,
  units: [
    ...pairs.map(([head, neuron, words, code, names], i) =>
      ({ kind: "pairs", i, head, neuron, words, code, names })),
    ...neurons.map(([neuron, words, names], i) =>
      ({ kind: "neurons", i, neuron, words, code: [], names })),
  ],
});

const load = (name) =>
  new Promise((done, failed) => {
    document.head.append(make("script", { src: "assets/" + name, onload: done, onerror: failed }));
  });

const marked = (text, query) => {
  const tokens = tokensOf(query).map((token) => token.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  if (!tokens.length) return [text];
  return text.split(new RegExp(`(${tokens.join("|")})`, "giu"))
    .map((part, i) => (i % 2 ? make("mark", {}, part) : part));
};

const row = (index, unit, query) => {
  const say = (numbers) => numbers.map((n) => index.texts[n]).join(", ");
  const pair = unit.kind === "pairs";
  const id = pair ? `head ${unit.head} · neuron ${unit.neuron}` : `neuron ${unit.neuron}, with all its heads`;
  const more = [
    unit.names.length && `goes with ${say(unit.names)}`,
    unit.code.length && `code ${say(unit.code)}`,
  ].filter(Boolean).join("; ");
  const pictures = window.atlasPictures;
  const thumbs = (pictures?.[unit.kind][unit.i] ?? []).map((n) =>
    make("img", { src: "images/" + encodeURIComponent(pictures.files[n]), alt: "", width: 52, height: 52, loading: "lazy" }));
  return make("li", {}, make("a",
    { className: "unit", href: pair ? `pairs/${unit.head}-${unit.neuron}.html` : `neurons/${unit.neuron}.html` },
    make("span", { className: "thumbs" }, ...thumbs),
    make("span", { className: "what" },
      make("b", {}, ...marked(say(unit.words) || "no words", query)),
      make("span", { className: "quiet" }, id, more ? "; " : "", ...marked(more, query)))));
};

const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

const form = document.querySelector("#search form");
if (form) {
  const query = byId("query");
  const found = byId("found");
  const said = byId("said");
  let loading;
  let index;

  const show = () => {
    const text = query.value;
    const hash = text.trim() ? "#q=" + encodeURIComponent(text.trim()) : location.pathname.split("/").pop() || "./";
    history.replaceState(null, "", hash);
    const units = search(index, text);
    found.replaceChildren(...(units ?? []).slice(0, SHOWN).map((unit) => row(index, unit, text)));
    if (!units) { said.textContent = ""; return; }
    const pairs = units.filter((unit) => unit.kind === "pairs").length;
    const sum = `${count(pairs, "pair", "pairs")} and ${count(units.length - pairs, "neuron", "neurons")}`;
    if (units.length) {
      said.textContent = `${sum} found${units.length > SHOWN ? `, the best ${SHOWN} are shown` : ""}.`;
      // On a small screen they would come to lie under its edge, and nobody would know.
      if (found.getBoundingClientRect().top > 0.6 * innerHeight) byId("search").scrollIntoView();
      return;
    }
    said.textContent = `Nothing in this atlas goes with “${text.trim()}”.`;
    const other = meant(index, text);
    if (other) said.append(" Did you mean ", make("a", { href: "#q=" + encodeURIComponent(other) }, other), "?");
  };
  const prepare = () => loading ??= Promise.all([load("index.js"), load("pictures.js")]).then(
    () => { index = read(window.atlasIndex); },
    () => { said.textContent = "The index of the search could not be loaded."; });
  const update = async () => { await prepare(); if (index) show(); };
  const fromAddress = () => {
    if (!location.hash.startsWith("#q=")) return;
    let wanted = location.hash.slice(3);
    try { wanted = decodeURIComponent(wanted); } catch { /* as it stands */ }
    query.value = wanted;
    byId("search").scrollIntoView();
    update();
  };

  form.hidden = false;
  byId("without").remove();
  form.addEventListener("submit", (event) => event.preventDefault());
  query.addEventListener("focus", prepare);
  query.addEventListener("input", update);
  byId("search").addEventListener("keydown", (event) => {
    const links = [query, ...found.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && at === 0 && links.length > 1) links[1].click();
    else if (event.key === "Escape" && at > 0) query.focus();
    else if (step && at >= 0) links[Math.min(Math.max(at + step, 0), links.length - 1)].focus();
    else return;
    event.preventDefault();
  });
  addEventListener("hashchange", fromAddress);
  fromAddress();
}
