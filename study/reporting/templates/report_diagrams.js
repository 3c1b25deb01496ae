// ---- diagrams: colours are variables of the style sheet, so that both themes and print share one drawing --------

const INK = "var(--ink)", QUIET = "var(--quiet)", GRID = "var(--grid)";
const colour = {
  field: "variant", type: "nominal", sort: null, legend: null,
  scale: { domain: variants, range: variants.map(seriesColour) },
};
const SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right"];
const shape = {
  field: "variant", type: "nominal", sort: null, legend: null,
  scale: { domain: variants, range: variants.map((_, place) => SHAPES[place % SHAPES.length]) },
};
const config = {
  background: null,
  font: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, 'Liberation Sans', sans-serif",
  view: { stroke: null },
  axis: {
    domainColor: QUIET, tickColor: QUIET, gridColor: GRID, labelColor: QUIET, titleColor: INK,
    labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", tickSize: 4,
  },
  title: { color: INK, fontSize: 12, fontWeight: 600, anchor: "start", offset: 6 },
};

function draw(place, description, spec) {
  const target = find(place);
  target.setAttribute("role", "img");
  target.setAttribute("aria-label", description);
  const whole = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container", autosize: { type: "fit-x", contains: "padding" }, config, ...spec,
  };
  const options = {
    actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true, theme: "page" },
  };
  return vegaEmbed(target, whole, options).then(({ view }) => view);
}

const text = { type: "text", align: "left", baseline: "middle", color: INK, fontSize: 12 };
const number = (field, rest = {}) => ({ field, type: "quantitative", ...rest });

/* Where to write the names of points at `end` of an axis of so many pixels: `at`, apart from each other, in its domain. */
function apart(points, [low, high], pixels, gap) {
  const step = (gap * (high - low)) / pixels;
  const placed = points.map((point) => ({ ...point, at: point.end })).sort((one, other) => one.end - other.end);
  for (let round = 0; round < 60; round++) {
    for (let place = 1; place < placed.length; place++) {
      const overlap = step - (placed[place].at - placed[place - 1].at);
      if (overlap <= 0) continue;
      placed[place - 1].at -= overlap / 2;
      placed[place].at += overlap / 2;
    }
    if (placed.length) {
      placed[0].at = Math.max(low, placed[0].at);
      placed.at(-1).at = Math.min(high, placed.at(-1).at);
    }
  }
  return placed;
}

/* The names of the lines of `field`, for the right ends of a diagram of this domain and height. */
function endNames(values, x, field, domain, height) {
  const last = Math.max(...values.map((row) => row[x]));
  const ends = values.filter((row) => row[x] === last);
  return apart(ends.map((row) => ({ variant: row.variant, [x]: last, end: row[field] })), domain, height, 14);
}

/* A line per variant with its name at the right end. x: its encoding; y: its title, domain and format; fields: of the
   lines, each solid or dashed; under: layers to draw first; tooltip: of the points. */
function linesSpec({ title, values, x, y, fields, under = [], over = [], tooltip, points = true, height = 230 }) {
  const upright = (field) => number(field, {
    scale: { domain: y.domain, nice: false }, axis: { title: y.title ?? null, format: y.format, tickCount: 5 },
  });
  const names = endNames(values, x.field, fields.at(-1)[0], y.domain, height);
  return {
    height,
    title,
    data: { name: "curves", values },
    encoding: { x: { type: "quantitative", ...x } },
    layer: [
      ...under,
      ...fields.flatMap(([field, dashed]) => [
        {
          mark: { type: "line", strokeWidth: 2, strokeDash: dashed ? [4, 3] : [1, 0] },
          encoding: { color: colour, y: upright(field) },
        },
        ...(points ? [{
          mark: { type: "point", strokeWidth: 1.5, opacity: 1, size: dashed ? 34 : 46, filled: !dashed, ...(dashed ? { fill: "var(--paper)" } : {}) },
          encoding: { color: colour, shape, y: upright(field), tooltip },
        }] : []),
      ]),
      ...over,
      {
        data: { name: "names", values: names },
        mark: { type: "rule", xOffset: 5, x2Offset: 11, strokeWidth: 1 },
        encoding: { color: colour, x2: { field: x.field }, y: upright("end"), y2: { field: "at" } },
      },
      {
        data: { name: "names" },
        mark: { ...text, dx: 14 },
        encoding: { y: upright("at"), text: { field: "variant" } },
      },
    ],
  };
}

/* The interval at 95 % (Wilson's) of a share of so many images. */
function wilson(share, images) {
  const z = 1.96, shrink = 1 + (z * z) / images;
  const centre = (share + (z * z) / (2 * images)) / shrink;
  const half = (z * Math.sqrt((share * (1 - share)) / images + (z * z) / (4 * images * images))) / shrink;
  return { low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}
