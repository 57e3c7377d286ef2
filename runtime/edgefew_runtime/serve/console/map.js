// The embeddings in two dimensions. Each class has a colour and a shape, and the table says the same in words.

import { byId, drawing, element, plural } from "./elements.js";
import { server } from "./server.js";

const WIDTH = 800;
const HEIGHT = 520;
const EDGE = 36;
const COLOURS = 8;
const SHAPES = [
  "M-6 0A6 6 0 1 0 6 0A6 6 0 1 0-6 0Z",
  "M-5.5-5.5H5.5V5.5H-5.5Z",
  "M0-7L6.5 5H-6.5Z",
  "M0-7.5L7.5 0L0 7.5L-7.5 0Z",
  "M-6.5-5H6.5L0 7Z",
];

let points = [];
let place = null;

/** Reads the map, and draws it. */
export async function refreshMap() {
  const drawn = byId("map-drawing");
  if (!drawn.childElementCount) drawn.append(element("p", { class: "muted" }, "Drawing the map …"));
  try {
    const told = await server.call("map");
    points = told.points;
  } catch (error) {
    drawn.replaceChildren(element("p", { class: "problem" }, error.message));
    return;
  }
  draw();
}

/** Marks where the current frame lies. */
export function placeFrame(answer) {
  const before = byId("map-now");
  before?.remove();
  if (!answer?.point || !place) return;
  const [x, y] = place(answer.point);
  const name = answer.known ? answer.label : "unknown";
  byId("map-drawing").querySelector("svg")?.append(
    drawing("g", { id: "map-now", class: "map-now", transform: `translate(${x} ${y})` },
      drawing("path", { d: "M-18 0H-8M8 0H18M0-18V-8M0 8V18" }),
      drawing("circle", { r: 8 }),
      drawing("text", { x: x > WIDTH - 160 ? -22 : 22, y: 5, "text-anchor": x > WIDTH - 160 ? "end" : "start" }, `now: ${name}`)),
  );
}

function xy(point) {
  return point.point ?? [point.x, point.y];
}

function draw() {
  const groups = new Map();
  for (const point of points) groups.set(point.label, [...(groups.get(point.label) ?? []), xy(point)]);
  const labels = [...groups.keys()].sort();
  place = scaled(points.map(xy));
  byId("map-legend").replaceChildren(...labels.map((label, i) => element("li", {}, mark(i), label)));
  if (!points.length) {
    byId("map-drawing").replaceChildren(element("p", { class: "empty" }, "Nothing to draw yet: no class is enrolled."));
    byId("map-table").replaceChildren();
    return;
  }
  const svg = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary(labels, groups) });
  labels.forEach((label, i) => {
    for (const point of groups.get(label)) {
      const [x, y] = place(point);
      svg.append(shape(i, `translate(${x} ${y})`, label));
    }
  });
  for (const label of labels) {
    const [x, y] = place(centre(groups.get(label)));
    svg.append(drawing("text", { x, y: y - 14, class: "map-name", "text-anchor": "middle" }, label));
  }
  byId("map-drawing").replaceChildren(svg);
  table(labels, groups);
}

function shape(i, transform, label) {
  const path = drawing("path", { d: SHAPES[i % SHAPES.length], class: `mark mark-${i % COLOURS}`, transform });
  path.append(drawing("title", {}, label));
  return path;
}

function mark(i) {
  return drawing("svg", { viewBox: "-9 -9 18 18", width: 18, height: 18, "aria-hidden": "true" },
    drawing("path", { d: SHAPES[i % SHAPES.length], class: `mark mark-${i % COLOURS}` }));
}

/** A function from map coordinates to the drawing's: one scale for both axes, the middle in the middle. */
function scaled(all) {
  const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.min((WIDTH - 2 * EDGE) / (right - left || 1), (HEIGHT - 2 * EDGE) / (high - low || 1));
  return ([x, y]) => [
    clamp(WIDTH / 2 + (x - (left + right) / 2) * scale, WIDTH),
    clamp(HEIGHT / 2 - (y - (low + high) / 2) * scale, HEIGHT),
  ];
}

function clamp(value, size) {
  return Math.round(Math.min(size - EDGE / 2, Math.max(EDGE / 2, value)) * 10) / 10;
}

function centre(all) {
  return [0, 1].map((axis) => all.reduce((sum, point) => sum + point[axis], 0) / all.length);
}

function nearest(label, labels, groups) {
  const own = centre(groups.get(label));
  const others = labels.filter((one) => one !== label).map((one) => [Math.hypot(...centre(groups.get(one)).map((v, i) => v - own[i])), one]);
  return others.sort((a, b) => a[0] - b[0])[0]?.[1] ?? "–";
}

function spread(all) {
  const middle = centre(all);
  return Math.sqrt(all.reduce((sum, [x, y]) => sum + (x - middle[0]) ** 2 + (y - middle[1]) ** 2, 0) / all.length);
}

function summary(labels, groups) {
  const each = labels.map((label) => `${label}, ${plural(groups.get(label).length, "example")}, nearest to ${nearest(label, labels, groups)}`);
  return `Map of ${plural(labels.length, "class")}: ${each.join("; ")}.`;
}

function table(labels, groups) {
  const head = ["Class", "Examples", "Nearest class on the map", "Spread on the map"];
  byId("map-table").replaceChildren(
    element("table", {},
      element("thead", {}, element("tr", {}, head.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, labels.map((label) =>
        element("tr", {},
          element("th", { scope: "row" }, label),
          element("td", {}, String(groups.get(label).length)),
          element("td", {}, nearest(label, labels, groups)),
          element("td", {}, spread(groups.get(label)).toFixed(2)))))),
  );
}
