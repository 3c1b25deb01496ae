// ---- calibration -----------------------------------------------------------------------------------------------

/* Bins (lower, upper] of equal width, their ECE, and the ECE to expect if every confidence were right: the number of
   right answers in a bin then has the variance sum p (1 - p), and the mean absolute value of a normal variable is
   sqrt(2 / pi) of its deviation. */
function reliability(variant, scaling, bins) {
  const sure = confidence[variant][scaling];
  const step = 1 / bins;
  const edges = Array.from({ length: bins + 1 }, (_, place) => (place === bins ? 1 : place * step));
  const sums = edges.slice(1).map(() => ({ count: 0, confidence: 0, right: 0, variance: 0 }));
  for (let row = 0; row < labels.length; row++) {
    let place = Math.min(bins - 1, Math.floor(sure[row] * bins));
    while (place > 0 && sure[row] <= edges[place]) place--;
    while (place < bins - 1 && sure[row] > edges[place + 1]) place++;
    const sum = sums[place];
    sum.count++;
    sum.confidence += sure[row];
    sum.variance += sure[row] * (1 - sure[row]);
    sum.right += predicted[variant][row] === labels[row];
  }
  const total = labels.length;
  let ece = 0, perfect = 0;
  const values = [];
  sums.forEach((sum, place) => {
    if (!sum.count) return;
    ece += Math.abs(sum.right - sum.confidence) / total;
    perfect += (Math.sqrt(sum.variance) * Math.sqrt(2 / Math.PI)) / total;
    const mean = { accuracy: sum.right / sum.count, confidence: sum.confidence / sum.count };
    const chance = (1.96 * Math.sqrt(sum.variance)) / sum.count;
    values.push({
      ...mean,
      lower: edges[place],
      upper: edges[place + 1],
      middle: (edges[place] + edges[place + 1]) / 2,
      chanceLower: Math.max(0, mean.confidence - chance),
      chanceUpper: Math.min(1, mean.confidence + chance),
      thinLower: edges[place] + 0.35 * step,
      thinUpper: edges[place] + 0.65 * step,
      share: sum.count / total,
      count: sum.count,
      opacity: sum.count / total < RARE ? 0.35 : 1,
      sign: mean.confidence > mean.accuracy ? "over-confident" : "under-confident",
    });
  });
  return { values, ece, perfect };
}

function reliabilitySpec(values, height) {
  const ticks = { values: [0, 0.2, 0.4, 0.6, 0.8, 1], format: ".1f" };
  const place = { x: { field: "lower", type: "quantitative" }, x2: { field: "upper" } };
  const opacity = { field: "opacity", type: "quantitative", scale: null };
  return {
    height,
    data: { name: "bins", values },
    encoding: {
      x: { scale: { domain: [0, 1] }, axis: { ...ticks, title: "confidence", grid: false } },
      y: { scale: { domain: [0, 1] }, axis: { ...ticks, title: "accuracy" } },
    },
    layer: [
      {
        mark: { type: "rect", fill: "var(--bar)", stroke: "var(--paper)", strokeWidth: 1 },
        encoding: { ...place, y: { field: "accuracy", type: "quantitative" }, y2: { datum: 0 }, opacity },
      },
      {
        mark: { type: "rect", strokeWidth: 1.25 },
        encoding: {
          ...place,
          y: { field: "accuracy", type: "quantitative" },
          y2: { field: "confidence" },
          opacity,
          fill: {
            field: "sign", legend: null,
            scale: {
              domain: ["over-confident", "under-confident"],
              range: ["color-mix(in srgb, var(--over) 35%, transparent)", "color-mix(in srgb, var(--under) 35%, transparent)"],
            },
          },
          stroke: {
            field: "sign", legend: null,
            scale: { domain: ["over-confident", "under-confident"], range: ["var(--over)", "var(--under)"] },
          },
        },
      },
      {
        mark: { type: "rect", fill: "var(--share)" },
        encoding: {
          x: { field: "thinLower", type: "quantitative" }, x2: { field: "thinUpper" },
          y: { field: "share", type: "quantitative" }, y2: { datum: 0 },
        },
      },
      {
        mark: { type: "rule", color: INK, strokeWidth: 1.25 },
        encoding: {
          x: { field: "middle", type: "quantitative" },
          y: { field: "chanceLower", type: "quantitative" }, y2: { field: "chanceUpper" },
        },
      },
      {
        data: { values: [{ from: 0, to: 1 }] },
        mark: { type: "rule", color: QUIET, strokeDash: [4, 3] },
        encoding: {
          x: { field: "from", type: "quantitative" }, y: { field: "from", type: "quantitative" },
          x2: { field: "to" }, y2: { field: "to" },
        },
      },
      {
        mark: { type: "rect", fill: "transparent" },
        encoding: {
          ...place, y: { datum: 0 }, y2: { datum: 1 },
          tooltip: [
            { field: "confidence", type: "quantitative", format: ".3f" },
            { field: "accuracy", type: "quantitative", format: ".3f" },
            { field: "count", type: "quantitative", format: ",", title: "images" },
          ],
        },
      },
    ],
  };
}

async function calibration() {
  const slider = find("bins");
  slider.value = data.bins; // a browser may restore another one on a reload
  const panels = variants.flatMap((variant) => ["before", "after"].map((scaling) => ({ variant, scaling })));
  const tell = ({ variant, scaling }, { ece, perfect }) => {
    find(`reliability-${variant}-${scaling}`).setAttribute("aria-label",
      `Reliability diagram of ${variant} ${scaling} scaling: expected calibration error ${ece.toFixed(4)}, ` +
      `${perfect.toFixed(4)} if perfectly calibrated`);
    find(`ece-${variant}-${scaling}`).replaceChildren(
      "ECE ", element("b", {}, ece.toFixed(4)), element("span", { className: "interval" }, `perfect: ${perfect.toFixed(4)}`));
  };
  await Promise.all(panels.map(async (panel) => {
    const binned = reliability(panel.variant, panel.scaling, data.bins);
    const id = `reliability-${panel.variant}-${panel.scaling}`;
    const height = Math.max(110, Math.min(230, find(id).clientWidth - 50));
    panel.view = await draw(id, "Reliability diagram", reliabilitySpec(binned.values, height));
    tell(panel, binned);
  }));
  slider.addEventListener("input", () => {
    const bins = Number(slider.value);
    find("bins-shown").value = bins;
    for (const panel of panels) {
      const binned = reliability(panel.variant, panel.scaling, bins);
      tell(panel, binned);
      panel.view.data("bins", binned.values).runAsync();
    }
  });
}

// ---- answers withheld ------------------------------------------------------------------------------------------

/* How many of the first k images are wrong, surest first, for k from 0 to all; images of equal confidence in equal
   parts. And their confidences in that order. */
function ranking(variant) {
  const sure = confidence[variant].after;
  const order = Array.from(sure.keys()).sort((one, other) => sure[other] - sure[one]);
  const wrong = new Float64Array(order.length + 1);
  for (let from = 0, to; from < order.length; from = to) {
    let errors = 0;
    for (to = from; to < order.length && sure[order[to]] === sure[order[from]]; to++) {
      errors += predicted[variant][order[to]] !== labels[order[to]];
    }
    for (let place = from; place < to; place++) wrong[place + 1] = wrong[from] + (errors * (place + 1 - from)) / (to - from);
  }
  return { wrong, sure: order.map((row) => sure[row]) };
}

async function withheld() {
  const slider = find("coverage");
  const total = labels.length;
  const ranked = Object.fromEntries(variants.map((variant) => [variant, ranking(variant)]));
  function risk(variant, coverage) {
    const { wrong, sure } = ranked[variant];
    const answered = coverage * total;
    const whole = Math.min(total - 1, Math.floor(answered));
    const errors = wrong[whole] + (answered - whole) * (wrong[whole + 1] - wrong[whole]);
    return { variant, coverage, risk: errors / answered, least: sure[Math.ceil(answered - 1e-9) - 1], ...wilson(errors / answered, answered) };
  }
  const coverages = Array.from({ length: 101 - slider.min }, (_, place) => (Number(slider.min) + place) / 100);
  const values = variants.flatMap((variant) => coverages.map((coverage) => risk(variant, coverage)));
  const most = Math.max(0.02, 1.25 * Math.max(...values.map((row) => row.risk)));
  const chosen = () => variants.map((variant) => risk(variant, slider.value / 100));
  const y = (field) => number(field, { scale: { domain: [0, most], nice: false } });
  const view = await draw("risk", "Share of wrong answers of each variant by the share of the images that it answers; the table below has the figures at the slider", linesSpec({
    values,
    height: 260,
    points: false,
    x: { field: "coverage", scale: { domain: [0, 1] }, axis: { title: "share of the images that are answered, the surest first", format: "%", grid: false } },
    y: { title: "wrong among the answers", domain: [0, most], format: "~%" },
    fields: [["risk", false]],
    under: [{
      mark: { type: "area", opacity: 0.14, clip: true },
      encoding: { color: colour, y: y("low"), y2: { field: "high" } },
    }],
    over: [
      { data: { name: "line", values: chosen().slice(0, 1) }, mark: { type: "rule", color: QUIET, strokeDash: [4, 3] }, encoding: {} },
      {
        data: { name: "chosen", values: chosen() },
        mark: { type: "point", filled: true, size: 60, opacity: 1, clip: true },
        encoding: { color: colour, shape, y: y("risk") },
      },
    ],
  }));
  const show = () => {
    find("coverage-shown").value = `${slider.value}\u00a0%`;
    const now = chosen();
    view.data("chosen", now).data("line", now.slice(0, 1)).runAsync();
    fill(find("risk-table"), rows(["variant", "wrong among the answers", "answers when this sure, or surer"], now.map((row) => [
      element("code", {}, row.variant),
      element("span", {}, percent(row.risk, 2),
        element("span", { className: "interval" }, `${(100 * row.low).toFixed(2)} to ${(100 * row.high).toFixed(2)}`)),
      percent(row.least),
    ])));
  };
  slider.addEventListener("input", show);
  show();
}
