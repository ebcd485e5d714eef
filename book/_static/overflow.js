/* What is wider than its room scrolls inside itself, shows at its edges that there is more, and is
   reached by the keyboard; what fits is left alone. A table that is wider than a phone becomes a card
   for each row, in which every cell says what stands at the head of its column. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const WIDE = "article :is(div.math, mjx-container[display], pre, .pst-scrollable-table-container)";
  const known = new WeakSet();

  const phone = matchMedia("(max-width: 600px)"); // as in book.css
  const deal = (part) => {
    const heads = [...part.querySelectorAll("thead th")];
    part.classList.add("as-cards");
    for (const [tag, role] of [["table", "table"], ["tr", "row"], ["td", "cell"]]) {
      part.querySelectorAll(tag).forEach((element) => element.setAttribute("role", role));
    }
    for (const row of part.querySelectorAll("tbody tr")) {
      [...row.cells].slice(0, heads.length).forEach((cell, column) => {
        const head = document.createElement("span");
        head.className = "card-head";
        head.ariaHidden = "true"; // whoever listens hears the head of the column
        head.append(...heads[column].cloneNode(true).childNodes);
        cell.prepend(head);
      });
    }
  };

  const look = (part) => {
    const table = part.matches(".pst-scrollable-table-container:not(.as-cards)");
    if (table && phone.matches && part.scrollWidth > part.clientWidth + 1) deal(part);
    const more = part.scrollWidth - part.clientWidth;
    const wide = more > 1 && part.clientWidth > 0;
    part.classList.toggle("more-before", wide && part.scrollLeft > 1);
    part.classList.toggle("more-after", wide && part.scrollLeft < more - 1);
    if (wide) part.tabIndex = 0;
    else if (part.dataset.wide) part.removeAttribute("tabindex");
    if (wide) part.dataset.wide = "true";
    else delete part.dataset.wide;
  };
  const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => look(target)));
  const watch = () => document.querySelectorAll(WIDE).forEach((part) => {
    if (known.has(part)) return;
    known.add(part);
    sizes.observe(part);
    part.addEventListener("scroll", () => look(part), { passive: true });
  });

  watch();
  // Formulas are there later than the page, and as wide as their letters, which come later still.
  const typeset = () => window.MathJax?.startup?.promise?.then(() => {
    watch();
    return document.fonts.ready;
  }).then(() => document.querySelectorAll(WIDE).forEach(look));
  addEventListener("load", typeset);
});
