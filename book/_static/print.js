/* On paper a page is light, its solutions are open and its pictures there; afterwards it is as it
   was. */
"use strict";

(() => {
  const page = document.documentElement;
  let theme, folded = [];

  window.addEventListener("beforeprint", () => {
    theme = page.dataset.theme;
    page.dataset.theme = "light";
    folded = [...document.querySelectorAll("article details:not([open])")];
    folded.forEach((details) => { details.open = true; });
    document.querySelectorAll("img[loading]").forEach((picture) => { picture.loading = "eager"; });
  });

  window.addEventListener("afterprint", () => {
    page.dataset.theme = theme;
    folded.forEach((details) => { details.open = false; });
  });
})();
