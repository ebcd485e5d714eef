/* Figures whose sliders redraw their curves.
 *
 * A chapter writes <div class="slider-figure" data-figure="focal"></div>; everything else is here:
 * plain SVG and <input type="range">, no request, symbols instead of words (both editions share
 * it), colours from book.css. Without scripts the chapter's static picture stands for it.
 * tests/book/test_sliders.py compares every curve with segloss_core.
 */
"use strict";

(() => {
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));

  // Logit figures: loss above, gradient below. Each curve is written for y = 1 and y = 0.
  const logit = (sliders, positive, negative, top) => ({
    sliders,
    x: { label: "z", min: -6, max: 6 },
    panels: [
      { label: "ℓ(z)", min: 0, max: top, curves: { "y = 1": positive.loss, "y = 0": negative.loss } },
      {
        label: "∂ℓ/∂z", min: -top / 2, max: top / 2,
        curves: { "y = 1": positive.gradient, "y = 0": negative.gradient },
      },
    ],
  });

  // One factor in front of each term of cross entropy.
  const factors = (sliders, a, b, top) => logit(
    sliders,
    { loss: (z, s) => a(s) * softplus(-z), gradient: (z, s) => -a(s) * sigmoid(-z) },
    { loss: (z, s) => b(s) * softplus(z), gradient: (z, s) => b(s) * sigmoid(z) },
    top,
  );

  // Focal loss of the class whose logit is u = z or -z; its gradient by u.
  const focal = (u, gamma) => Math.exp(-gamma * softplus(u)) * softplus(-u);
  const focalSlope = (u, gamma) =>
    -Math.exp(-gamma * softplus(u)) * (gamma * sigmoid(u) * softplus(-u) + sigmoid(-u));

  // A disc of 100 pixels, predicted from the inside out: k pixels in all, first those of the disc.
  const tversky = (k, { α, β }) => {
    const tp = Math.min(Math.max(k, 1e-9), 100); // at k = 0 the limit
    return 1 - tp / (tp + α * Math.max(k - tp, 0) + β * (100 - tp));
  };

  const slider = (min, max, step, value) => ({ min, max, step, value });

  const FIGURES = {
    weighted: factors({ β: slider(0.1, 10, 0.1, 4) }, (s) => s.β, () => 1, 8),
    balanced: factors({ β: slider(0, 1, 0.01, 0.9) }, (s) => s.β, (s) => 1 - s.β, 6),
    focal: logit(
      { γ: slider(0, 5, 0.1, 2), α: slider(0, 1, 0.05, 0.5) },
      { loss: (z, s) => s.α * focal(z, s.γ), gradient: (z, s) => s.α * focalSlope(z, s.γ) },
      {
        loss: (z, s) => (1 - s.α) * focal(-z, s.γ),
        gradient: (z, s) => -(1 - s.α) * focalSlope(-z, s.γ),
      },
      3,
    ),
    distance: {
      sliders: { "w₀": slider(0, 20, 0.5, 10), σ: slider(1, 15, 0.5, 5) },
      x: { label: "d₁ + d₂", min: 0, max: 40 },
      panels: [{
        label: "w(x)", min: 0, max: 24,
        curves: { w: (d, s) => 1 + s["w₀"] * Math.exp(-(d * d) / (2 * s.σ * s.σ)) },
      }],
    },
    tversky: {
      sliders: { α: slider(0, 1, 0.05, 0.3), β: slider(0, 1, 0.05, 0.7) },
      x: { label: "|P|", min: 0, max: 200 },
      panels: [{ label: "TL", min: 0, max: 1, curves: { TL: tversky } }],
    },
  };

  const WIDTH = 360, LEFT = 40, RIGHT = 12, HEIGHT = 150, TOP = 14, BOTTOM = 26;

  function element(parent, name, attributes = {}, text = "") {
    const svg = name === "svg" || parent.namespaceURI.endsWith("svg");
    const child = document.createElementNS(
      svg ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml", name);
    for (const [key, value] of Object.entries(attributes)) child.setAttribute(key, value);
    if (text) child.textContent = text;
    return parent.appendChild(child);
  }

  const ticks = (min, max) => [0, 0.25, 0.5, 0.75, 1].map((t) => min + t * (max - min));
  const number = (value) => String(Number(value.toFixed(2))).replace("-", "−");

  // Draw the frame of one panel; returns the function that draws its curves.
  function drawPanel(box, figure, panel) {
    const svg = element(box, "svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${panel.label}, ${figure.x.label}`,
    });
    const { min, max } = figure.x;
    const x = (value) => LEFT + ((value - min) / (max - min)) * (WIDTH - LEFT - RIGHT);
    const y = (value) =>
      TOP + ((panel.max - value) / (panel.max - panel.min)) * (HEIGHT - TOP - BOTTOM);
    for (const t of ticks(panel.min, panel.max)) {
      element(svg, "line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(t), y2: y(t) });
      element(svg, "text", { x: LEFT - 5, y: y(t) + 4, "text-anchor": "end" }, number(t));
    }
    for (const t of ticks(min, max)) {
      element(svg, "line", { class: "grid", x1: x(t), x2: x(t), y1: TOP, y2: HEIGHT - BOTTOM });
      element(svg, "text", { x: x(t), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, number(t));
    }
    element(svg, "text", { x: LEFT + 4, y: TOP - 3, class: "name" }, panel.label);
    element(svg, "text",
      { x: WIDTH - RIGHT, y: HEIGHT - 2, "text-anchor": "end", class: "name" }, figure.x.label);
    const names = Object.keys(panel.curves);
    const paths = names.map((name, i) => {
      if (names.length > 1) {
        const label = { x: WIDTH - RIGHT - 46 * (names.length - i - 1), y: TOP - 3 };
        element(svg, "text", { ...label, "text-anchor": "end", class: `name curve-${i}` }, name);
      }
      return element(svg, "path", { class: `curve curve-${i}` });
    });
    return (values) => paths.forEach((path, i) => {
      const points = [];
      for (let k = 0; k <= 200; k += 1) {
        const at = min + ((max - min) * k) / 200;
        const height = panel.curves[names[i]](at, values);
        const inside = Math.min(Math.max(height, panel.min), panel.max);
        points.push(`${x(at).toFixed(1)},${y(inside).toFixed(1)}`);
      }
      path.setAttribute("d", `M${points.join("L")}`);
    });
  }

  function build(box) {
    const figure = FIGURES[box.dataset.figure];
    const draw = figure.panels.map((panel) => drawPanel(box, figure, panel));
    const values = {};
    const redraw = () => draw.forEach((panel) => panel(values));
    for (const [name, range] of Object.entries(figure.sliders)) {
      const label = element(box, "label");
      element(label, "span", {}, name);
      const input = element(label, "input", { type: "range", ...range });
      const shown = element(label, "output");
      const read = () => {
        values[name] = Number(input.value);
        shown.textContent = number(values[name]);
      };
      input.addEventListener("input", () => { read(); redraw(); });
      read();
    }
    redraw();
  }

  window.sliderFigures = FIGURES; // for the tests
  document.addEventListener("DOMContentLoaded", () =>
    document.querySelectorAll(".slider-figure").forEach(build));
})();
