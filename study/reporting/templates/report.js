"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { variants, classes, freeze } = data;
  const find = (id) => document.getElementById(id);
  const TILES = 24; // pictures shown at once, and more at each "Show more"
  const CELL_TILES = 12;
  const RARE = 0.01; // share of the images below which a bin says little

  // ---- what was packed -------------------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const labels = bytes(data.predictions.labels);
  const predicted = {};
  const confidence = {};
  const probabilities = {};
  for (const variant of variants) {
    const packed = data.predictions.of[variant];
    predicted[variant] = bytes(packed.predicted);
    confidence[variant] = {
      before: new Float32Array(bytes(packed.before).buffer),
      after: new Float32Array(bytes(packed.after).buffer),
    };
    probabilities[variant] = new Uint16Array(bytes(data.gallery.probabilities[variant]).buffer);
  }
  const index = new Uint32Array(bytes(data.gallery.index).buffer);
  const pictures = Array.from(index, (row, place) => ({ row, place, actual: labels[row] }));
  const maps = bytes(data.gallery.maps);
  const colours = bytes(data.gallery.colours);
  const probability = (variant, place, label) => probabilities[variant][place * classes.length + label] / 65535;
  const prediction = (variant, { row }) => predicted[variant][row];
  const sureness = (variant, picture) => probability(variant, picture.place, prediction(variant, picture));

  // ---- small things ----------------------------------------------------------------------------------------------

  const count = (number) => number.toLocaleString("en");
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;
  const words = (name) => name.replaceAll("_", " ");

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function rows(head, body) {
    const cell = (name, content, scope) => {
      const made = element(name, {}, content);
      if (scope) made.setAttribute("scope", scope);
      return made;
    };
    return {
      head: [element("tr", {}, ...head.map((text) => cell("th", text, "col")))],
      body: body.map(([first, ...rest]) =>
        element("tr", {}, cell("th", first, "row"), ...rest.map((content) => cell("td", content)))),
    };
  }

  function fill(table, { head, body }) {
    table.tHead.replaceChildren(...head);
    table.tBodies[0].replaceChildren(...body);
  }

  // ---- diagrams: colours are variables of the style sheet, so that both themes and print share one drawing --------

  const INK = "var(--ink)", QUIET = "var(--quiet)", GRID = "var(--grid)";
  const variantColour = {
    field: "variant", type: "nominal", sort: null,
    scale: { domain: variants, range: variants.map((variant) => `var(--${variant})`) },
  };
  const variantShape = {
    field: "variant", type: "nominal", sort: null,
    scale: { domain: variants, range: ["circle", "square", "triangle-up", "diamond"] },
  };
  const legend = { orient: "top", title: null, direction: "horizontal", symbolStrokeWidth: 2, offset: 4 };
  const config = {
    background: null,
    font: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, 'Liberation Sans', sans-serif",
    view: { stroke: null },
    axis: {
      domainColor: QUIET, tickColor: QUIET, gridColor: GRID, labelColor: QUIET, titleColor: INK,
      labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", tickSize: 4,
    },
    legend: { labelColor: INK, labelFontSize: 12, symbolSize: 60 },
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
      values.push({
        ...mean,
        lower: edges[place],
        upper: edges[place + 1],
        middle: (edges[place] + edges[place + 1]) / 2,
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

  // ---- robustness ------------------------------------------------------------------------------------------------

  function corruptionSpec(values, title, name, layers) {
    const severities = [...new Set(values.map((row) => row.severity))];
    return {
      height: 230,
      title,
      data: { name: "curves", values },
      encoding: {
        x: {
          field: "severity", type: "quantitative",
          axis: { title: "severity", values: severities, grid: false, labelExpr: "datum.value === 0 ? 'clean' : datum.label" },
        },
        color: { ...variantColour, legend },
        shape: { ...variantShape, legend },
        tooltip: [
          { field: "variant" },
          { field: "severity" },
          { field: "accuracy", type: "quantitative", format: ".2%" },
          { field: "ece_before", type: "quantitative", format: ".4f", title: "ECE before" },
          { field: "ece_after", type: "quantitative", format: ".4f", title: "ECE after" },
        ],
      },
      layer: layers.map(([field, dashed]) => ({
        mark: {
          type: "line", strokeWidth: 2, strokeDash: dashed ? [4, 3] : [1, 0],
          point: dashed ? { filled: false, fill: "var(--paper)", size: 34, strokeWidth: 1.5 } : { size: 46 },
        },
        encoding: { y: { field, type: "quantitative", scale: { zero: true }, axis: { title: name, format: field === "accuracy" ? "%" : ".2f", tickCount: 5 } } },
      })),
    };
  }

  async function robustness() {
    const chosen = find("corruption");
    const of = (name) => data.robustness.filter((row) => row.corruption === name);
    const [accuracy, ece] = await Promise.all([
      draw("corruption-accuracy", "Accuracy of each variant by severity; the table below has the figures",
        corruptionSpec(of(data.mean), "Accuracy", null, [["accuracy", false]])),
      draw("corruption-ece", "Expected calibration error of each variant by severity; the table below has the figures",
        corruptionSpec(of(data.mean), "Expected calibration error", null, [["ece_before", true], ["ece_after", false]])),
    ]);
    const show = () => {
      const name = chosen.value;
      const values = of(name);
      const severities = [...new Set(values.map((row) => row.severity))];
      const at = (variant, severity) => values.find((row) => row.variant === variant && row.severity === severity);
      for (const shown of document.querySelectorAll(".corruption-shown")) shown.textContent = words(name);
      accuracy.data("curves", values).runAsync();
      ece.data("curves", values).runAsync();
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

  // ---- training --------------------------------------------------------------------------------------------------

  function training() {
    const elapsed = {};
    const values = data.curves.map((row) => {
      elapsed[row.variant] = (elapsed[row.variant] ?? data.shared_seconds[row.variant]) + row.seconds;
      return { ...row, elapsed: elapsed[row.variant], learns: row.phase === "head" ? "head" : "more" };
    });
    const spec = (title, x) => ({
      height: 230,
      title,
      data: { values },
      encoding: {
        x,
        y: { field: "val_accuracy", type: "quantitative", scale: { zero: false, nice: true }, axis: { title: null, format: "%", tickCount: 5 } },
        color: { ...variantColour, legend },
        tooltip: [
          { field: "variant" },
          { field: "phase" },
          { field: "epoch" },
          { field: "val_accuracy", type: "quantitative", format: ".2%", title: "validation accuracy" },
          { field: "elapsed", type: "quantitative", format: ",.0f", title: "seconds" },
        ],
      },
      layer: [
        { mark: { type: "line", strokeWidth: 1.5 }, encoding: { order: { field: "epoch" } } },
        {
          mark: { type: "point", size: 40, strokeWidth: 1.5, opacity: 1 },
          encoding: {
            shape: { ...variantShape, legend },
            fill: {
              condition: variants.map((variant) => ({
                test: `datum.learns === 'more' && datum.variant === '${variant}'`, value: `var(--${variant})`,
              })),
              value: "var(--paper)",
            },
          },
        },
      ],
    });
    return Promise.all([
      draw("curve-epochs", "Validation accuracy of each variant by epoch",
        spec("Validation accuracy by epoch", { field: "epoch", type: "quantitative", axis: { title: "epoch", grid: false, tickMinStep: 1 } })),
      draw("curve-seconds", "Validation accuracy of each variant by seconds of training",
        spec("Validation accuracy by wall clock", { field: "elapsed", type: "quantitative", axis: { title: "seconds", grid: false, format: ",d", tickCount: 6 } })),
    ]);
  }

  // ---- pictures --------------------------------------------------------------------------------------------------

  const size = data.gallery.size;
  let sheet; // the pixels of every picture

  async function unpackPictures() {
    const image = new Image();
    image.src = data.gallery.sprite;
    await image.decode();
    const canvas = element("canvas", { width: image.width, height: image.height });
    sheet = canvas.getContext("2d", { willReadFrequently: true });
    sheet.drawImage(image, 0, 0);
  }

  function pixels(place) {
    const columns = data.gallery.columns;
    return sheet.getImageData((place % columns) * size, Math.floor(place / columns) * size, size, size);
  }

  /* The map interpolated to the picture's size, between the centres of its cells, and divided by its maximum. */
  function heat(place) {
    const [high, wide] = data.gallery.map_shape;
    const at = (y, x) => maps[(place * high + y) * wide + x];
    const along = (pixel, cells) => {
      const position = Math.min(cells - 1, Math.max(0, ((pixel + 0.5) * cells) / size - 0.5));
      const low = Math.floor(position);
      return [low, Math.min(cells - 1, low + 1), position - low];
    };
    const values = new Float32Array(size * size);
    for (let y = 0; y < size; y++) {
      const [top, bottom, down] = along(y, high);
      for (let x = 0; x < size; x++) {
        const [left, right, across] = along(x, wide);
        values[y * size + x] =
          (1 - down) * ((1 - across) * at(top, left) + across * at(top, right)) +
          down * ((1 - across) * at(bottom, left) + across * at(bottom, right));
      }
    }
    const peak = Math.max(...values);
    return peak ? values.map((value) => value / peak) : values;
  }

  /* Grey where there is no heat, and the more in colour the hotter, as in the galleries of plots/gradcam. */
  function overlay(place) {
    const image = pixels(place);
    const hot = heat(place);
    for (let pixel = 0; pixel < hot.length; pixel++) {
      const [red, green, blue] = image.data.subarray(4 * pixel, 4 * pixel + 3);
      const grey = 0.299 * red + 0.587 * green + 0.114 * blue;
      const opacity = 0.75 * hot[pixel];
      const colour = 3 * Math.round(255 * hot[pixel]);
      for (let channel = 0; channel < 3; channel++) {
        image.data[4 * pixel + channel] = (1 - opacity) * grey + opacity * colours[colour + channel];
      }
    }
    return image;
  }

  function canvas(image, text) {
    const made = element("canvas", { width: size, height: size });
    made.getContext("2d").putImageData(image, 0, 0);
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", text);
    return made;
  }

  const photograph = (picture) => canvas(pixels(picture.place), `test image ${picture.row}, ${classes[picture.actual]}`);
  const camOf = (picture) => canvas(
    overlay(picture.place), `where ${freeze} found evidence for ${classes[prediction(freeze, picture)]}`);

  function bar(share, colour) {
    const made = element("span", { className: "bar" });
    made.style.setProperty("--share", share);
    if (colour) made.style.setProperty("--of", colour);
    return made;
  }

  function verdict(variant, picture) {
    const label = prediction(variant, picture);
    return label === picture.actual
      ? [element("b", {}, classes[label]), ", right"]
      : [element("b", {}, classes[picture.actual]), ", ", element("span", { className: "wrong" }, `taken for ${classes[label]}`)];
  }

  function tile(variant, picture, brief) {
    const button = element("button", { type: "button" }, photograph(picture), camOf(picture));
    button.addEventListener("click", () => enlarge(picture));
    if (brief) {
      return element("li", {}, button, element("p", { className: "note" }, percent(sureness(variant, picture))));
    }
    const ranked = classes.map((_, label) => label)
      .sort((one, other) => probability(variant, picture.place, other) - probability(variant, picture.place, one));
    const bars = ranked.slice(0, 3).map((label) => {
      const share = probability(variant, picture.place, label);
      const name = element("span", { className: label === picture.actual ? "actual" : "", title: classes[label] }, classes[label]);
      return element("li", {}, name, bar(share, `var(--${variant})`), element("span", {}, percent(share)));
    });
    return element("li", {}, button, element("p", {}, ...verdict(variant, picture)), element("ol", { className: "bars" }, ...bars));
  }

  function enlarge(picture) {
    const dialog = find("picture");
    find("picture-title").textContent = `Test image ${picture.row}: ${classes[picture.actual]}`;
    const figure = (content, text) => element("figure", {}, content, element("figcaption", {}, text));
    dialog.querySelector(".large").replaceChildren(
      figure(photograph(picture), `What the models saw, ${size} pixels a side`),
      figure(camOf(picture), `Where ${freeze} found evidence for ${classes[prediction(freeze, picture)]}`),
    );
    fill(dialog.querySelector("table"), rows(
      ["class", ...variants],
      classes.map((name, label) => [
        element("span", { className: label === picture.actual ? "actual" : "" }, name, label === picture.actual ? element("span", { className: "interval" }, "actual") : ""),
        ...variants.map((variant) => {
          const share = probability(variant, picture.place, label);
          const most = prediction(variant, picture) === label;
          return element("span", { className: most ? "actual" : "" }, percent(share), bar(share, `var(--${variant})`));
        }),
      ]),
    ));
    dialog.showModal();
  }

  // ---- confusion matrix ------------------------------------------------------------------------------------------

  function confusion() {
    const chosen = find("matrix-variant");
    const table = find("matrix");
    let at = mostConfused(freeze); // the cell whose pictures are shown

    function counts(variant) {
      const cells = classes.map(() => classes.map(() => 0));
      labels.forEach((label, row) => cells[label][predicted[variant][row]]++);
      return cells;
    }

    function mostConfused(variant) {
      const cells = counts(variant).flatMap((line, actual) => line.map((number, label) => ({ number, actual, label })));
      const errors = cells.filter(({ actual, label }) => actual !== label);
      return errors.reduce((most, cell) => (cell.number > most.number ? cell : most));
    }

    function show() {
      const variant = chosen.value;
      const cells = counts(variant);
      const corner = element("td", {}, "predicted →", element("br"), "actual ↓");
      const head = element("tr", {}, corner, ...classes.map((name) => {
        const made = element("th", {}, name);
        made.setAttribute("scope", "col");
        return made;
      }));
      const body = cells.map((line, actual) => {
        const total = line.reduce((sum, number) => sum + number, 0);
        const name = element("th", {}, classes[actual]);
        name.setAttribute("scope", "row");
        return element("tr", {}, name, ...line.map((number, label) => {
          const button = element("button", { type: "button" }, number ? `${number}` : "");
          const right = actual === label;
          const depth = number ? (right ? 0.75 * number / total : Math.min(1, 0.08 + 1.5 * Math.sqrt(number / total))) : 0;
          button.style.setProperty("--hue", `var(--${right ? "hit" : "miss"})`);
          button.style.setProperty("--share-of-class", number ? depth.toFixed(3) : "0");
          button.classList.toggle("deep", depth > 0.6);
          button.dataset.cell = `${actual},${label}`;
          button.setAttribute("aria-label",
            `${classes[actual]} ${right ? "predicted right" : `taken for ${classes[label]}`}: ${number} of ${total}`);
          return element("td", {}, button);
        }));
      });
      fill(table, { head: [head], body });
      choose(at.actual, at.label);
    }

    const cell = (actual, label) => table.querySelector(`[data-cell="${actual},${label}"]`);

    function choose(actual, label) {
      const variant = chosen.value;
      at = { actual, label };
      for (const button of table.querySelectorAll("button")) {
        const here = button.dataset.cell === `${actual},${label}`;
        button.setAttribute("aria-pressed", here);
        button.tabIndex = here ? 0 : -1;
      }
      const inCell = (row) => labels[row] === actual && predicted[variant][row] === label;
      const total = labels.reduce((sum, _, row) => sum + inCell(row), 0);
      const here = pictures.filter(({ row }) => inCell(row))
        .sort((one, other) => sureness(variant, other) - sureness(variant, one));
      find("cell-title").textContent = actual === label
        ? `${classes[actual]}, right` : `${classes[actual]} taken for ${classes[label]}`;
      const shown = Math.min(here.length, CELL_TILES);
      find("cell-note").textContent = total
        ? `${count(total)} test images, ${count(here.length)} of them in this page` +
          (shown < here.length ? `; the ${shown} that ${variant} is most sure of` : here.length ? ", by confidence" : "")
        : `No test image: ${variant} never makes this mistake.`;
      find("cell-tiles").replaceChildren(...here.slice(0, CELL_TILES).map((picture) => tile(variant, picture, true)));
      find("cell-more").hidden = here.length <= CELL_TILES;
    }

    table.addEventListener("click", ({ target }) => {
      if (target.dataset.cell) choose(...target.dataset.cell.split(",").map(Number));
    });
    table.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move || !event.target.dataset.cell) return;
      event.preventDefault();
      const [actual, label] = event.target.dataset.cell.split(",").map(Number);
      const next = cell(actual + move[0], label + move[1]);
      if (!next) return;
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    find("cell-more").addEventListener("click", () => {
      find("filters").reset();
      find("by-variant").value = chosen.value;
      find("by-actual").value = at.actual;
      find("by-predicted").value = at.label;
      find("filters").dispatchEvent(new Event("change"));
      find("gallery").scrollIntoView();
      find("by-variant").focus({ preventScroll: true });
    });
    chosen.addEventListener("change", () => {
      at = mostConfused(chosen.value);
      show();
    });
    show();
  }

  // ---- gallery ---------------------------------------------------------------------------------------------------

  function gallery() {
    const filters = find("filters");
    const tiles = find("tiles");
    const value = (name) => find(`by-${name}`).value;
    let kept = [];

    function more() {
      const shown = tiles.childElementCount;
      tiles.append(...kept.slice(shown, shown + TILES).map((picture) => tile(value("variant"), picture, false)));
      const now = tiles.childElementCount;
      find("more").hidden = now === kept.length;
      find("gallery-count").textContent = kept.length
        ? `Showing ${count(now)} of ${count(kept.length)} pictures that match; this page has ${count(pictures.length)}.`
        : "No picture of this page matches. Loosen a filter.";
      return tiles.children[shown];
    }

    function show() {
      const variant = value("variant");
      const sure = (picture) => sureness(variant, picture);
      const least = Number(value("least")) / 100, most = Number(value("most")) / 100;
      kept = pictures.filter((picture) => {
        const label = prediction(variant, picture);
        return (
          ["", `${picture.actual}`].includes(value("actual")) &&
          ["", `${label}`].includes(value("predicted")) &&
          ["", label === picture.actual ? "right" : "wrong"].includes(value("outcome")) &&
          sure(picture) >= least && sure(picture) <= most
        );
      });
      if (value("order") !== "index") {
        const direction = value("order") === "most" ? -1 : 1;
        kept.sort((one, other) => direction * (sure(one) - sure(other)) || one.row - other.row);
      } else {
        kept.sort((one, other) => one.row - other.row);
      }
      tiles.replaceChildren();
      more();
    }

    filters.addEventListener("change", show);
    filters.addEventListener("submit", (event) => event.preventDefault());
    filters.addEventListener("reset", () => setTimeout(show));
    find("more").addEventListener("click", () => more().querySelector("button").focus());
    show();
  }

  // ---- page ------------------------------------------------------------------------------------------------------

  function theme() {
    const button = find("theme");
    const dark = () => {
      const set = document.documentElement.dataset.theme;
      return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    };
    const tell = () => { button.textContent = dark() ? "Light theme" : "Dark theme"; };
    button.addEventListener("click", () => {
      document.documentElement.dataset.theme = dark() ? "light" : "dark";
      tell();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
    button.hidden = false;
    tell();
  }

  function contents() {
    const links = [...document.querySelectorAll("nav a")];
    const watcher = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const link = links.find((one) => one.hash === `#${target.id}`);
        if (isIntersecting) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }, { rootMargin: "-20% 0px -75% 0px" });
    links.forEach((link) => watcher.observe(document.querySelector(link.hash)));
  }

  function printing() {
    const closed = () => [...document.querySelectorAll("details:not([open])")];
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = closed();
      opened.forEach((one) => { one.open = true; });
    });
    addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
  }

  document.documentElement.classList.add("scripted");
  theme();
  contents();
  printing();
  const ready = Promise.all([
    calibration(), robustness(), training(), unpackPictures().then(() => { confusion(); gallery(); }),
  ]);
  ready.then(() => { document.documentElement.dataset.ready = "true"; });
})();
