/* Figures whose sliders redraw their curves.
 *
 * A chapter writes <div class="slider-figure" data-figure="focal"></div>; everything else is here:
 * plain SVG and <input type="range">, no request, symbols instead of words (both editions share
 * it), colours from book.css. Without scripts the chapter's static picture stands for it.
 * tests/book/test_sliders.py compares every curve with segloss_core.
 *
 * A figure has sliders and panels. A panel is a set of curves over x or, with `paint`, a drawing of
 * its own, made anew at every move. `at` names the slider that is a place on the x axis: a dot
 * marks it on the first curve of each panel. `reading` gives the values that stand below in words.
 */
"use strict";

(() => {
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));

  // Logit figures: loss above, up to `top`, gradient below, from -steepest to steepest. Each curve is
  // written for y = 1 and y = 0.
  const logit = (sliders, positive, negative, top, steepest) => ({
    sliders,
    x: { label: "z", min: -6, max: 6 },
    panels: [
      { label: "ℓ(z)", min: 0, max: top, curves: { "y = 1": positive.loss, "y = 0": negative.loss } },
      {
        label: "∂ℓ/∂z", min: -steepest, max: steepest,
        curves: { "y = 1": positive.gradient, "y = 0": negative.gradient },
      },
    ],
  });

  // One factor in front of each term of cross entropy.
  const factors = (sliders, a, b, top, steepest) => logit(
    sliders,
    { loss: (z, s) => a(s) * softplus(-z), gradient: (z, s) => -a(s) * sigmoid(-z) },
    { loss: (z, s) => b(s) * softplus(z), gradient: (z, s) => b(s) * sigmoid(z) },
    top,
    steepest,
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

  // Two discs, the target of radius TARGET and a prediction of radius rho, shifted: the area that
  // both cover is that of two segments of circles.
  const TARGET = 12;
  const overlapOfDiscs = (shift, rho) => {
    const own = Math.PI * TARGET ** 2, other = Math.PI * rho ** 2;
    let common = 0;
    if (shift <= Math.abs(TARGET - rho)) {
      common = Math.min(own, other);
    } else if (shift < TARGET + rho) {
      const segment = (r, d) => r * r * Math.acos(d / r) - d * Math.sqrt(r * r - d * d);
      const d = (shift ** 2 + TARGET ** 2 - rho ** 2) / (2 * shift);
      common = segment(TARGET, d) + segment(rho, shift - d);
    }
    return { dc: (2 * common) / (own + other), j: common / (own + other - common) };
  };

  // An object of n pixels predicted with p̂, and FP more predicted with 1: the Dice loss, and the size
  // of its gradient at one pixel of the object.
  const PIXELS = 64 * 64;
  const missedObject = (n, { FP, "p̂": p }) => {
    const denominator = n * p + FP + n;
    const loss = 1 - (2 * n * p) / denominator;
    return { loss, pull: ((1 + loss) / denominator) * p * (1 - p) };
  };

  // Two pixels, one of foreground with error m1 and one of background with m2: the Lovász extension
  // of 1 - IoU, its slopes (those of the sorted order, foreground first), and soft Jaccard.
  const lovaszOfTwo = (m1, m2) => Math.max(m1, (m1 + m2) / 2);
  const slopesOfTwo = (m1, m2) => (m1 >= m2 ? [1, 0] : [0.5, 0.5]);
  const jaccardOfTwo = (m1, m2) => (m1 + m2) / (1 + m2);

  // Where a point of height v over [0, 1]² stands on a canvas: m1 runs to the right and back, m2 to
  // the left and back.
  const inSpace = (m1, m2, v) => [180 + 130 * (m1 - m2), 188 - 42 * (m1 + m2) - 80 * v];
  const pathInSpace = (points) =>
    `M${points.map((point) => inSpace(...point).map((v) => v.toFixed(1)).join(",")).join("L")}`;

  const surfaces = (group, { "m₁": m1, "m₂": m2 }, add) => {
    const line = (points, kind) => add(group, "path", { class: kind, d: pathInSpace(points) });
    const over = (f, along) => {
      const steps = Array.from({ length: 41 }, (_, k) => k / 40);
      return steps.map(along).map(([a, b]) => [a, b, f(a, b)]);
    };
    line([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], "floor");
    for (const at of [0, 0.25, 0.5, 0.75, 1]) {
      line(over(lovaszOfTwo, (u) => [at, u]), "wire curve-0");
      line(over(lovaszOfTwo, (u) => [u, at]), "wire curve-0");
    }
    line(over(lovaszOfTwo, (u) => [u, u]), "curve curve-0"); // the fold
    line(over(jaccardOfTwo, (u) => [m1, u]), "curve curve-1");
    line(over(jaccardOfTwo, (u) => [u, m2]), "curve curve-1");
    const below = lovaszOfTwo(m1, m2), above = jaccardOfTwo(m1, m2);
    line([[m1, m2, 0], [m1, m2, above]], "stem");
    const [x, high] = inSpace(m1, m2, above);
    add(group, "rect", { class: "dot curve-1", x: x - 4, y: high - 4, width: 8, height: 8 });
    add(group, "circle", { class: "dot curve-0", cx: x, cy: inSpace(m1, m2, below)[1], r: 5 });
    const name = (text, m1, m2, v, dx, dy, anchor) => {
      const [left, top] = inSpace(m1, m2, v);
      add(group, "text", { class: "name", x: left + dx, y: top + dy, "text-anchor": anchor }, text);
    };
    name("m₁", 0.5, 0, 0, 8, 14, "start");
    name("m₂", 0, 0.5, 0, -8, 14, "end");
    for (const [a, b] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      const side = a - b;
      const height = number(lovaszOfTwo(a, b));
      name(height, a, b, lovaszOfTwo(a, b), 7 * side, side ? -5 : a ? -7 : 16, "middle");
    }
  };

  // A bar of `length` pixels of which one end is moved by n, outwards if n > 0: the Dice loss, and what
  // the boundary loss adds up to, less its value at n = 0. Within half the bar: beyond, the other end
  // is nearer.
  const movedBar = (n, length) => {
    const common = length + Math.min(n, 0);
    return { dice: 1 - (2 * common) / (2 * length + n), edge: (n * n) / 2, kervadec: (n * (n + 1)) / 2 };
  };

  // Pixels from the hardest on, u the share that comes before: logits z_t of a logistic distribution
  // around μ. The focal loss and top-k weigh them; each holds a share of the gradient up to u.
  const errorAt = (u, mu) => (1 - u) / (1 - u + Math.exp(mu) * u); // 1 - p_t
  const pulls = {
    CE: (u, s) => errorAt(u, s["μ"]),
    focal: (u, s) => Math.abs(focalSlope(s["μ"] + Math.log(u / (1 - u)), s["γ"])),
    "top-k": (u, s) => (u <= s.k ? errorAt(u, s["μ"]) : 0),
  };
  const shareOfPull = (name, u, s, steps = 400) => {
    let held = 0, all = 0;
    for (let i = 0.5; i < steps; i += 1) { // finer towards the hardest
      const at = (i / steps) ** 3, pull = pulls[name](at, s) * (i / steps) ** 2;
      all += pull;
      if (at <= u) held += pull;
    }
    return held / all;
  };

  // Two classes with the scores S1 and S2: the share of their pull that the second has, where the
  // loss of a score is -log S or (1 - S)^gamma.
  const shareByLog = (s2, { "S₁": s1 }) => s1 / (s1 + s2);
  const shareByPower = (s2, { "S₁": s1, γ }) => {
    const [first, second] = [s1, s2].map((score) => (1 - score) ** (γ - 1));
    return second / (first + second);
  };

  const slider = (min, max, step, value) => ({ min, max, step, value });

  const crossEntropy = (z, y) => y * softplus(-z) + (1 - y) * softplus(z);
  const squaredError = (z, y) => (sigmoid(z) - y) ** 2 / 2;
  const squaredSlope = (z, y) => (sigmoid(z) - y) * sigmoid(z) * sigmoid(-z);

  const FIGURES = {
    ce: {
      sliders: { z: slider(-6, 6, 0.1, -4), y: slider(0, 1, 0.05, 1) },
      x: { label: "z", min: -6, max: 6 },
      at: "z",
      panels: [
        {
          label: "ℓ(z)", min: 0, max: 6,
          curves: { "ℓ": (z, s) => crossEntropy(z, s.y), "½(p̂ − y)²": (z, s) => squaredError(z, s.y) },
        },
        {
          label: "∂/∂z", min: -1, max: 1,
          curves: { "p̂ − y": (z, s) => sigmoid(z) - s.y, "(p̂ − y) p̂ (1 − p̂)": (z, s) => squaredSlope(z, s.y) },
        },
      ],
      reading: ({ z, y }) => ({ "p̂": sigmoid(z), "ℓ": crossEntropy(z, y), "∂ℓ/∂z": sigmoid(z) - y }),
    },
    weighted: factors({ β: slider(0.1, 8, 0.1, 4) }, (s) => s.β, () => 1, 12, 8),
    balanced: factors({ β: slider(0, 1, 0.01, 0.9) }, (s) => s.β, (s) => 1 - s.β, 6, 1),
    focal: logit(
      { γ: slider(0, 5, 0.1, 2), α: slider(0, 1, 0.05, 0.5) },
      { loss: (z, s) => s.α * focal(z, s.γ), gradient: (z, s) => s.α * focalSlope(z, s.γ) },
      {
        loss: (z, s) => (1 - s.α) * focal(-z, s.γ),
        gradient: (z, s) => -(1 - s.α) * focalSlope(-z, s.γ),
      },
      3,
      1.5,
    ),
    hardest: {
      sliders: { k: slider(0.01, 1, 0.01, 0.1), γ: slider(0, 5, 0.1, 2), μ: slider(0, 6, 0.1, 3) },
      x: { label: "rank / N", min: 0, max: 1 },
      panels: [
        {
          label: "w", min: 0, max: 1,
          curves: {
            "top-k": (u, s) => (u <= s.k ? 1 : 0),
            focal: (u, s) => errorAt(u, s["μ"]) ** s["γ"],
          },
        },
        {
          label: "Σ |∂L/∂z|", min: 0, max: 1,
          curves: {
            "top-k": (u, s) => shareOfPull("top-k", u, s),
            focal: (u, s) => shareOfPull("focal", u, s),
          },
        },
      ],
      reading: (s) => ({
        q: 1 - errorAt(s.k, s["μ"]),
        "CE ≤ k": shareOfPull("CE", s.k, s),
        "focal ≤ k": shareOfPull("focal", s.k, s),
      }),
    },
    distance: {
      sliders: { "w₀": slider(0, 20, 0.5, 10), "σ₀": slider(1, 15, 0.5, 5) },
      x: { label: "d₁ + d₂", min: 0, max: 40 },
      panels: [{
        label: "w(x)", min: 0, max: 24,
        curves: { w: (d, s) => 1 + s["w₀"] * Math.exp(-(d * d) / (2 * s["σ₀"] ** 2)) },
      }],
    },
    overlap: {
      sliders: { shift: slider(0, 40, 0.5, 6), "ρ": slider(2, 20, 0.5, 12) },
      x: { label: "shift", min: 0, max: 40 },
      at: "shift",
      panels: [
        {
          label: "X, Y", height: 110,
          paint: (group, { shift, "ρ": rho }, add) => {
            add(group, "circle", { class: "area curve-0", cx: 150, cy: 55, r: 2 * TARGET });
            add(group, "circle", { class: "area curve-1", cx: 150 + 2 * shift, cy: 55, r: 2 * rho });
          },
        },
        {
          label: "DC, J", min: 0, max: 1,
          curves: {
            DC: (shift, s) => overlapOfDiscs(shift, s["ρ"]).dc,
            J: (shift, s) => overlapOfDiscs(shift, s["ρ"]).j,
          },
        },
      ],
      reading: ({ shift, "ρ": rho }) => {
        const { dc, j } = overlapOfDiscs(shift, rho);
        return { DC: dc, J: j };
      },
    },
    dice: {
      sliders: { n: slider(1, 400, 1, 30), FP: slider(0, 200, 5, 40), "p̂": slider(0.01, 0.99, 0.01, 0.3) },
      x: { label: "n", min: 1, max: 400 },
      at: "n",
      panels: [
        { label: "L", min: 0, max: 1, curves: { Dice: (n, s) => missedObject(n, s).loss } },
        {
          label: "log₁₀ N·|∂/∂z|", min: -2, max: 3,
          curves: {
            Dice: (n, s) => Math.log10(PIXELS * missedObject(n, s).pull),
            CE: (n, s) => Math.log10(1 - s["p̂"]),
          },
        },
      ],
      reading: (s) => ({ L: missedObject(s.n, s).loss, "N·|∂L/∂z|": PIXELS * missedObject(s.n, s).pull }),
    },
    tversky: {
      sliders: { "|X|": slider(0, 200, 1, 80), α: slider(0, 1, 0.05, 0.3), β: slider(0, 1, 0.05, 0.7) },
      x: { label: "|X|", min: 0, max: 200 },
      at: "|X|",
      panels: [{
        label: "L", min: 0, max: 1,
        curves: { L: tversky, "α = β = ½": (k) => tversky(k, { α: 0.5, β: 0.5 }) },
      }],
      reading: (s) => {
        const tp = Math.min(s["|X|"], 100);
        return { TP: tp, FP: s["|X|"] - tp, FN: 100 - tp, L: tversky(s["|X|"], s) };
      },
    },
    map: {
      sliders: {
        "S₁": slider(0.05, 0.95, 0.05, 0.9), "S₂": slider(0.05, 0.95, 0.05, 0.3), γ: slider(0.3, 3, 0.05, 0.75),
      },
      x: { label: "S₂", min: 0.05, max: 0.95 },
      at: "S₂",
      panels: [
        {
          label: "L(S₂)", min: 0, max: 3,
          curves: { "−log S": (score) => -Math.log(score), "(1 − S)ᵞ": (score, s) => (1 - score) ** s.γ },
        },
        { label: "|∂L/∂S₂| / Σ", min: 0, max: 1, curves: { "−log S": shareByLog, "(1 − S)ᵞ": shareByPower } },
      ],
      reading: (s) => ({ "−log S": shareByLog(s["S₂"], s), "(1 − S)ᵞ": shareByPower(s["S₂"], s), "1 − S": 0.5 }),
    },
    lovasz: {
      sliders: { "m₁": slider(0, 1, 0.05, 0.2), "m₂": slider(0, 1, 0.05, 0.6) },
      panels: [{ label: "Δ̄, 1 − J", height: 210, paint: surfaces }],
      reading: ({ "m₁": m1, "m₂": m2 }) => {
        const [g1, g2] = slopesOfTwo(m1, m2);
        return {
          "Δ̄": lovaszOfTwo(m1, m2), "1 − J": jaccardOfTwo(m1, m2), "∂Δ̄/∂m₁": g1, "∂Δ̄/∂m₂": g2,
        };
      },
    },
    boundary: {
      sliders: { n: slider(-8, 8, 1, 3), "|Y|": slider(16, 60, 1, 24) },
      x: { label: "n", min: -8, max: 8 },
      at: "n",
      panels: [
        {
          label: "Y, X", height: 50,
          paint: (group, { n, "|Y|": length }, add) => {
            const bar = (y, pixels, kind) =>
              add(group, "rect", { class: kind, x: 40, y, width: 4.4 * pixels, height: 16 });
            bar(6, length, "area curve-1");
            bar(28, length + n, "area curve-0");
          },
        },
        {
          label: "L", min: 0, max: 0.4,
          curves: { Dice: (n, s) => movedBar(n, s["|Y|"]).dice },
        },
        {
          label: "Σ φ p̂", min: -4, max: 40,
          curves: {
            edge: (n, s) => movedBar(n, s["|Y|"]).edge,
            kervadec: (n, s) => movedBar(n, s["|Y|"]).kervadec,
          },
        },
      ],
      reading: (s) => {
        const { dice, edge, kervadec } = movedBar(s.n, s["|Y|"]);
        return { Dice: dice, edge, kervadec };
      },
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

  // A drawing of its own, `paint(group, values, element)` on a canvas WIDTH x panel.height.
  function drawPicture(box, panel) {
    const svg = element(box, "svg", {
      viewBox: `0 0 ${WIDTH} ${panel.height}`, role: "img", "aria-label": panel.label,
    });
    return (values) => {
      svg.replaceChildren();
      panel.paint(element(svg, "g"), values, element);
    };
  }

  // Draw the frame of one panel; returns the function that draws its curves.
  function drawCurves(box, figure, panel) {
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
    let end = WIDTH - RIGHT; // the names stand side by side, from the right
    const paths = names.toReversed().map((name, back) => {
      const i = names.length - 1 - back;
      if (names.length > 1) {
        const sample = { x1: end - 16, x2: end, y1: TOP - 7, y2: TOP - 7 };
        element(svg, "line", { ...sample, class: `curve curve-${i}` });
        const label = { x: end - 20, y: TOP - 3, "text-anchor": "end" };
        element(svg, "text", { ...label, class: `name curve-${i}` }, name);
        end -= 38 + 6 * name.length;
      }
      return element(svg, "path", { class: `curve curve-${i}` });
    }).toReversed();
    const dot = figure.at && element(svg, "circle", { class: "dot curve-0", r: 5 });
    const inside = (height) => Math.min(Math.max(height, panel.min), panel.max);
    return (values) => {
      paths.forEach((path, i) => {
        const points = [];
        for (let k = 0; k <= 200; k += 1) {
          const at = min + ((max - min) * k) / 200;
          const height = inside(panel.curves[names[i]](at, values));
          points.push(`${x(at).toFixed(1)},${y(height).toFixed(1)}`);
        }
        path.setAttribute("d", `M${points.join("L")}`);
      });
      if (dot) {
        const at = values[figure.at];
        dot.setAttribute("cx", x(at));
        dot.setAttribute("cy", y(inside(panel.curves[names[0]](at, values))));
      }
    };
  }

  function build(box) {
    const figure = FIGURES[box.dataset.figure];
    const draw = figure.panels.map((panel) =>
      panel.paint ? drawPicture(box, panel) : drawCurves(box, figure, panel));
    const values = {};
    const read = figure.reading && element(box, "p", { class: "reading", "aria-live": "polite" });
    const redraw = () => {
      draw.forEach((panel) => panel(values));
      if (read) {
        const said = Object.entries(figure.reading(values));
        read.textContent = said.map(([name, value]) => `${name} = ${number(value)}`).join("   ");
      }
    };
    for (const [name, range] of Object.entries(figure.sliders)) {
      const label = element(box, "label");
      element(label, "span", {}, name);
      const input = element(label, "input", { type: "range", ...range });
      const shown = element(label, "output");
      const take = () => {
        values[name] = Number(input.value);
        shown.textContent = number(values[name]);
      };
      input.addEventListener("input", () => { take(); redraw(); });
      take();
    }
    redraw();
  }

  window.sliderFigures = FIGURES; // for the tests
  document.addEventListener("DOMContentLoaded", () =>
    document.querySelectorAll(".slider-figure").forEach(build));
})();
