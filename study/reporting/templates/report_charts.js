// ---- results ---------------------------------------------------------------------------------------------------

const units = {
  percent: { show: (value) => percent(value, 2), format: "%" },
  error: { show: (value) => value.toFixed(4), format: ".2f" },
  seconds: { show: (value) => `${count(Math.round(value))}\u00a0s`, format: ",d" },
};

/* A mark per variant with its value beside it: its interval as a line, the value before scaling hollow, and grey what
   chance alone may give. */
function results() {
  const all = (unit) => data.results.filter((chart) => chart.unit === unit)
    .flatMap(({ rows }) => rows.flatMap((row) => [row.value, row.low, row.high, row.before, row.chance]))
    .filter((value) => value !== undefined);
  const domains = {
    percent: [Math.min(0.9, Math.floor(20 * Math.min(...all("percent"))) / 20), 1],
    error: [0, 1.05 * Math.max(...all("error"))],
    seconds: [0, 1.05 * Math.max(...all("seconds"))],
  };
  return Promise.all(data.results.map(({ title, unit, rows }, place) => {
    const { show, format } = units[unit];
    const values = rows.map((row) => ({ ...row, shown: show(row.value) }));
    const having = (field) => ({ data: { values: values.filter((row) => row[field] !== undefined) } });
    const y = {
      field: "variant", type: "nominal", sort: null, scale: { domain: variants },
      axis: { title: null, domain: false, ticks: false, labelColor: INK, labelFontSize: 12, labelPadding: 6 },
    };
    const x = (field) => number(field, {
      scale: { domain: domains[unit], nice: false }, axis: { title: null, format, tickCount: 4 },
    });
    return draw(`result-${place}`, `${title}: ${values.map((row) => `${row.variant} ${row.shown}`).join(", ")}`, {
      height: 22 * rows.length,
      title,
      data: { values },
      encoding: { y },
      layer: [
        {
          ...having("chance"),
          mark: { type: "bar", color: QUIET, opacity: 0.25, size: 16 },
          encoding: { x: x("chance") },
        },
        {
          ...having("low"),
          mark: { type: "rule", strokeWidth: 4, opacity: 0.35 },
          encoding: { color: colour, x: x("low"), x2: { field: "high" } },
        },
        {
          ...having("before"),
          mark: { type: "rule", strokeWidth: 1 },
          encoding: { color: colour, x: x("before"), x2: { field: "value" } },
        },
        {
          ...having("before"),
          mark: { type: "point", size: 50, opacity: 1, fill: "var(--paper)", strokeWidth: 1.5 },
          encoding: { color: colour, shape, x: x("before") },
        },
        {
          mark: { type: "point", size: 60, opacity: 1, filled: true },
          encoding: { color: colour, shape, x: x("value") },
        },
        {
          mark: { ...text, dx: 10 },
          encoding: { x: { value: "width" }, text: { field: "shown" } },
        },
      ],
    });
  }));
}

// ---- robustness ------------------------------------------------------------------------------------------------

/* The accuracies have an interval under one corruption alone: in a mean, the same images stand many times. */
const intervals = (values) => values
  .filter((row) => row.corruption !== data.mean)
  .map((row) => ({ ...row, ...wilson(row.accuracy, row.images) }));

/* The ECE that chance alone may give, of the variant where it is largest: for a mean over corruptions its mean. */
function chanceOf(values) {
  const field = values[0].corruption === data.mean ? "ece_null_mean" : "ece_null_upper";
  return [...new Set(values.map((row) => row.severity))].map((severity) => ({
    severity, chance: Math.max(...values.filter((row) => row.severity === severity).map((row) => row[field])),
  }));
}

async function robustness() {
  const chosen = find("corruption");
  const height = 230;
  const of = (name) => data.robustness.filter((row) => row.corruption === name);
  const first = of(data.mean);
  const severities = [...new Set(first.map((row) => row.severity))];
  const whole = [0, 1];
  const errors = [0, 1.05 * Math.max(...data.robustness.flatMap((row) => [row.ece_before, row.ece_after]))];
  const shared = {
    height,
    values: first,
    x: { field: "severity", scale: { domain: [0, Math.max(...severities)] }, axis: { title: "severity", values: severities, grid: false, labelExpr: "datum.value === 0 ? 'clean' : datum.label" } },
    tooltip: [
      { field: "variant" },
      { field: "severity" },
      number("accuracy", { format: ".2%" }),
      number("ece_before", { format: ".4f", title: "ECE before" }),
      number("ece_after", { format: ".4f", title: "ECE after" }),
    ],
  };
  const [accuracy, ece] = await Promise.all([
    draw("corruption-accuracy", "Accuracy of each variant by severity; the table below has the figures", linesSpec({
      ...shared,
      title: "Accuracy",
      y: { domain: whole, format: "%" },
      fields: [["accuracy", false]],
      under: [{
        data: { name: "intervals", values: intervals(first) },
        mark: { type: "rule", strokeWidth: 4, opacity: 0.3 },
        encoding: { color: colour, y: number("low"), y2: { field: "high" } },
      }],
    })),
    draw("corruption-ece", "Expected calibration error of each variant by severity; the table below has the figures", linesSpec({
      ...shared,
      title: "Expected calibration error",
      y: { domain: errors, format: ".2f" },
      fields: [["ece_before", true], ["ece_after", false]],
      under: [{
        data: { name: "chance", values: chanceOf(first) },
        mark: { type: "area", color: QUIET, opacity: 0.25 },
        encoding: { y: number("chance"), y2: { datum: 0 } },
      }],
    })),
  ]);
  const show = () => {
    const name = chosen.value;
    const values = of(name);
    const at = (variant, severity) => values.find((row) => row.variant === variant && row.severity === severity);
    for (const shown of document.querySelectorAll(".corruption-shown")) shown.textContent = words(name);
    accuracy.data("curves", values).data("intervals", intervals(values))
      .data("names", endNames(values, "severity", "accuracy", whole, height)).runAsync();
    ece.data("curves", values).data("chance", chanceOf(values))
      .data("names", endNames(values, "severity", "ece_after", errors, height)).runAsync();
    const line = (title, figure) => (variant) =>
      [element("span", {}, element("code", {}, variant), ` ${title}`), ...severities.map((severity) => figure(at(variant, severity)))];
    fill(find("corruption-table"), rows(
      [words(name), ...severities.map((severity) => (severity ? `${severity}` : "clean"))],
      [
        ...variants.map(line("accuracy", (row) => percent(row.accuracy))),
        ...variants.map(line("ECE before", (row) => row.ece_before.toFixed(4))),
        ...variants.map(line("ECE after", (row) => row.ece_after.toFixed(4))),
        ...variants.map(line("ECE, perfect", (row) => row.ece_null_mean.toFixed(4))),
      ],
    ));
  };
  chosen.addEventListener("change", show);
  show();
}

/* A line per corruption with its mean over the severities: the mean of all first, then group by group, the mildest for
   the variants first. */
function everyCorruption() {
  const groups = ["benchmark", "extra", "own", "held_out"];
  const corrupted = data.robustness.filter((row) => row.severity > 0);
  const average = (of, field) => of.reduce((sum, row) => sum + row[field], 0) / of.length;
  const names = [...new Set(corrupted.map((row) => row.corruption))].map((name) => {
    const of = corrupted.filter((row) => row.corruption === name);
    const { group } = of[0];
    const ofGroup = name === data.mean || group === "benchmark" ? "" : `, ${words(group)}`;
    return { name, label: words(name) + ofGroup, of, rank: name === data.mean ? -1 : groups.indexOf(group), accuracy: average(of, "accuracy") };
  }).sort((one, other) => one.rank - other.rank || other.accuracy - one.accuracy);
  const values = names.flatMap(({ label, of }) => variants.map((variant) => {
    const mine = of.filter((row) => row.variant === variant);
    return {
      variant, label,
      accuracy: average(mine, "accuracy"), ece: average(mine, "ece_after"), chance: average(mine, "ece_null_mean"),
    };
  }));
  const step = 19;
  const spec = (place, title, field, domain, format) => {
    const legend = {
      orient: "top", title: null, columns: Math.max(2, Math.floor(find(place).clientWidth / 95)), labelColor: INK, labelFontSize: 12,
    };
    const y = {
      field: "label", type: "nominal", sort: names.map(({ label }) => label),
      axis: { title: null, labelColor: INK, labelLimit: 170, domain: false, ticks: false, grid: true },
    };
    const x = (name) => number(name, {
      scale: { domain, nice: false }, axis: { title: null, format, tickCount: 5, grid: false },
    });
    return {
      height: step * names.length,
      title,
      data: { values },
      layer: [
        ...(field === "ece" ? [{
          transform: [{ aggregate: [{ op: "max", field: "chance", as: "most" }], groupby: ["label"] }],
          mark: { type: "bar", color: QUIET, opacity: 0.25, size: step - 5 },
          encoding: { x: x("most"), y },
        }] : []),
        {
          mark: { type: "point", filled: true, size: 48, opacity: 1 },
          encoding: {
            x: x(field), y, color: { ...colour, legend }, shape: { ...shape, legend },
            tooltip: [
              { field: "label", title: "corruption" }, { field: "variant" },
              number("accuracy", { format: ".2%" }), number("ece", { format: ".4f", title: "ECE after" }),
            ],
          },
        },
      ],
    };
  };
  const most = Math.max(...values.flatMap((row) => [row.ece, row.chance]));
  return Promise.all([
    draw("every-accuracy", "Accuracy of each variant under every corruption; the table below has the figures",
      spec("every-accuracy", "Accuracy", "accuracy", [Math.min(0.9, Math.floor(10 * Math.min(...values.map((row) => row.accuracy))) / 10), 1], "%")),
    draw("every-ece", "Expected calibration error of each variant under every corruption; the table below has the figures",
      spec("every-ece", "Calibration error after scaling", "ece", [0, 1.05 * most], ".2f")),
  ]);
}

// ---- adversarial -----------------------------------------------------------------------------------------------

function adversarial() {
  const titles = { noise: "Uniform noise", fgsm: "One gradient step (FGSM)", pgd: "Projected steps (PGD)" };
  return Promise.all(Object.entries(titles).map(([attack, title]) => {
    const values = data.adversarial
      .filter((row) => row.attack === attack || row.attack === "clean")
      .map((row) => ({ ...row, ...wilson(row.accuracy, row.images) }));
    return draw(`attack-${attack}`, `Accuracy of each variant under ${title.toLowerCase()}; the table below has the figures`, linesSpec({
      title,
      values,
      x: { field: "epsilon", scale: { domain: [0, Math.max(...values.map((row) => row.epsilon))] }, axis: { title: "largest change, of 255", values: [...new Set(values.map((row) => row.epsilon))], grid: false } },
      y: { domain: [0, 1], format: "%" },
      fields: [["accuracy", false]],
      under: [{
        mark: { type: "rule", strokeWidth: 4, opacity: 0.3 },
        encoding: { color: colour, y: number("low"), y2: { field: "high" } },
      }],
      tooltip: [
        { field: "variant" }, { field: "epsilon" }, number("accuracy", { format: ".2%" }),
        number("low", { format: ".1%", title: "interval from" }), number("high", { format: ".1%", title: "to" }),
      ],
    }));
  }));
}

// ---- training --------------------------------------------------------------------------------------------------

function training() {
  const elapsed = {};
  const values = data.curves.map((row) => {
    elapsed[row.variant] = (elapsed[row.variant] ?? data.shared_seconds[row.variant]) + row.seconds;
    return { ...row, elapsed: elapsed[row.variant], learns: row.phase === "head" || data.heads.includes(row.variant) ? "head" : "more" };
  });
  const reached = values.map((row) => row.val_accuracy);
  const domain = [Math.floor(20 * Math.min(...reached) - 0.5) / 20, Math.ceil(20 * Math.max(...reached)) / 20];
  const spec = (title, x) => {
    const last = variants.map((variant) => values.filter((row) => row.variant === variant).at(-1));
    const furthest = Math.max(...last.map((row) => row[x.field]));
    const names = apart(last.map((row) => ({ variant: row.variant, x: row[x.field], end: row.val_accuracy, furthest })), domain, 230, 14);
    const y = (field) => number(field, {
      scale: { domain, nice: false }, axis: { title: null, format: "%", tickCount: 5 },
    });
    return {
      height: 230,
      title,
      data: { values },
      layer: [
        { mark: { type: "line", strokeWidth: 1.5 }, encoding: { x, y: y("val_accuracy"), color: colour, order: { field: "epoch" } } },
        {
          mark: { type: "point", size: 40, strokeWidth: 1.5, opacity: 1 },
          encoding: {
            x, y: y("val_accuracy"), color: colour, shape,
            fill: {
              condition: variants.map((variant) => ({
                test: `datum.learns === 'more' && datum.variant === '${variant}'`, value: seriesColour(variant),
              })),
              value: "var(--paper)",
            },
            tooltip: [
              { field: "variant" },
              { field: "phase" },
              { field: "epoch" },
              number("val_accuracy", { format: ".2%", title: "validation accuracy" }),
              number("elapsed", { format: ",.0f", title: "seconds" }),
            ],
          },
        },
        {
          data: { values: names },
          mark: { type: "rule", strokeWidth: 1, xOffset: 5, strokeDash: [1, 2] },
          encoding: { color: colour, x: number("x"), x2: { field: "furthest" }, y: y("end"), y2: { field: "at" } },
        },
        {
          data: { values: names },
          mark: { ...text, dx: 14 },
          encoding: { x: number("furthest"), y: y("at"), text: { field: "variant" } },
        },
      ],
    };
  };
  return Promise.all([
    draw("curve-epochs", "Validation accuracy of each variant by epoch",
      spec("Validation accuracy by epoch", number("epoch", { axis: { title: "epoch", grid: false, tickMinStep: 1 } }))),
    draw("curve-seconds", "Validation accuracy of each variant by seconds of training",
      spec("Validation accuracy by wall clock", number("elapsed", { axis: { title: "seconds", grid: false, format: ",d", tickCount: 6 } }))),
  ]);
}
