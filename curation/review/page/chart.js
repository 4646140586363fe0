// Two charts as SVG: captions by score, and precision by threshold.

import { draw, fixed, precision } from "./dom.js";

const WIDTH = 340, HEIGHT = 120, LEFT = 30, RIGHT = 6, TOP = 6, BOTTOM = 18;
const INNER = { width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM };

function frame(label, lowest, highest, tops, ...inside) {
  const ground = HEIGHT - BOTTOM;
  return draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    ...inside,
    draw("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: ground, y2: ground }),
    draw("text", { x: LEFT, y: HEIGHT - 4 }, fixed(lowest, 2)),
    draw("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, fixed(highest, 2)),
    ...tops.map(([y, text]) => draw("text", { x: LEFT - 4, y: y + 4, "text-anchor": "end" }, text)));
}

function cut(at, lowest, highest) {
  if (at === null || at < lowest || at > highest) return null;
  const x = LEFT + INNER.width * (at - lowest) / (highest - lowest);
  return draw("line", { class: "cut", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
}

export function histogram(outcome) {
  const { lowest, highest, cutoff } = outcome;
  const most = Math.max(1, ...outcome.histogram);
  const step = INNER.width / outcome.histogram.length;
  const bars = (kind, counts) => counts.map((count, place) => {
    const height = INNER.height * count / most;
    return draw("rect", { class: kind, x: LEFT + place * step, width: Math.max(0.5, step - 0.6),
      y: HEIGHT - BOTTOM - height, height });
  });
  const label = `Captions by score from ${fixed(lowest)} to ${fixed(highest)}; `
    + (cutoff === null ? "none accepted" : `accepted from ${fixed(cutoff)} on`);
  return frame(label, lowest, highest, [], ...bars("bar", outcome.histogram),
    ...bars("taken", outcome.accepted), cut(cutoff, lowest, highest));
}

export function curve({ points, lowest, highest }, cutoff) {
  const x = (at) => LEFT + INNER.width * (at - lowest) / (highest - lowest);
  const y = (share) => TOP + INNER.height * (1 - share);
  const known = points.filter((point) => point.precision !== null && point.captions);
  const path = (list, key) => list.map((point) => `${x(point.threshold)},${y(point[key])}`).join(" ");
  const inside = known.length ? [
    draw("polygon", { class: "band", points: `${path(known, "low")} ${path([...known].reverse(), "high")}` }),
    draw("polyline", { class: "line", points: path(known, "precision") }),
  ] : [];
  const label = known.length
    ? `Precision: with all ${precision(known[0])}, at ${fixed(known.at(-1).threshold)} ${precision(known.at(-1))}`
    : "Precision is not known: no caption of the sample is marked";
  return frame(label, lowest, highest, [[TOP, "1"], [HEIGHT - BOTTOM, "0"]], ...inside,
    cut(cutoff, lowest, highest));
}
