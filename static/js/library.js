// The library's own keys, the choice of several films, and a film beside the grid on a wide screen.
const REDRAWN_AT_ONCE = 8;
const wide = matchMedia("(min-width: 75rem)");
const one = (selector) => document.querySelector(selector);
const library = () => one("[data-library]");
const shelf = () => one("[data-shelf]");
const panel = () => one("[data-panel]");
const openFilm = () => one("[data-panel] [data-film]");
const cards = () => [...document.querySelectorAll("[data-card]")];
const cardOf = (id) => document.getElementById(`c-${id}`);
const boxes = () => document.querySelectorAll("[name=film]");
const chosen = () => document.querySelectorAll("[name=film]:checked");

// What the style sheet is to know of the page. It could look for it by itself, with :has(), and
// would do so again for each of thousands of cards that come in.
const arrange = () => {
  // Going forward in the history may have put a film's page in its place.
  if (!library()) return;
  const number = chosen().length;
  const states = {
    "library--selecting": one("[data-selecting]")?.checked,
    "library--has-selection": number > 0,
    "library--with-film": openFilm(),
  };
  for (const [name, is] of Object.entries(states)) library().classList.toggle(name, Boolean(is));
  one("[data-count]").textContent = `${number} ${number === 1 ? "film" : "films"} selected`;
  one("[data-all]").hidden = false;
};

// A phone follows the link to the film's page: htmx must not see the click.
document.addEventListener(
  "click",
  (event) => {
    if (event.target.closest?.("[data-card] > a") && !wide.matches) event.stopPropagation();
    if (event.target.closest?.("[data-close]") && close()) event.preventDefault();
    if (!event.target.closest?.("[data-all]")) return;
    boxes().forEach((box) => (box.checked = true));
    arrange();
  },
  true,
);

// Empties the place beside the grid; false where there is none.
const close = () => {
  const film = openFilm();
  if (!film) return false;
  panel().replaceChildren();
  arrange();
  history.replaceState(history.state, "", shelf().dataset.address);
  cardOf(film.dataset.film)?.querySelector("a").focus();
  return true;
};

// What is chosen is not a filter: its changes stay out of the search form around the grid.
const keepOut = (event) => {
  const view = event.target.closest("[data-view]");
  if (view && event.target.form === view) return;
  if (view) event.stopPropagation();
  arrange();
};
document.addEventListener("change", keepOut, true);
document.addEventListener("input", keepOut, true);
document.addEventListener("reset", () => setTimeout(arrange));

// A film that was changed, or got its details, is drawn anew where it stands; the grid keeps its
// place.
const redraw = (id, only = "") => {
  const card = cardOf(id);
  if (!card) return;
  const query = new URL(shelf().dataset.address, location).search;
  // Each is its own source: of several requests from one, htmx sends the first two.
  const swap = card.querySelector(":checked") ? "outerMorph" : "outerHTML";
  const options = { source: card, target: card, swap, push: "false" };
  htmx.ajax("GET", card.dataset.card + query + only, options);
};
document.addEventListener("film", () => openFilm() && redraw(openFilm().dataset.film));

// A film whose rating was changed may stand in the next page again: it stays where it is.
const dropRepeated = () => {
  const ids = new Set();
  for (const card of cards()) {
    if (ids.has(card.id)) card.remove();
    ids.add(card.id);
  }
};

const isSeen = (card) => {
  const { top, bottom } = card.getBoundingClientRect();
  return top < innerHeight && bottom > 0;
};
const isInUse = (card) => card.matches(":focus-within") || card.querySelector(":checked");
const redrawStubs = () => {
  const stubs = [...document.querySelectorAll("[data-stub]")];
  const shown = stubs.filter((card) => isSeen(card) && !isInUse(card));
  for (const card of shown.slice(0, REDRAWN_AT_ONCE)) {
    redraw(card.id.slice(2), `&waiting=${card.dataset.stub}`);
  }
};
document.addEventListener("htmx:after:swap", ({ target, detail }) => {
  const swapped = detail.ctx?.target;
  dropRepeated();
  arrange();
  if (target.id === "enrichment" || swapped?.id === "enrichment") redrawStubs();
  if (!swapped?.matches("[data-panel]")) return;
  panel().focus({ preventScroll: true });
  // The grid has become narrower, and its rows have moved.
  if (openFilm()) cardOf(openFilm().dataset.film)?.scrollIntoView({ block: "nearest" });
});

const STEPS = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: (row) => -row,
  ArrowDown: (row) => row,
};
const move = (event) => {
  const all = cards();
  const focused = document.activeElement;
  const at = all.findIndex((card) => card.firstElementChild === focused);
  const row = Math.max(1, all.findIndex((card) => card.offsetTop > all[0].offsetTop));
  const target = at < 0 ? all[0] : all[at + STEPS[event.key](row)];
  if (!target || (at < 0 && !focused.matches("[type=search], body, main"))) return;
  event.preventDefault();
  target.firstElementChild.focus();
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input:not([type=checkbox]), select, textarea");
  const leavesSearch = event.target.matches("[type=search]") && event.key === "ArrowDown";
  if (event.key === "Escape" && !close() && chosen().length) one("[data-chosen]").reset();
  else if (event.key in STEPS && (!isTyping || leavesSearch)) move(event);
});

// Another tab or device changed films while this grid is in use: what it shows of them is drawn
// anew, and the rest is offered, where the shelf itself has changed.
document.addEventListener("stale", async (event) => {
  if (event.target !== shelf()) return;
  const { films, all } = event.detail;
  event.preventDefault();
  const shown = [...films].filter(cardOf);
  for (const id of shown.slice(0, REDRAWN_AT_ONCE)) redraw(id);
  const size = () => one("[data-tabs] [aria-current] span")?.textContent;
  const before = size();
  const tabs = one("[data-tabs]");
  const options = { source: tabs, target: tabs, swap: "outerMorph", push: "false" };
  if (tabs) await htmx.ajax("GET", tabs.getAttribute("hx-get"), options);
  if (all || shown.length > REDRAWN_AT_ONCE || size() !== before)
    document.dispatchEvent(new Event("offer"));
});

arrange();
