/* A reference shows what it leads to, when a reader points at it or reaches it by the keyboard. What
   is shown was written when the book was built (editions/previews.py) and is loaded when first
   needed. Esc closes it; the pointer may move onto it. */
"use strict";

(() => {
  const here = new URL(document.currentScript.src);
  const root = new URL("../", here);
  const note = document.createElement("div");
  note.id = "preview";
  note.setAttribute("role", "tooltip");
  note.hidden = true;
  let owner = null, timer = 0, data = null;

  const load = () => data ??= new Promise((done) => {
    const script = document.createElement("script");
    script.src = new URL("previews-data.js", here);
    script.onload = () => done(window.bookPreviews);
    script.onerror = () => done({});
    document.head.append(script);
  });

  // The address within the edition, or "" for what is no place in it.
  const place = (link) => {
    const url = new URL(link.href);
    url.search = "";
    return url.href.startsWith(root.href) ? decodeURI(url.href.slice(root.href.length)) : "";
  };

  const close = () => {
    clearTimeout(timer);
    owner?.removeAttribute("aria-describedby");
    owner = null;
    note.hidden = true;
  };

  // Below the words, or above them where there is more room.
  const put = (link) => {
    const words = link.getClientRects()[0] ?? link.getBoundingClientRect();
    const room = document.documentElement.clientWidth - note.offsetWidth - 8;
    note.style.left = `${Math.max(8, Math.min(words.left, room))}px`;
    const below = innerHeight - words.bottom, fits = below > note.offsetHeight + 16;
    const top = fits || below > words.top ? words.bottom + 8 : words.top - note.offsetHeight - 8;
    note.style.top = `${Math.max(8, top)}px`;
  };

  const open = async (link) => {
    const html = (await load())[place(link)];
    if (!html || owner !== link) return;
    note.innerHTML = html;
    note.querySelectorAll("[data-src]").forEach((picture) => {
      picture.onload = () => put(link);
      picture.src = new URL(picture.dataset.src, root);
    });
    note.hidden = false;
    link.setAttribute("aria-describedby", note.id);
    put(link);
    if (note.querySelector(".math") && window.MathJax?.typesetPromise) {
      await MathJax.typesetPromise([note]);
      if (owner === link) put(link);
    }
  };

  const soon = (link, wait) => {
    if (owner === link) {
      clearTimeout(timer);
      return;
    }
    close();
    owner = link;
    timer = setTimeout(open, wait, link);
  };
  const late = () => {
    clearTimeout(timer);
    timer = setTimeout(close, 200);
  };
  const reference = (event) =>
    event.target.closest?.("article.bd-article :is(p, li, dd, td, figcaption) a.reference.internal");

  document.addEventListener("DOMContentLoaded", () => {
    document.body.append(note);
    note.addEventListener("pointerenter", () => clearTimeout(timer));
    note.addEventListener("pointerleave", late);
    document.addEventListener("pointerover", (event) => {
      const link = event.pointerType !== "touch" && reference(event);
      if (link) soon(link, 250);
    });
    document.addEventListener("pointerout", (event) => {
      const link = reference(event);
      if (link && link === owner && !link.contains(event.relatedTarget)) late();
    });
    document.addEventListener("focusin", (event) => {
      const link = reference(event);
      if (link?.matches(":focus-visible")) soon(link, 0);
      else if (owner) close();
    });
    document.addEventListener("focusout", (event) => {
      if (event.target === owner) close();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
  });
})();
