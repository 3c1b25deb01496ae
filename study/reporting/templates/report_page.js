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

/* Says of everything that scrolls sideways that it does, and fades the sides that have more. */
function scrolling() {
  const tell = (area) => {
    const hidden = area.scrollWidth - area.clientWidth;
    area.classList.toggle("scrolls", hidden > 1);
    area.classList.toggle("more-left", area.scrollLeft > 1);
    area.classList.toggle("more-right", hidden - area.scrollLeft > 1);
  };
  const watcher = new ResizeObserver((entries) => entries.forEach(({ target }) => tell(target.closest(".scroll, nav ol, pre"))));
  for (const area of document.querySelectorAll(".scroll, nav ol, pre")) {
    for (const watched of [area, ...area.children]) watcher.observe(watched);
    area.addEventListener("scroll", () => tell(area), { passive: true });
  }
}

document.documentElement.classList.add("scripted");
theme();
contents();
printing();
scrolling();
const ready = Promise.all([
  results(), calibration(), withheld(), robustness(), everyCorruption(), adversarial(), training(), explorer(),
  unpackPictures().then(() => { confusion(); gallery(); }),
]);
ready.then(() => { document.documentElement.dataset.ready = "true"; });
