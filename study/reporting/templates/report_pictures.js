// ---- pictures --------------------------------------------------------------------------------------------------

const size = data.gallery.size;
let sheet; // the pixels of every picture

async function unpackPictures() {
  sheet = await unpacked(data.gallery.sprite);
}

/* What getImageData reads the pixels of the data URL from. */
async function unpacked(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = element("canvas", { width: image.width, height: image.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context;
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
  const made = element("canvas", { width: image.width, height: image.height });
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

/* The most probable classes of a variant as bars. */
function bars(variant, picture, most) {
  const ranked = classes.map((_, label) => label)
    .sort((one, other) => probability(variant, picture.place, other) - probability(variant, picture.place, one));
  return element("ol", { className: "bars" }, ...ranked.slice(0, most).map((label) => {
    const share = probability(variant, picture.place, label);
    const name = element("span", { className: label === picture.actual ? "actual" : "", title: classes[label] }, classes[label]);
    return element("li", {}, name, bar(share, seriesColour(variant)), element("span", {}, percent(share)));
  }));
}

/* A picture, its map, and the answers of these variants. */
function tile(shown, picture) {
  const several = shown.length > 1;
  return element("li", {}, opener(picture), ...shown.flatMap((variant) => [
    element("p", {}, ...(several ? [element("code", {}, variant), ": "] : []), ...verdict(variant, picture)),
    bars(variant, picture, several ? 2 : 3),
  ]));
}

function opener(picture) {
  const button = element("button", { type: "button" }, photograph(picture), camOf(picture));
  button.addEventListener("click", () => enlarge(picture));
  return button;
}

/* A line per class with the probability that each variant gives it; the one that a variant predicts is bold. */
function probabilityRows(shown, actual, share) {
  const likeliest = Object.fromEntries(variants.map((variant) => [
    variant, classes.reduce((most, _, label) => (share(variant, label) > share(variant, most) ? label : most), 0),
  ]));
  return rows(["class", ...variants.map((variant) => element("code", {}, variant))], shown.map((label) => [
    element("span", { className: label === actual ? "actual" : "" }, classes[label],
      label === actual ? element("span", { className: "interval" }, "actual") : ""),
    ...variants.map((variant) => element("span", { className: likeliest[variant] === label ? "actual" : "" },
      percent(share(variant, label)), bar(share(variant, label), seriesColour(variant)))),
  ]));
}

function enlarge(picture) {
  const dialog = find("picture");
  find("picture-title").textContent = `Test image ${picture.row}: ${classes[picture.actual]}`;
  const figure = (content, text) => element("figure", {}, content, element("figcaption", {}, text));
  dialog.querySelector(".large").replaceChildren(
    figure(photograph(picture), `The picture at ${size} pixels a side`),
    figure(camOf(picture), `Where ${freeze} found evidence for ${classes[prediction(freeze, picture)]}`),
  );
  fill(dialog.querySelector("table"), probabilityRows(
    classes.map((_, label) => label), picture.actual, (variant, label) => probability(variant, picture.place, label)));
  dialog.showModal();
}

// ---- pictures to corrupt ---------------------------------------------------------------------------------------

async function explorer() {
  const { conditions, labels: actual, sprites, columns, size: side, probabilities: packed } = data.explorer;
  const group = find("explored");
  const [corruption, severity] = [find("explored-corruption"), find("explored-severity")];
  const shares = Object.fromEntries(variants.map((variant) => [variant, new Uint16Array(bytes(packed[variant]).buffer)]));
  const sheets = await Promise.all(sprites.map(unpacked));
  let chosen = 0;

  const look = (picture, condition) =>
    sheets[picture].getImageData((condition % columns) * side, Math.floor(condition / columns) * side, side, side);
  const share = (picture, condition) => (variant, label) =>
    shares[variant][(picture * conditions.length + condition) * classes.length + label] / 65535;

  /* The classes to list, which stay while the severity moves: of many, those that some variant once finds likeliest. */
  function listed(picture) {
    const most = classes.map((_, label) => Math.max(...variants.flatMap((variant) =>
      conditions.map((_, condition) => share(picture, condition)(variant, label)))));
    const likely = classes.map((_, label) => label).filter((label) => label !== actual[picture])
      .sort((one, other) => most[other] - most[one]).slice(0, CLASSES_LISTED - 1);
    return [actual[picture], ...likely].sort((one, other) => one - other);
  }
  const lists = actual.map((_, picture) => listed(picture));

  function show() {
    const strength = Number(severity.value);
    const condition = conditions.findIndex(([name, level]) => level === strength && (strength === 0 || name === corruption.value));
    const name = classes[actual[chosen]];
    const shown = strength ? `${words(corruption.value)}, severity ${strength}` : "no corruption";
    const of = share(chosen, condition);
    const likeliest = (variant) => classes.reduce((most, _, label) => (of(variant, label) > of(variant, most) ? label : most), 0);
    find("explored-shown").value = strength || "none";
    severity.setAttribute("aria-valuetext", shown);
    [...group.children].forEach((button, picture) => button.setAttribute("aria-pressed", picture === chosen));
    find("explored-picture").replaceChildren(
      element("figure", {}, canvas(look(chosen, 0), `${name}, clean`), element("figcaption", {}, `${name}, clean`)),
      element("figure", {}, canvas(look(chosen, condition), `${name}, ${shown}`), element("figcaption", {}, shown)),
    );
    const right = variants.filter((variant) => likeliest(variant) === actual[chosen]);
    find("explored-verdict").textContent =
      right.length === variants.length ? `All ${right.length} are right.` : `Right: ${right.join(", ") || `none of the ${variants.length}`}.`;
    fill(find("explored-table"), probabilityRows(lists[chosen], actual[chosen], of));
  }

  group.append(...actual.map((label, picture) => {
    const button = element("button", { type: "button" }, canvas(look(picture, 0), ""), classes[label]);
    button.addEventListener("click", () => {
      chosen = picture;
      show();
    });
    return button;
  }));
  corruption.addEventListener("change", () => {
    if (severity.value === "0") severity.value = 3;
    show();
  });
  severity.addEventListener("input", show);
  show();
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
    find("cell-tiles").replaceChildren(...here.slice(0, CELL_TILES).map((picture) =>
      element("li", {}, opener(picture), element("p", { className: "note" }, percent(sureness(variant, picture))))));
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
    const both = [value("variant"), value("second")].filter(Boolean);
    tiles.append(...kept.slice(shown, shown + TILES).map((picture) => tile(both, picture)));
    const now = tiles.childElementCount;
    find("more").hidden = now === kept.length;
    find("gallery-count").textContent = kept.length
      ? `Showing ${count(now)} of ${count(kept.length)} pictures that match; this page has ${count(pictures.length)}.`
      : "No picture of this page matches. Loosen a filter.";
    if (value("second")) find("gallery-count").append(alone());
    return tiles.children[shown];
  }

  const right = (variant, picture) => prediction(variant, picture) === picture.actual;
  const outcomes = {
    "": () => true,
    right: (picture) => right(value("variant"), picture),
    wrong: (picture) => !right(value("variant"), picture),
    one: (picture) => right(value("variant"), picture) !== right(value("second"), picture),
  };

  /* On how many of all test images one of the two is right alone. */
  function alone() {
    const [first, second] = [value("variant"), value("second")];
    const only = (one, other) => labels.reduce(
      (sum, label, row) => sum + (predicted[one][row] === label && predicted[other][row] !== label), 0);
    return ` Of all ${count(labels.length)} test images only ${first} is right on ${count(only(first, second))}, ` +
      `only ${second} on ${count(only(second, first))}.`;
  }

  function show() {
    const variant = value("variant");
    if (value("second") === variant || (value("outcome") === "one" && !value("second"))) {
      find("by-second").value = value("outcome") === "one" ? variants.find((other) => other !== variant) : "";
    }
    const sure = (picture) => sureness(variant, picture);
    const least = Number(value("least")) / 100, most = Number(value("most")) / 100;
    kept = pictures.filter((picture) => {
      const label = prediction(variant, picture);
      return (
        ["", `${picture.actual}`].includes(value("actual")) &&
        ["", `${label}`].includes(value("predicted")) &&
        outcomes[value("outcome")](picture) &&
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
