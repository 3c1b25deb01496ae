const data = JSON.parse(document.getElementById("data").textContent);
const { variants, classes, freeze } = data;
const find = (id) => document.getElementById(id);
const TILES = 24; // pictures shown at once, and more at each "Show more"
const CELL_TILES = 12;
const CLASSES_LISTED = 10; // of a picture to corrupt
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
const seriesColour = (variant) => `var(--series-${variants.indexOf(variant) % data.colours})`; // of the style sheet
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
