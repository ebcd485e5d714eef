/* The search of the book, for the page search.html.

   The index (search-index.js, written by book/editions/search.py) holds pages, their entries
   (sections, functions, words of the glossary) and the names of those words. The book is small
   enough to be read through at every query: nothing has to be cut up beforehand, so that spaces,
   endings, spellings and names can be minded when the query is known. */
"use strict";

// Letters. Case and accents have no effect, and every letter keeps its place in the text.
const fold = (text) => text.toLowerCase().replace(/[\u00c0-\u024f]/g,
  (letter) => letter.normalize("NFD")[0]);
const compact = (text) => fold(text.normalize("NFC")).replace(/[^\p{L}\p{N}]/gu, "");
const words = (text) => fold(text.normalize("NFC")) // IoU를 is two: the word and its particle
  .match(/[가-힣]+|(?:(?![가-힣])[\p{L}\p{N}])+/gu) ?? [];
const isHangul = (word) => /^[가-힣]/.test(word);
const spelt = (word) => word.normalize("NFD"); // Hangul by its letters

/* Find any of these words. Latin letters begin a word and run on to its end, Hangul stands
   anywhere in one; a longer word is also found with spaces where it has none, from the beginning
   of a word to the end of one (Korean goes on with a particle). Of `names`, an abbreviation is a
   whole word: FL is not the beginning of float. */
const finder = (list, names = false) => new RegExp(list.map((word) => {
  const letters = [...compact(word)];
  const start = "(?<![a-z0-9가-힣])", apart = "[^a-z0-9가-힣]{0,2}";
  const [end, rest] = isHangul(word) ? ["", ""]
    : ["(?![a-z0-9가-힣])", names && letters.length < 4 ? "s?(?![a-z0-9])" : "[a-z0-9]*"];
  const together = (rest || letters.length < 2 ? start : "") + letters.join("[-‐–'’.]?") + rest;
  return letters.length < 4 ? together : `${together}|${start}${letters.join(apart)}${end}`;
}).join("|"), "g");
const hits = (regex, text) => [...text.matchAll(regex)];

// What does not change what is looked for: particles of Korean, inflections of English, and words
// that say how something is asked.
const PARTICLES = "이란 란 에서는 에서 으로 에는 은 는 이 가 을 를 의 에 로 와 과 도";
const ASKING = new Set(words(`${PARTICLES} 것 때 뭐 뭘 방법 법 수 써야 쓰는 어떤 어떻게 언제 왜 하나요 하는 할
  해야 무슨 무엇 및 좀 a an and are be can do does for how i in is it my of on or should the to use
  using what when which why with`));
const ENDING = new RegExp(`(?<=[가-힣]{2})(${PARTICLES.replaceAll(" ", "|")})$`
  + "|(?<=[a-z]{4})(ing|ed|es)$|(?<=[a-z]{3})(?<!s)s$");
const stem = (word) => word.replace(ENDING, "");

/* Whether a word is `query`, or begins with it, but for one letter: another, one more, one less,
   or two in the wrong order. Both are spelt: 로바쉬 is one letter away from 로바스. */
const isNear = (word, query, whole) => {
  if (query.length < 4) return false;
  let same = 0;
  while (same < query.length && word[same] === query[same]) same += 1;
  const [left, wanted] = [word.slice(same), query.slice(same)];
  return [[left.slice(1), wanted.slice(1)], [left, wanted.slice(1)], [left.slice(1), wanted],
    [left, `${wanted[1] ?? ""}${wanted[0] ?? ""}${wanted.slice(2)}`]]
    .some(([rest, end]) => whole ? rest === end : rest.startsWith(end));
};
const pairs = (text) => {
  const letters = [...compact(text)];
  return new Set(letters.slice(1).map((letter, i) => letters[i] + letter));
};

// The book as the index tells it. A thing is what has names: an entry of the glossary.
const book = (() => {
  const things = searchIndex.names.map(([entry, explained, names]) =>
    ({ entry, explained, names, keys: names.map(compact), spelt: names.map(compact).map(spelt) }));
  const named = new Map(things.flatMap((thing) => thing.keys.map((key) => [key, thing])));
  const pages = searchIndex.pages.map(([address, number, questions]) =>
    ({ address, number, questions: questions.map(pairs) }));
  const places = searchIndex.entries.map(([page, anchor, heading, text], i, all) => {
    const title = compact(heading.split(/[:(]/)[0]);
    const defined = things.find(({ entry }) => entry === i);
    const thing = defined ?? named.get(title);
    const isTop = page !== all[i - 1]?.[0];
    if (isTop) pages[page].top = i;
    const names = fold(thing?.names.join("\n") ?? "");
    return {
      page, anchor, heading, text, title, thing,
      isTop, isEntry: Boolean(defined), isCode: anchor.includes("."),
      folded: { heading: fold(heading), names, text: fold(text) },
    };
  });
  const all = places.map(({ folded: { heading, text } }) => `${heading}\n${text}`).join("\n");
  return { things, named, pages, places, all, words: new Set(words(all).map(spelt)) };
})();
const isWritten = (word) => finder([word]).test(book.all);
const isWord = (word) => isHangul(word) ? isWritten(word) : book.words.has(word);
const misspelt = (query) =>
  book.things.find((thing) => thing.spelt.some((name) => isNear(name, query, true)));

/* A query cut into parts, each a list of words that may stand for it: all names of the thing that
   the most words of the query name together, or one word, as it may be written in the book. */
const partsOf = (list) => {
  if (!list.length) return [];
  for (let count = list.length; count; count -= 1) {
    const [first, others] = [list.slice(0, count), list.slice(count)];
    const written = first.join("");
    const thing = book.named.get(written) ?? book.named.get(stem(written))
      ?? (isWord(written) ? null : misspelt(spelt(written)));
    if (thing) return [{ words: [first.join(" "), ...thing.names], thing }, ...partsOf(others)];
  }
  const [word, ...others] = list;
  const part = { words: [word, stem(word)] };
  if (!part.words.some(isWritten)) {
    const begins = [...book.named.keys()].filter((name) => isHangul(name) && word.startsWith(name));
    const name = begins.sort((a, b) => b.length - a.length)[0] ?? "";
    if (name.length > 1) return partsOf([name, word.slice(name.length), ...others]);
    part.words.push(...[...book.words].filter((known) => isNear(known, spelt(word))));
  }
  return [part, ...partsOf(others)];
};

// What a hit counts, by where it is.
const WEIGHT = {
  title: 10, heading: 6, code: 4, name: 8, entry: 5, explained: 10, text: 1, exact: 10, question: 12,
};

/* What a part of a query finds: a score for every place, and how rare it is, from 0 to 1. */
const look = ({ words, thing }) => {
  const regex = finder(words, Boolean(thing));
  const keys = new Set(words.map(compact));
  const scores = book.places.map(({ folded, isTop, isCode, title }) => {
    const [first] = hits(regex, folded.heading);
    const inText = hits(regex, folded.text).length;
    const share = first && isTop ? Math.min(1, compact(first[0]).length / title.length) : 0;
    const fit = keys.has(title) ? 1.5 : Math.max(first?.index === 0 ? 1.15 : 1, 1 + share / 2);
    return (inText ? WEIGHT.text * (1 + Math.log2(inText)) : 0)
      + (first ? fit * (isTop ? WEIGHT.title : isCode ? WEIGHT.code : WEIGHT.heading)
        : hits(regex, folded.names).length ? WEIGHT.name : 0);
  });
  for (const { explained, keys: names } of book.things) {
    const meant = !thing && names.some((name) => name.startsWith(compact(words[0])));
    if (meant && explained >= 0) scores[explained] += WEIGHT.explained / 3;
  }
  if (thing) scores[thing.entry] += WEIGHT.entry;
  if (thing?.explained >= 0) scores[thing.explained] += WEIGHT.explained;
  const count = scores.filter(Boolean).length;
  const rarity = Math.log(1 + scores.length / (1 + count)) / Math.log(1 + scores.length);
  return { regex, scores, rarity };
};

/* The pages that answer a query, the best first, each with its places, the best first: those that
   hold all of the query or, if nothing does (`complete` is false), most of it. */
const searchBook = (query) => {
  const typed = words(query);
  const asked = typed.filter((word) => !ASKING.has(word));
  const found = partsOf(asked.length ? asked : typed).map(look);
  const phrase = found.length > 1 ? finder([query]) : /(?!)/g;
  const queryPairs = pairs(query);
  const likeness = (question) => 2 * [...question].filter((pair) => queryPairs.has(pair)).length
    / (question.size + queryPairs.size);
  const named = book.named.get(compact(query));
  const enough = named ? 0.9 : 0.6; // a mere name asks no question
  const rated = book.places.map(({ page, isTop, isCode, isEntry, title, thing, folded }, i) => {
    const { questions, top } = book.pages[page];
    const alike = isTop ? Math.max(0, ...questions.map(likeness)) : 0;
    const answer = alike > enough ? alike : 0;
    const together = isCode && folded.heading === fold(query.trim()) ? 2 * WEIGHT.exact
      : (isTop || isEntry) && (title === compact(query) || thing && thing === named) ? WEIGHT.exact
      : hits(phrase, folded.heading).length ? WEIGHT.heading
      : hits(phrase, folded.text).length ? 2 * WEIGHT.text : 0;
    let [score, held] = [WEIGHT.question * answer + together, answer || together ? 1 : 0];
    const all = found.reduce((sum, { rarity }) => sum + rarity, 0);
    for (const { scores, rarity } of found) {
      const own = scores[i] || (scores[top] >= WEIGHT.title ? 1 : 0);
      score += rarity * own;
      held += own ? rarity / all : 0;
    }
    return { place: i, page, score, held: Math.min(held, 1) };
  });
  const most = Math.max(...rated.map(({ held }) => held));
  const complete = most > 0.999;
  const results = rated.filter(({ held }) => held && held > most * (complete ? 0.999 : 0.7));
  const best = (a, b) => b.score - a.score; // sorting leaves equals in reading order
  const pages = new Map();
  for (const { page, place, score } of results.sort(best)) {
    if (!pages.has(page)) pages.set(page, { page, score, places: [] });
    pages.get(page).places.push(place);
  }
  return {
    pages: [...pages.values()],
    marks: [phrase, ...found.map(({ regex }) => regex)],
    complete,
  };
};

// The page: results while a query is typed.
const SECTIONS = 3; // of a page are shown
const SNIPPET = 160; // letters

const element = (name, options, ...children) => {
  const made = Object.assign(document.createElement(name), options);
  made.append(...children);
  return made;
};

/* A text from one place to another, with what was found in it marked. */
const marked = (text, marks, from = 0, to = text.length) => {
  const folded = fold(text);
  const ranges = marks.flatMap((regex) => hits(regex, folded))
    .map((hit) => [hit.index, hit.index + hit[0].length]).sort(([a], [b]) => a - b);
  const parts = [];
  for (const [start, end] of ranges) {
    if (start < from || end > to) continue;
    parts.push(text.slice(from, start), element("mark", {}, text.slice(start, end)));
    from = end; // what overlaps is marked once
  }
  return [...parts, text.slice(from, to)];
};

/* The part of a text that holds most of what its heading does not, from where a sentence or a
   word begins; the beginning, if the heading holds all. */
const snippet = ({ text, folded }, marks) => {
  const places = marks.filter((regex) => !hits(regex, folded.heading).length)
    .map((regex) => hits(regex, folded.text).map(({ index }) => index));
  const held = (from) =>
    places.filter((some) => some.some((i) => i >= from && i < from + SNIPPET / 2)).length;
  const all = places.flat();
  const hit = all.reduce((best, i) => held(i) > held(best) ? i : best, all[0] ?? 0);
  const start = Math.max(0, hit - SNIPPET / 2);
  const sentence = text.slice(start, hit).match(/.*[.?!] /s)?.[0].length;
  const from = start + (sentence ?? (start && text.slice(start).indexOf(" ") + 1));
  const space = text.lastIndexOf(" ", from + SNIPPET);
  const end = space > from ? space : from + SNIPPET;
  const to = from + SNIPPET >= text.length ? text.length : end;
  const [before, after] = [from && !sentence ? "… " : "", to < text.length ? " …" : ""];
  return [before, ...marked(text, marks, from, to), after];
};

const result = ({ page, places }, marks) => {
  const { address, number, top } = book.pages[page];
  const sections = places.slice(0, SECTIONS).map((i) => {
    const place = book.places[i];
    const href = `${address}#${place.anchor}`;
    const link = element("a", { href }, ...marked(place.heading, marks));
    const text = element("p", {}, ...snippet(place, marks));
    return i === top ? [text] : [element("h3", {}, link), text];
  });
  const title = element("a", { href: address }, ...marked(book.places[top].heading, marks));
  return element("li", {}, element("h2", {}, number && `${number}. `, title), ...sections.flat());
};

const show = (query) => {
  const { pages, marks, complete } = searchBook(query);
  const summary = document.getElementById("search-summary");
  const { found, close, nothing } = summary.dataset;
  const sections = pages.reduce((sum, { places }) => sum + places.length, 0);
  summary.textContent = !words(query).length ? "" : !pages.length ? nothing : !complete ? close
    : found.replace("{pages}", pages.length).replace("{sections}", sections);
  const list = document.getElementById("search-results");
  list.replaceChildren(...pages.map((page) => result(page, marks)));
};

(() => {
  const input = document.querySelector(".search-page input");
  input.value = new URLSearchParams(location.search).get("q") ?? "";
  show(input.value);
  input.addEventListener("input", () => show(input.value));
  input.focus();
})();
