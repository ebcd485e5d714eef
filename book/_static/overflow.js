/* What is wider than its room scrolls inside itself, shows at its edges that there is more, and is
   reached by the keyboard; what fits is left alone. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const WIDE = "article :is(div.math, mjx-container[display], pre, .pst-scrollable-table-container)";
  const known = new WeakSet();

  const look = (part) => {
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
