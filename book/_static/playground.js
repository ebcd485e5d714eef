/* The playground: a prediction that a reader paints, and what every loss makes of it.
 *
 * What stands on the page, its words in both languages and its links, is in
 * book/_templates/playground.html; this script holds no word. It has four parts: the losses, as
 * segloss_core computes them (tests/book/test_playground.py compares values, gradients and steps of
 * descent); targets and predictions to start from; the state and its link; and what is drawn.
 *
 * Letters are those of the book: z logits, p = σ(z), q = 1 − p, y the target, N pixels.
 */
"use strict";

(() => {
  const SIDE = 64, N = SIDE * SIDE;
  const pixels = Array.from({ length: N }, (_, i) => i);
  const row = (i) => Math.floor(i / SIDE), column = (i) => i % SIDE;
  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

  // ---- The losses -------------------------------------------------------------------------------

  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));

  // All that a loss looks at: of a prediction also up = log(1 + e^z) and down = log(1 + e^−z), of a
  // target, given as the ids of its objects, also the gaps between these and distances to its edge.
  function prediction(z) {
    const [p, q, up, down] = Array.from({ length: 4 }, () => new Float64Array(N));
    for (let i = 0; i < N; i += 1) {
      p[i] = sigmoid(z[i]);
      q[i] = sigmoid(-z[i]);
      up[i] = softplus(z[i]);
      down[i] = softplus(-z[i]);
    }
    return { z, p, q, up, down };
  }

  function target(ids) {
    const y = Uint8Array.from(ids, (id) => (id > 0 ? 1 : 0));
    const size = y.reduce((sum, v) => sum + v, 0);
    return { ids, y, size, gap: gaps(ids), phi: signedDistance(y), apart: toOtherSide(y) };
  }

  // d1 + d2 of each pixel: its distances to the nearest and to the second nearest object. The
  // nearest pixel of an object, seen from outside, is one of its border.
  function gaps(ids) {
    const differs = (i, r, c) =>
      r < 0 || r >= SIDE || c < 0 || c >= SIDE || ids[r * SIDE + c] !== ids[i];
    const border = pixels.filter((i) => {
      const r = row(i), c = column(i);
      return ids[i] && (differs(i, r - 1, c) || differs(i, r + 1, c) || differs(i, r, c - 1)
        || differs(i, r, c + 1));
    });
    return Float64Array.from(pixels, (i) => {
      const r = row(i), c = column(i);
      let first = ids[i] ? 0 : Infinity, nearest = ids[i], second = Infinity;
      for (const j of border) {
        const squared = (row(j) - r) ** 2 + (column(j) - c) ** 2;
        if (ids[j] === nearest) {
          first = Math.min(first, squared);
        } else if (squared < first) {
          [second, first, nearest] = [first, squared, ids[j]];
        } else {
          second = Math.min(second, squared);
        }
      }
      return Math.sqrt(first) + Math.sqrt(second);
    });
  }

  // The distance of each pixel to the nearest on the other side of the mask's edge, where a pixel
  // begins `half` before its centre; Infinity where there is no other side. Along a column it is
  // counted from both ends, for either label; of the columns beside it near ones come first.
  function toOtherSide(mask, half = 0) {
    const gap = Float64Array.from({ length: SIDE }, (_, d) => Math.max(d - half, 0) ** 2);
    const along = [0, 1].map((label) => {
      const squared = new Float64Array(N).fill(Infinity);
      for (let c = 0; c < SIDE; c += 1) {
        for (const [begin, stride] of [[c, SIDE], [c + N - SIDE, -SIDE]]) {
          let d = Infinity;
          for (let i = begin; i >= 0 && i < N; i += stride) {
            d = mask[i] === label ? 0 : d + 1;
            if (d < SIDE) squared[i] = Math.min(squared[i], gap[d]);
          }
        }
      }
      return squared;
    });
    return Float64Array.from(pixels, (i) => {
      const squared = along[1 - mask[i]], c = column(i);
      let best = squared[i];
      for (let d = 1; d < SIDE && gap[d] < best; d += 1) {
        if (d <= c) best = Math.min(best, squared[i - d] + gap[d]);
        if (d < SIDE - c) best = Math.min(best, squared[i + d] + gap[d]);
      }
      return Math.sqrt(best);
    });
  }

  // φ of eq-boundary-phi, negative inside; 1 or −1 where there is no other side.
  const signedDistance = (y) => toOtherSide(y, 0.5).map((d, i) =>
    (y[i] ? -1 : 1) * (d === Infinity ? 1 : d));

  // A loss is a function of a prediction, a target and its options. It returns its value and the
  // gradient as a function of the pixel.

  // The mean over pixels of weight · (chance of the wrong label)^γ · (−log chance of the right one).
  function pixelLoss({ p, q, up, down }, { y }, weight, γ = 0) {
    const cost = (i) => (y[i] ? down[i] : up[i]);
    const focus = (i) => (γ ? Math.exp(-γ * (y[i] ? up[i] : down[i])) : 1);
    let sum = 0;
    for (let i = 0; i < N; i += 1) sum += weight(i) * focus(i) * cost(i);
    const gradient = (i) => {
      const wrong = y[i] ? q[i] : p[i];
      const slope = focus(i) * (γ * (1 - wrong) * cost(i) + wrong);
      return (weight(i) * (y[i] ? -slope : slope)) / N;
    };
    return { value: sum / N, gradient };
  }

  // The mean cross entropy of the share k of the pixels that have the largest. Those equal to the
  // smallest of these share the room that is left.
  function topK(seen, t, k) {
    const cost = Float64Array.from(pixels, (i) => (t.y[i] ? seen.down[i] : seen.up[i]));
    const count = Math.ceil(k * N - 1e-6);
    const smallest = cost.slice().sort()[N - count];
    const above = cost.filter((v) => v > smallest).length;
    const part = (count - above) / cost.filter((v) => v === smallest).length;
    const chosen = (i) => (cost[i] > smallest ? 1 : cost[i] === smallest ? part : 0);
    return pixelLoss(seen, t, (i) => (chosen(i) * N) / count);
  }

  // The mean of |p − y|, for losses to which a target without another side would mean nothing.
  function meanError({ p, q }, { y }) {
    const value = pixels.reduce((sum, i) => sum + (y[i] ? q[i] : p[i]), 0) / N;
    return { value, gradient: (i) => ((y[i] ? -1 : 1) * p[i] * q[i]) / N };
  }

  // ψ of a score, which is 1 at best, from its slopes by p. ψ gives a value and its slope.
  const oneMinus = (score) => [1 - score, -1];
  function scoreLoss({ p, q }, score, slope, ψ = oneMinus) {
    const [value, rate] = ψ(Math.min(score, 1)); // above 1 by rounding
    return { value, gradient: (i) => rate * slope(i) * p[i] * q[i] };
  }

  function sumsOf({ p }, { y, size }) {
    let tp = 0, mass = 0, squares = 0;
    for (let i = 0; i < N; i += 1) {
      tp += p[i] * y[i];
      mass += p[i];
      squares += p[i] * p[i];
    }
    return { tp, mass, squares, size, y, p };
  }

  // Of the score (n + s) / (d + s), where n and d are sums over pixels and dn, dd their slopes by p.
  function quotientLoss(seen, { n, d, dn, dd }, s = 0, ψ = oneMinus) {
    const slope = (i) => ((d + s) * dn(i) - (n + s) * dd(i)) / (d + s) ** 2;
    return scoreLoss(seen, (n + s) / (d + s), slope, ψ);
  }

  // Of the foreground. An empty one has no score, unless s smooths it.
  function regionLoss(seen, t, parts, s, ψ) {
    if (t.size === 0 && !s) return meanError(seen, t);
    return quotientLoss(seen, parts(sumsOf(seen, t)), s, ψ);
  }

  const one = () => 1;
  const dice = ({ tp, mass, size, y }) =>
    ({ n: 2 * tp, d: mass + size, dn: (i) => 2 * y[i], dd: one });
  const squaredDice = ({ tp, squares, size, y, p }) =>
    ({ n: 2 * tp, d: squares + size, dn: (i) => 2 * y[i], dd: (i) => 2 * p[i] });
  const jaccard = ({ tp, mass, size, y }) =>
    ({ n: tp, d: mass + size - tp, dn: (i) => y[i], dd: (i) => 1 - y[i] });
  const tversky = (α, β) => ({ tp, mass, size, y }) => ({
    n: tp,
    d: tp + α * (mass - tp) + β * (size - tp),
    dn: (i) => y[i],
    dd: (i) => (y[i] ? 1 - β : α),
  });
  // Foreground and background as two classes. One that is absent is left out.
  const generalizedDice = ({ tp, mass, size, y }) => {
    const tn = N - mass - size + tp;
    const [w, v] = [size, N - size].map((area) => (area ? 1 / area ** 2 : 0));
    return {
      n: 2 * (w * tp + v * tn),
      d: w * (mass + size) + v * (2 * N - mass - size),
      dn: (i) => (y[i] ? 2 * w : -2 * v),
      dd: () => w - v,
    };
  };

  const power = (γ) => (score) => {
    const error = 1 - score;
    return [error ** γ, error === 0 && γ < 1 ? 0 : -γ * error ** (γ - 1)];
  };
  const TINY = 1e-12; // keeps a logarithm and a root finite, as in the core
  const logarithm = (score) => {
    const kept = score + TINY * (1 - score);
    return [-Math.log(kept), (TINY - 1) / kept];
  };

  function mccLoss(seen, t) {
    if (t.size === 0 || t.size === N) return meanError(seen, t);
    const sums = sumsOf(seen, t);
    const [tp, p, y] = [sums.tp, sums.mass, t.size].map((sum) => sum / N); // shares of the pixels
    const margin = p * (1 - p) + TINY ** 2, spread = Math.sqrt(margin * y * (1 - y));
    const score = (tp - p * y) / spread; // TP · TN − FP · FN is tp − p · y
    const slope = (i) => ((t.y[i] - y) / spread - (score * (0.5 - p)) / margin) / N;
    return scoreLoss(seen, score, slope);
  }

  // Hinge errors, the largest first, times what each adds to 1 − IoU as its pixel turns wrong. Where
  // errors are equal the order is free: foreground first, and pixels of one label share alike.
  function lovaszHinge({ z }, { y, size }) {
    const error = Float64Array.from(z, (v, i) => Math.max(0, 1 - (y[i] ? v : -v)));
    if (size === 0) {
      const mean = error.reduce((sum, v) => sum + v, 0) / N;
      return { value: mean, gradient: (i) => (error[i] > 0 ? 1 / N : 0) };
    }
    const order = pixels.filter((i) => error[i] > 0);
    order.sort((a, b) => error[b] - error[a] || y[b] - y[a]);
    const step = new Float64Array(N);
    let value = 0, union = size, begin = 0, sum = 0;
    order.forEach((i, rank) => {
      if (!y[i]) union += 1;
      const hits = union - rank - 1;
      sum += y[i] ? 1 / union : hits / Math.max(union - 1, 1) / union; // eq-lovasz-steps
      const next = order[rank + 1];
      if (next !== undefined && error[next] === error[i] && y[next] === y[i]) return;
      value += error[i] * sum;
      for (let k = begin; k <= rank; k += 1) step[order[k]] = sum / (rank + 1 - begin);
      begin = rank + 1;
      sum = 0;
    });
    return { value, gradient: (i) => (y[i] ? -step[i] : step[i]) };
  }

  function boundaryLoss({ p, q }, { phi }) {
    const value = pixels.reduce((sum, i) => sum + phi[i] * p[i], 0) / N;
    return { value, gradient: (i) => (phi[i] * p[i] * q[i]) / N };
  }

  // Squared errors times the distances to both edges; a prediction without an edge adds none. Its
  // distances are found once, by the first who asks.
  function hausdorffLoss(seen, t, γ) {
    if (t.size === 0 || t.size === N) return meanError(seen, t);
    const { p, q } = seen;
    seen.apart ??= toOtherSide(Uint8Array.from(p, (v) => Number(v > 0.5)))
      .map((d) => (d === Infinity ? 0 : d));
    const weight = t.apart.map((d, i) => d ** γ + seen.apart[i] ** γ);
    const error = (i) => (t.y[i] ? -q[i] : p[i]);
    const value = pixels.reduce((sum, i) => sum + weight[i] * error(i) ** 2, 0) / N;
    return { value, gradient: (i) => (2 * weight[i] * error(i) * p[i] * q[i]) / N };
  }

  const range = (min, max, step, value) => ({ min, max, step, value });
  const measured = ({ size }) => clamp(1 - size / N, 1e-4, 1 - 1e-4);

  // Each loss of the book with its options: limits of a slider, and where it stands at first (null:
  // measured in the target).
  const LOSSES = {
    ce: { options: {}, of: (x, t) => pixelLoss(x, t, one) }, // eq-ce
    wce: { // eq-wce
      options: { β: range(0.1, 30, 0.1, 5) },
      of: (x, t, { β }) => pixelLoss(x, t, (i) => (t.y[i] ? β : 1)),
    },
    balanced: { // eq-balanced
      options: { β: { ...range(0, 1, 0.01, null), measured } },
      of: (x, t, { β }) => {
        const share = β ?? measured(t);
        return pixelLoss(x, t, (i) => (t.y[i] ? share : 1 - share));
      },
    },
    focal: { // eq-focal
      options: { γ: range(0, 5, 0.1, 2) },
      of: (x, t, { γ }) => pixelLoss(x, t, one, γ),
    },
    unet: { // eq-unet, eq-unet-weight
      options: { "w₀": range(0, 30, 0.5, 10), σ: range(1, 15, 0.5, 5) },
      of: (x, t, { "w₀": w0, σ }) => {
        const weight = t.gap.map((d) => 1 + w0 * Math.exp(-(d ** 2) / (2 * σ ** 2)));
        return pixelLoss(x, t, (i) => weight[i]);
      },
    },
    dice: { // eq-dice
      options: { s: range(0, 10, 0.1, 0) },
      of: (x, t, { s }) => regionLoss(x, t, dice, s),
    },
    squared: { // eq-dice, with squares in the denominator
      options: { s: range(0, 10, 0.1, 0) },
      of: (x, t, { s }) => regionLoss(x, t, squaredDice, s),
    },
    generalized: { // eq-generalized-dice
      options: {},
      of: (x, t) => quotientLoss(x, generalizedDice(sumsOf(x, t))),
    },
    jaccard: { // eq-jaccard
      options: { s: range(0, 10, 0.1, 0) },
      of: (x, t, { s }) => regionLoss(x, t, jaccard, s),
    },
    mcc: { options: {}, of: mccLoss }, // eq-mcc
    tversky: { // eq-tversky
      options: { α: range(0, 1, 0.05, 0.3), β: range(0, 1, 0.05, 0.7) },
      of: (x, t, { α, β }) => regionLoss(x, t, tversky(α, β)),
    },
    focaltversky: { // eq-focal-tversky
      options: { α: range(0, 1, 0.05, 0.3), β: range(0, 1, 0.05, 0.7), γ: range(0.25, 3, 0.05, 0.75) },
      of: (x, t, { α, β, γ }) => regionLoss(x, t, tversky(α, β), 0, power(γ)),
    },
    lovasz: { options: {}, of: lovaszHinge }, // eq-lovasz-hinge
    boundary: { options: {}, of: boundaryLoss }, // eq-boundary
    hausdorff: { // eq-hausdorff
      options: { γ: range(0.1, 4, 0.1, 2) },
      of: (x, t, { γ }) => hausdorffLoss(x, t, γ),
    },
    topk: { // eq-hard
      options: { k: range(0.01, 1, 0.01, 0.1) },
      of: (x, t, { k }) => topK(x, t, k),
    },
    logdice: { options: {}, of: (x, t) => regionLoss(x, t, dice, 0, logarithm) }, // eq-map-region
    sum: { // eq-choosing-combined
      options: { w: range(0, 1, 0.05, 0.5) },
      of: (x, t, { w }) => {
        const pixel = pixelLoss(x, t, one), region = regionLoss(x, t, dice);
        return {
          value: (1 - w) * pixel.value + w * region.value,
          gradient: (i) => (1 - w) * pixel.gradient(i) + w * region.gradient(i),
        };
      },
    },
  };

  // Dice coefficient and IoU of the mask p > threshold; 1 where there is nothing on either side.
  function scores({ p }, { y, size }, threshold) {
    let tp = 0, found = 0;
    for (let i = 0; i < N; i += 1) {
      if (p[i] > threshold) {
        found += 1;
        tp += y[i];
      }
    }
    const both = found + size;
    return both ? { dice: (2 * tp) / both, iou: tp / (both - tp) } : { dice: 1, iou: 1 };
  }

  // ---- Descent ----------------------------------------------------------------------------------

  // A racer goes down one loss, from a prediction of its own. In its first step no logit moves
  // farther than `reach`, so that two losses start at equal pace.
  function racer(z, reach) {
    return { seen: prediction(z), reach, rate: null, steps: 0, m: new Float64Array(N), v: new Float64Array(N) };
  }

  const RULES = {
    sgd: (r, g) => r.seen.z.map((z, i) => z - r.rate * g(i)),
    adam: (r, g) => {
      const [a, b, t] = [0.9, 0.999, r.steps + 1];
      return r.seen.z.map((z, i) => {
        const slope = g(i);
        r.m[i] = a * r.m[i] + (1 - a) * slope;
        r.v[i] = b * r.v[i] + (1 - b) * slope ** 2;
        return z - (r.reach * (r.m[i] / (1 - a ** t))) / (Math.sqrt(r.v[i] / (1 - b ** t)) + 1e-8);
      });
    },
  };

  function step(r, loss, rule) {
    const { gradient } = loss(r.seen);
    if (r.rate === null) {
      const steepest = pixels.reduce((most, i) => Math.max(most, Math.abs(gradient(i))), 0);
      r.rate = steepest > 0 ? r.reach / steepest : 0;
    }
    r.seen = prediction(RULES[rule](r, gradient));
    r.steps += 1;
  }

  // ---- Targets and predictions to start from ----------------------------------------------------

  const field = (f) => Uint8Array.from(pixels, (i) => f(row(i), column(i)));
  const inDisc = (r, c, r0, c0, radius) => (r - r0) ** 2 + (c - c0) ** 2 <= radius ** 2;

  // Of the photograph in book/data/nuclei: rows from 88, columns from 56; letters are nuclei.
  const NUCLEI = "c5h27g8.24c4h28g8.24c4h28g7.25c4h27g8.25c4h26g8.26c4h24g10.26c4h23g10.27c4h22g10.28c5h20g11."
    + "28c5h18g12.29c5.2h15g13.29c4.6h6.4h2g12.30c3.19g12.30c2.21g10.55g8.8b6.42g8.5b10.43g5.5b11.5"
    + "1b13.50b15.48b16.47b17.46b18.44b20.44b20.43b20.44b20.43b21.42b22.41b22.41b23.41b22.19e1.21b2"
    + "2.20e1.21b22.20e1.20b22.21e1.20b21.22e1.19b20.24e1.19b19.25e1.19b17.48b15.49b13.3f4.45b10.2f"
    + "9.44b6.4f12.51f14.48f17.45f20.42f22.41f23.39f25.38f25.38f26.37f27.37f27.16a1.19f27.16a2.19f2"
    + "7.15a3.18f27.16a3.18f26.17a3.18f26.17a3.18f24.19a3.18f24.18a4.18f23.19a4.19f21.20a4.20f19.21"
    + "a4.21f17.23a3.22f14.20d4.1a3";

  const TARGETS = {
    discs: () => field((r, c) =>
      (inDisc(r, c, 31.5, 19.5, 12) ? 1 : inDisc(r, c, 31.5, 44.5, 12) ? 2 : 0)),
    tiny: () => field((r, c) => Number(inDisc(r, c, 22, 40, 2))),
    line: () => field((r, c) =>
      Number(c > 5 && c < 58 && Math.abs(r - 32 - 11 * Math.sin(c / 12)) <= 1)),
    empty: () => new Uint8Array(N),
    nuclei: () => Uint8Array.from([...NUCLEI.matchAll(/(\D)(\d+)/g)].flatMap(([, name, length]) =>
      Array(Number(length)).fill(".abcdefgh".indexOf(name)))),
  };

  // Objects of a mask: pixels that touch at an edge are one.
  function components(mask) {
    const ids = new Uint16Array(N);
    let count = 0;
    for (const start of pixels) {
      if (!mask[start] || ids[start]) continue;
      count += 1;
      const queue = [start];
      ids[start] = count;
      while (queue.length) {
        const i = queue.pop(), r = row(i), c = column(i);
        const beside = [r > 0 && i - SIDE, r < SIDE - 1 && i + SIDE, c > 0 && i - 1, c < SIDE - 1 && i + 1];
        for (const j of beside) {
          if (j !== false && mask[j] && !ids[j]) {
            ids[j] = count;
            queue.push(j);
          }
        }
      }
    }
    return { ids, count };
  }

  function blur(values, width) {
    const reach = Math.ceil(3 * width);
    const kernel = Array.from({ length: 2 * reach + 1 }, (_, k) =>
      Math.exp(-((k - reach) ** 2) / (2 * width ** 2)));
    const total = kernel.reduce((sum, v) => sum + v);
    const along = (source, at, stride) => Float64Array.from(pixels, (i) => {
      let sum = 0;
      for (let k = -reach; k <= reach; k += 1) {
        if (at(i) + k >= 0 && at(i) + k < SIDE) sum += kernel[k + reach] * source[i + k * stride];
      }
      return sum / total;
    });
    return along(along(values, column, 1), row, SIDE);
  }

  const SURE = 5;
  const sure = (z) => clamp(z, -SURE, SURE);
  const certain = (mask) => Float64Array.from(mask, (v) => (v ? SURE : -SURE));
  const blurred = (mask, width, shift = 0) =>
    blur(mask, width).map((p) => sure(sure(Math.log(p / (1 - p))) + shift));

  // The place that is farthest from the objects: there a false alarm is nothing else.
  function farAway({ y }) {
    const objects = pixels.filter((i) => y[i]);
    let best = SIDE * 12 + 12, distance = -1;
    for (const i of pixels) {
      const r = row(i), c = column(i);
      if (r < 8 || c < 8 || r > SIDE - 9 || c > SIDE - 9) continue;
      const nearest = objects.reduce((least, j) =>
        Math.min(least, (row(j) - r) ** 2 + (column(j) - c) ** 2), N);
      if (nearest > distance) [best, distance] = [i, nearest];
    }
    return best;
  }

  const PREDICTIONS = {
    right: ({ y }) => blurred(y, 0.7),
    blurred: ({ y }) => blurred(y, 2.5),
    swollen: ({ y }) => blurred(y, 2.5, Math.log(20)), // as weighted cross entropy with β = 20 asks
    shifted: ({ y }) =>
      blurred(field((r, c) => (r >= 3 && c >= 4 ? y[(r - 3) * SIDE + c - 4] : 0)), 0.7),
    haze: ({ y }) => Float64Array.from(y, (v) => (v ? SURE : -1)),
    alarm: (t) => {
      const i = farAway(t);
      return blurred(field((r, c) => t.y[r * SIDE + c] || inDisc(r, c, row(i), column(i), 4)), 0.7);
    },
    miss: ({ ids }) => { // its last object
      const last = Math.max(...ids);
      return blurred(ids.map((id) => Number(id > 0 && id !== last)), 0.7);
    },
    undecided: () => new Float64Array(N),
  };

  // ---- Tasks ------------------------------------------------------------------------------------

  // What must hold: of `who` (the reader's prediction, or that of a racer) some value; or a choice,
  // in the state or of the descent, which has to be paused.
  const holds = (who, what, relation, bound) => ({ who, what, relation, bound });
  const chosen = (what, bound) => ({ what, relation: "is", bound });
  const TASKS = {
    rare: [holds("yours", "ce", "<", 0.02), holds("yours", "iou", "=", 0)],
    threshold: [chosen("prediction", "swollen"), holds("yours", "iou", ">", 0.8)],
    costs: [
      chosen("prediction", "haze"), holds("yours", "tversky", "<", 0.55), holds("yours", "α", "≥", 0.1),
    ],
    margin: [holds("yours", "dice", "<", 0.15), holds("yours", "lovasz", ">", 1)],
    forgotten: [
      chosen("a", "ce"), chosen("b", "dice"), holds("a", "iou", ">", 0.9), holds("b", "iou", "<", 0.6),
      chosen("descent", "paused"),
    ],
    parted: [holds("yours", "pieces", "=", 2), holds("yours", "unet", "<", 0.21)],
  };
  const RELATIONS = {
    "<": (v, bound) => v < bound, ">": (v, bound) => v > bound, "≥": (v, bound) => v >= bound,
    "=": (v, bound) => v === bound,
  };

  // ---- The state and its link -------------------------------------------------------------------

  const REACHES = [0.1, 0.2, 0.5, 1, 2];
  const HIGHEST = 8; // as far as the brush raises a logit

  const initial = () => ({
    target: "discs", prediction: "blurred", a: "ce", b: "dice", threshold: 0.5, rule: "sgd",
    reach: 0.5, steps: 0, task: "",
    options: Object.fromEntries(Object.entries(LOSSES).map(([name, { options }]) =>
      [name, Object.fromEntries(Object.entries(options).map(([key, { value }]) => [key, value]))])),
  });

  // What was painted, packed: bytes, deflated, in the letters of an address.
  async function through(stream, bytes) {
    const packed = new Blob([bytes]).stream().pipeThrough(stream);
    return new Uint8Array(await new Response(packed).arrayBuffer());
  }
  const pack = async (bytes) =>
    btoa(String.fromCharCode(...await through(new CompressionStream("deflate-raw"), bytes)))
      .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const unpack = (text) => through(
    new DecompressionStream("deflate-raw"),
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0)),
  );
  const EIGHTHS = 8; // a link rounds logits to eighths, from −16 to 16
  const packLogits = (z) =>
    pack(Uint8Array.from(z, (v) => clamp(Math.round(v * EIGHTHS), -127, 127) + 128));
  const unpackLogits = async (text) =>
    Float64Array.from(await unpack(text), (v) => (v - 128) / EIGHTHS);

  const inLine = (options) => Object.values(options).map((v) => v ?? "").join("_");

  async function toLink(state) {
    const said = new URLSearchParams(), usual = initial();
    said.set("target", TARGETS[state.target] ? state.target : `.${await pack(state.goal.y)}`);
    said.set("prediction",
      PREDICTIONS[state.prediction] ? state.prediction : `.${await packLogits(state.z)}`);
    for (const key of ["a", "b", "threshold", "rule", "reach", "steps", "task"]) {
      if (state[key] !== usual[key] || "ab".includes(key)) said.set(key, state[key]);
    }
    for (const [name, options] of Object.entries(state.options)) {
      const values = inLine(options);
      if (values !== inLine(usual.options[name])) said.set(name, values);
    }
    return said.toString();
  }

  // Whatever a link says that nobody could have chosen is passed over.
  async function fromLink(text) {
    const state = initial(), said = new URLSearchParams(text);
    const pick = (key, known) => {
      if (Object.hasOwn(known, said.get(key))) state[key] = said.get(key);
    };
    pick("target", TARGETS);
    pick("prediction", PREDICTIONS);
    pick("a", LOSSES);
    pick("b", LOSSES);
    pick("rule", RULES);
    pick("task", TASKS);
    const within = (value, min, max, otherwise) =>
      (value && Number.isFinite(Number(value)) ? clamp(Number(value), min, max) : otherwise);
    state.threshold = within(said.get("threshold"), 0.02, 0.98, state.threshold);
    state.reach = within(said.get("reach"), REACHES[0], REACHES.at(-1), state.reach);
    state.steps = Math.round(within(said.get("steps"), 0, LONGEST, 0));
    for (const [name, { options }] of Object.entries(LOSSES)) {
      const values = said.get(name)?.split("_") ?? [];
      Object.entries(options).forEach(([key, { min, max, value }], k) => {
        state.options[name][key] = within(values[k], min, max, value);
      });
    }
    const painted = async (key, read) => {
      try {
        const found = said.get(key)?.startsWith(".") && await read(said.get(key).slice(1));
        if (found?.length !== N) return null;
        state[key] = "painted";
        return found;
      } catch {
        return null; // cut off on its way
      }
    };
    const mask = await painted("target", unpack);
    state.goal = target(mask ? components(mask).ids : TARGETS[state.target]());
    state.z = await painted("prediction", unpackLogits) ?? PREDICTIONS[state.prediction](state.goal);
    return state;
  }

  // ---- What is drawn ----------------------------------------------------------------------------

  // The two scales of book/figures.py: probabilities, and signed values with white at 0. Each is a
  // table of colours as a canvas keeps them, from 0 to 1 in steps of 1/1024.
  const FINE = 1024;
  const scale = (colors) => Uint32Array.from({ length: FINE + 1 }, (_, level) => {
    const at = (level / FINE) * (colors.length - 1), k = Math.min(Math.floor(at), colors.length - 2);
    const [red, green, blue] = colors[k].map((low, channel) =>
      Math.round(low + (at - k) * (colors[k + 1][channel] - low)));
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });
  const PROBABILITY = scale([
    [0, 34, 78], [26, 56, 111], [67, 78, 108], [97, 101, 111], [125, 124, 120], [155, 148, 118],
    [188, 174, 108], [222, 201, 88], [254, 232, 56],
  ]);
  const SIGNED = scale([[107, 47, 0], [213, 94, 0], [255, 255, 255], [0, 114, 178], [0, 48, 77]]);

  function paintPixels(board, colors, level) {
    const context = board.querySelector("canvas").getContext("2d");
    const image = context.createImageData(SIDE, SIDE);
    const painted = new Uint32Array(image.data.buffer);
    for (let i = 0; i < N; i += 1) painted[i] = colors[Math.round(clamp(level(i), 0, 1) * FINE)];
    context.putImageData(image, 0, 0);
  }

  // The border between pixels inside and outside, along the edges of pixels.
  function outline(inside) {
    let path = "";
    const at = (r, c) => r >= 0 && r < SIDE && c >= 0 && c < SIDE && inside(r * SIDE + c);
    for (let r = 0; r <= SIDE; r += 1) {
      for (let c = 0; c <= SIDE; c += 1) {
        if (at(r, c) !== at(r - 1, c)) path += `M${c} ${r}h1`;
        if (at(r, c) !== at(r, c - 1)) path += `M${c} ${r}v1`;
      }
    }
    return path;
  }

  function number(v) {
    const small = v !== 0 && Math.abs(v) < 0.0005;
    return (small ? v.toExponential(0) : v.toFixed(Math.abs(v) >= 100 ? 0 : 3)).replaceAll("-", "−");
  }
  // With as many digits as tell it from the bound beside it.
  function besides(v, bound) {
    let digits = 3;
    while (v !== bound && Number(v.toFixed(digits)) === bound && digits < 9) digits += 1;
    return digits > 3 ? v.toFixed(digits) : number(v);
  }
  const short = (v) => String(Number(v.toFixed(2))).replace("-", "−");

  const LONGEST = 999; // steps of a race
  const PACE = 1000 / 30; // milliseconds that a step takes at least

  function build(page) {
    const $ = (selector) => page.querySelector(selector);
    const $$ = (selector) => [...page.querySelectorAll(selector)];
    const words = JSON.parse($("script[type='application/json']").textContent);
    const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
    const nameOf = Object.fromEntries($$("[data-value]").map((line) =>
      [line.dataset.value, line.querySelector("[data-name]").textContent]));
    const board = Object.fromEntries($$(".board").map((box) => [box.dataset.board, box]));
    const cursor = { r: 32, c: 32 };
    let looking = false; // at the pixel under the cursor
    const solved = new Set(); // tasks
    let state, race = null, playing = false, past = [], stroke = null;

    // The race: both racers start from the reader's prediction.
    const lossOf = (which) => (seen) => LOSSES[state[which]].of(seen, state.goal, state.options[state[which]]);
    function advance(count) {
      race ??= Object.fromEntries(["a", "b"].map((which) => {
        const r = racer(state.z, state.reach);
        return [which, { ...r, course: [scores(r.seen, state.goal, state.threshold).iou] }];
      }));
      for (let k = 0; k < count && state.steps < LONGEST; k += 1) {
        for (const which of ["a", "b"]) {
          step(race[which], lossOf(which), state.rule);
          race[which].course.push(scores(race[which].seen, state.goal, state.threshold).iou);
        }
        state.steps += 1;
      }
      if (state.steps >= LONGEST) playing = false;
    }
    function endRace() {
      race = null;
      playing = false;
      state.steps = 0;
    }

    let last = 0;
    function run(now) {
      if (!playing) return;
      if (now - last >= PACE - 2) { // a frame is due a little early or late
        last = now;
        advance(1);
        draw();
      }
      requestAnimationFrame(run);
    }

    // The prediction of the reader and, in a race, those of the racers, each with its values by name.
    function results() {
      const seen = { yours: prediction(state.z), ...(race && { a: race.a.seen, b: race.b.seen }) };
      return Object.fromEntries(Object.entries(seen).map(([who, x]) => {
        const mask = x.p.map((p) => Number(p > state.threshold));
        const { dice: dc, iou } = scores(x, state.goal, state.threshold);
        const losses = {}; // each is computed once, by who asks first
        const loss = (name) => (losses[name] ??= LOSSES[name].of(x, state.goal, state.options[name]));
        const value = (name) => {
          if (name in LOSSES) return loss(name).value;
          if (name === "pieces") return components(mask).count;
          return { dc, iou, α: state.options.tversky.α }[name];
        };
        return [who, { seen: x, mask, loss, value }];
      }));
    }

    let outlined = null; // the target whose outline is drawn
    function drawBoards(found) {
      if (outlined !== state.goal) {
        outlined = state.goal;
        const edge = outline((i) => state.goal.y[i] > 0);
        $$(".board .goal").forEach((path) => path.setAttribute("d", edge));
      }
      for (const [who, { seen, mask }] of Object.entries(found)) {
        paintPixels(board[who], PROBABILITY, (i) => seen.p[i]);
        board[who].querySelector(".mask").setAttribute("d", outline((i) => mask[i] > 0));
      }
      const maps = ["a", "b"].map((which) => {
        const { gradient } = (found[which] ?? found.yours).loss(state[which]);
        return Float64Array.from(pixels, gradient);
      });
      const ends = maps.map((map) => map.reduce((most, v) => Math.max(most, Math.abs(v)), 0));
      const common = Math.max(...ends);
      ["a", "b"].forEach((which, k) => {
        const end = $("[name=own]").checked ? ends[k] : common;
        paintPixels(board[`gradient-${which}`], SIGNED, (i) => (end ? 0.5 + maps[k][i] / end / 2 : 0.5));
        const largest = $(`[data-largest=${which}]`);
        largest.textContent = ends[k] ? ends[k].toExponential(1).replace("-", "−") : "0";
      });
      return maps;
    }

    function drawValues(found) {
      for (const name of ["iou", "dc"]) $(`[data-score=${name}]`).textContent = number(found.yours.value(name));
      for (const which of ["a", "b"]) {
        const { value } = found[which] ?? found.yours;
        $(`[data-loss=${which}]`).textContent = number(value(state[which]));
        $(`[data-iou=${which}]`).textContent = number(value("iou"));
      }
      for (const when of $$("[data-when]")) {
        when.textContent = race ? fill(words[when.dataset.when], { steps: state.steps }) : "";
      }
    }

    function drawTable(found) {
      for (const line of $$("[data-value]")) {
        for (const cell of line.querySelectorAll("[data-who]")) {
          const shown = found[cell.dataset.who];
          cell.textContent = shown ? number(shown.value(line.dataset.value)) : "";
        }
        line.classList.toggle("is-a", line.dataset.value === state.a);
        line.classList.toggle("is-b", line.dataset.value === state.b);
      }
    }

    function drawCourse() {
      if (!race) return;
      const long = Math.max(20, state.steps);
      for (const which of ["a", "b"]) {
        const points = race[which].course.map((v, k) => `${(30 + (260 * k) / long).toFixed(1)},${(10 + 120 * (1 - v)).toFixed(1)}`);
        $(`.course .${which}`).setAttribute("points", points.join(" "));
      }
      $(".course .long").textContent = long;
    }

    // Returns what is to be said: that the task is solved, once. From then on its panel says so.
    function drawTask(found) {
      const goals = $(".goals"), { task } = state;
      if (!task || solved.has(task)) return "";
      const choices = { ...state, descent: race && !playing ? "paused" : "" };
      const lines = TASKS[task].map(({ who, what, relation, bound }) => {
        if (relation === "is") {
          const name = what === "prediction" ? $(`[name=prediction] [value=${bound}]`).textContent : nameOf[bound];
          return [choices[what] === bound, `${words[what]}: ${name ?? words[bound]}`];
        }
        const value = found[who]?.value(what);
        const done = value !== undefined && RELATIONS[relation](value, bound);
        if (what === "pieces") return [done, fill(words.pieces, { value, bound })];
        const label = `${who === "yours" ? "" : `${words[who]} · `}${nameOf[what] ?? what}`;
        return [done, `${label} ${value === undefined ? "–" : besides(value, bound)} (${relation} ${bound})`];
      });
      const news = `${words.solved} ${$(`[data-task=${task}]`).dataset.lesson}`;
      if (lines.every(([done]) => done)) {
        solved.add(task);
        lines.splice(0, lines.length, [true, news]);
      }
      goals.replaceChildren(...lines.map(([done, text]) => {
        const line = document.createElement("li");
        line.className = done ? "done" : "";
        line.textContent = `${done ? "✓" : "○"} ${text}`;
        return line;
      }));
      goals.classList.toggle("solved", solved.has(task));
      return solved.has(task) ? news : "";
    }

    function drawControls() {
      for (const name of ["target", "prediction", "a", "b", "rule"]) {
        const select = $(`[name=${name}]`);
        select.querySelector("[value=painted]")?.toggleAttribute("hidden", state[name] !== "painted");
        select.value = state[name];
      }
      $("[name=threshold]").value = state.threshold;
      $("[name=reach]").value = REACHES.findIndex((v) => v >= state.reach);
      $("[data-shown=threshold]").textContent = short(state.threshold);
      $("[data-shown=reach]").textContent = short(state.reach);
      $("[data-shown=size]").textContent = $("[name=size]").value;
      $("[data-shown=steps]").textContent = state.steps;
      $("[data-do=undo]").disabled = past.length === 0;
      $("[data-do=restart]").disabled = !race;
      $("[data-do=step]").disabled = state.steps >= LONGEST;
      const play = $("[data-do=play]");
      play.disabled = state.steps >= LONGEST;
      play.textContent = playing ? play.dataset.stop : play.dataset.start;
      page.classList.toggle("racing", race !== null);
      for (const button of $$("[data-task]")) {
        const { task, label } = button.dataset;
        button.setAttribute("aria-pressed", String(task === state.task));
        button.setAttribute("aria-label", solved.has(task) ? `${label} ✓` : label);
        button.classList.toggle("solved", solved.has(task));
      }
      for (const which of ["a", "b"]) drawOptions(which);
    }

    function drawOptions(which) {
      const box = $(`[data-options=${which}]`), name = state[which];
      if (box.dataset.of !== name) {
        box.dataset.of = name;
        box.replaceChildren(...Object.entries(LOSSES[name].options).map(([key, { min, max, step }]) => {
          const label = document.createElement("label");
          label.innerHTML = `<i>${key}</i><input type="range" min="${min}" max="${max}" step="${step}"><output></output>`;
          label.querySelector("input").addEventListener("input", ({ target: { value } }) => {
            state.options[name][key] = Number(value);
            endRace();
            changed();
          });
          return label;
        }));
      }
      Object.entries(LOSSES[name].options).forEach(([key, option], k) => {
        const value = state.options[name][key] ?? option.measured(state.goal);
        box.children[k].querySelector("input").value = value;
        box.children[k].querySelector("output").textContent = short(value);
      });
    }

    let maps = [], due = false, spoken = null;
    function draw() {
      due = false;
      const found = results();
      maps = drawBoards(found);
      drawValues(found);
      if (!playing || state.steps % 6 === 0) drawTable(found); // nobody reads it faster
      drawCourse();
      const news = drawTask(found);
      drawControls();
      $(".reading").textContent = looking ? reading() : "";
      if (spoken || news) report(found, spoken?.(), news);
      spoken = null;
    }

    // The reader changed something: draw it in the next frame, and keep the address up to date. Where
    // `first` is given, it is said of the drawing, before what has become of the losses.
    let writing = 0;
    function changed(first = spoken) {
      spoken = first;
      clearTimeout(writing);
      writing = setTimeout(async () => history.replaceState(null, "", `#${await toLink(state)}`), 500);
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        if (due) draw();
      });
    }

    async function load(link, note = "", kept = []) {
      state = await fromLink(link);
      past = kept;
      playing = false;
      race = null;
      looking = false;
      const { steps } = state;
      state.steps = 0;
      if (steps) advance(steps);
      $(".note").innerHTML = note;
      $(".goals").replaceChildren();
      $(".goals").classList.remove("solved");
      if (state.task) begin();
      draw();
    }

    // A task gives its brush, and is to be solved anew.
    function begin() {
      const { text, brush, size } = $(`[data-task=${state.task}]`).dataset;
      solved.delete(state.task);
      $(".note").textContent = text;
      $(`[name=brush][value=${brush}]`).checked = true;
      $("[name=size]").value = size;
    }

    function say(text) {
      $(".said").textContent = text;
    }

    // For who does not see the boards: what has become of the losses and the mask.
    function report(found, first, news) {
      const value = (which, name) => number((found[which] ?? found.yours).value(name));
      const values = {
        a: value("a", state.a), b: value("b", state.b), iou: value("yours", "iou"),
        iouA: value("a", "iou"), iouB: value("b", "iou"),
      };
      say([first, fill(race ? words.raced : words.values, values), news].filter(Boolean).join(". "));
    }

    // ---- The brush

    const mode = () => $("[name=brush]:checked").value;
    const radius = () => Number($("[name=size]").value);

    function dab(r, c, way) {
      const painted = ["fill", "erase"].includes(way);
      const near = pixels.filter((i) =>
        inDisc(row(i), column(i), r, c, radius() - 0.5) && !stroke.touched.has(i));
      near.forEach((i) => stroke.touched.add(i));
      if (painted) {
        const mask = state.goal.y.slice();
        for (const i of near) mask[i] = Number(way === "fill");
        state.goal = target(components(mask).ids);
        state.target = "painted";
        // A prediction that was never touched follows its target.
        if (PREDICTIONS[state.prediction]) state.z = PREDICTIONS[state.prediction](state.goal);
      } else {
        state.z = state.z.slice();
        for (const i of near) state.z[i] = clamp(state.z[i] + (way === "raise" ? 2 : -2), -HIGHEST, HIGHEST);
        state.prediction = "painted";
      }
      endRace();
      changed();
    }

    const painting = () => ({ goal: state.goal, z: state.z, target: state.target, prediction: state.prediction });
    function keep() {
      past = [...past.slice(-30), painting()];
    }
    function takeBack() {
      Object.assign(state, past.pop());
      endRace();
    }

    function lookAt(r, c) {
      Object.assign(cursor, { r: clamp(r, 0, SIDE - 1), c: clamp(c, 0, SIDE - 1) });
      const brush = board.yours.querySelector(".brush");
      brush.setAttribute("cx", cursor.c + 0.5);
      brush.setAttribute("cy", cursor.r + 0.5);
      brush.setAttribute("r", radius());
      looking = true;
      if (!due) $(".reading").textContent = reading(); // else with the drawing, by its gradients
    }

    function reading() {
      const i = cursor.r * SIDE + cursor.c;
      const slope = (k) => maps[k][i].toExponential(1).replaceAll("-", "−");
      return fill(words.at, {
        row: cursor.r + 1, column: cursor.c + 1, p: sigmoid(state.z[i]).toFixed(2), y: state.goal.y[i],
        a: slope(0), b: slope(1),
      });
    }

    const place = ({ clientX, clientY }) => {
      const box = board.yours.getBoundingClientRect();
      return [((clientY - box.top) / box.height) * SIDE - 0.5, ((clientX - box.left) / box.width) * SIDE - 0.5];
    };
    function paint(r, c, way) {
      keep();
      stroke = { touched: new Set() };
      dab(r, c, way);
    }
    // A second finger scrolls the page (`touch-action`): what the first has painted is taken back.
    function cancel() {
      if (!stroke) return;
      stroke = null;
      takeBack();
      changed();
    }
    board.yours.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary) cancel();
      const [r, c] = place(event); // a browser may lend the board touches beside it
      const inside = Math.min(r, c) >= -0.5 && Math.max(r, c) < SIDE - 0.5;
      if (!event.isPrimary || event.button !== 0 || !inside) return;
      board.yours.setPointerCapture(event.pointerId);
      paint(r, c, mode());
      stroke.at = [r, c];
      lookAt(Math.round(r), Math.round(c));
    });
    board.yours.addEventListener("pointermove", (event) => {
      const [r, c] = place(event);
      if (stroke?.at) {
        const [r0, c0] = stroke.at, count = Math.ceil(Math.hypot(r - r0, c - c0));
        for (let k = 1; k <= count; k += 1) dab(r0 + ((r - r0) * k) / count, c0 + ((c - c0) * k) / count, mode());
        stroke.at = [r, c];
      }
      lookAt(Math.round(r), Math.round(c));
    });
    board.yours.addEventListener("pointerup", () => { stroke = null; });
    board.yours.addEventListener("pointercancel", cancel);

    const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const KEYS = { " ": mode, Enter: mode, "+": () => "raise", "=": () => "raise", "-": () => "lower" };
    board.yours.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "z" && past.length) {
        event.preventDefault();
        takeBack();
        changed(reading);
      }
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const move = MOVES[event.key], way = KEYS[event.key];
      if (!move && !way) return;
      event.preventDefault();
      if (move) {
        const far = event.shiftKey ? 5 : 1;
        lookAt(cursor.r + far * move[0], cursor.c + far * move[1]);
        say(reading());
      } else {
        paint(cursor.r, cursor.c, way());
        stroke = null;
        lookAt(cursor.r, cursor.c);
        changed(reading);
      }
    });
    board.yours.addEventListener("focus", () => {
      lookAt(cursor.r, cursor.c);
      if (board.yours.matches(":focus-visible")) say(reading());
    });

    // ---- The controls

    // A button that has nothing left to do leaves the focus to what one turns to next.
    const DO = {
      undo: () => {
        takeBack();
        if (past.length === 0) board.yours.focus({ preventScroll: true });
      },
      step: () => { playing = false; advance(1); },
      restart: () => {
        endRace();
        drawControls();
        $("[data-do=play]").focus({ preventScroll: true });
      },
      play: () => {
        playing = !playing;
        if (playing && matchMedia("(prefers-reduced-motion: reduce)").matches) {
          playing = false;
          advance(10);
        }
        if (playing) requestAnimationFrame(run);
      },
      link: async () => {
        const link = `${location.href.split("#")[0]}#${await toLink(state)}`;
        const line = $(".link");
        line.value = link;
        line.hidden = false;
        line.select();
        await navigator.clipboard?.writeText(link).then(() => say(words.copied), () => {});
      },
    };
    for (const button of $$("[data-do]")) {
      button.addEventListener("click", () => {
        DO[button.dataset.do]();
        if (button.dataset.do !== "link") changed(() => fill(words.step, state));
      });
    }
    for (const button of $$("[data-take]")) {
      button.addEventListener("click", () => {
        keep();
        state.z = race[button.dataset.take].seen.z;
        state.prediction = "painted";
        endRace();
        changed();
      });
    }
    page.addEventListener("input", ({ target: { name, value } }) => {
      const choose = {
        target: () => {
          state.target = value;
          state.goal = target(TARGETS[value]());
          if (PREDICTIONS[state.prediction]) state.z = PREDICTIONS[state.prediction](state.goal);
        },
        prediction: () => {
          state.prediction = value;
          state.z = PREDICTIONS[value](state.goal);
        },
        a: () => { state.a = value; },
        b: () => { state.b = value; },
        rule: () => { state.rule = value; },
        reach: () => { state.reach = REACHES[value]; },
      }[name];
      if (choose) {
        if (["target", "prediction"].includes(name)) keep();
        choose();
        endRace();
      }
      if (name === "threshold") state.threshold = Number(value);
      if (name === "scene") {
        const scene = $(`[name=scene] [value="${value}"]`);
        load(scene.dataset.state, scene.dataset.note).then(() => {
          say($(".note").textContent);
          changed();
        });
      } else if (name) {
        changed();
      }
    });
    page.addEventListener("change", ({ target: { name } }) => {
      if (name !== "scene") changed(() => "");
    });
    for (const button of $$("[data-task]")) {
      button.addEventListener("click", async () => {
        $("[name=scene]").value = "";
        // Undo brings back what was painted before the task was begun anew.
        const kept = button.dataset.task === state.task ? [...past, painting()] : [];
        await load(`${button.dataset.state}&task=${button.dataset.task}`, "", kept);
        say($(".note").textContent);
        changed();
      });
    }

    // ---- From the address: a state, or the anchor of a scene.

    function open() {
      const asked = location.hash.slice(1);
      const scene = $$("[name=scene] option").find(({ value }) => value && value === asked);
      if (scene) {
        $("[name=scene]").value = scene.value;
        return load(scene.dataset.state, scene.dataset.note).then(() => page.scrollIntoView());
      }
      return asked.includes("=") || !state ? load(asked) : undefined;
    }
    page.hidden = false;
    addEventListener("hashchange", open);
    return open();
  }

  // For the tests.
  window.playground = {
    LOSSES, TARGETS, PREDICTIONS, TASKS, RULES, prediction, target, toOtherSide, components, scores,
    racer, step, initial, toLink, fromLink,
  };
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".playground").forEach((page) => {
      window.playground.ready = build(page);
    });
  });
})();
