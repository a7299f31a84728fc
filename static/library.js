// The library's own keys, the choice of several films, and a film beside the grid on a wide screen.
const wide = matchMedia("(min-width: 75rem)");
const one = (selector) => document.querySelector(selector);
const links = () => [...document.querySelectorAll(".film a")];
const chosen = () => document.querySelectorAll("[name=film]:checked");

// A phone follows the link to the film's page: htmx must not see the click.
document.addEventListener("click", (event) => {
  if (event.target.closest?.(".film a") && !wide.matches) event.stopPropagation();
  if (event.target.closest?.("[data-close]") && close()) event.preventDefault();
  if (event.target.closest?.("[data-all]")) {
    document.querySelectorAll("[name=film]").forEach((box) => (box.checked = true));
    count();
  }
}, true);

// Empties the place beside the grid; false where there is none.
const close = () => {
  const film = one("#film #movie");
  if (!film) return false;
  one("#film").replaceChildren();
  history.replaceState(history.state, "", one("#browse").dataset.address);
  one(`#c-${film.dataset.film} a`)?.focus();
  return true;
};

// What is chosen is not a filter: its changes stay out of the search form around the grid.
for (const name of ["change", "input"])
  document.addEventListener(name, (event) => {
    if (event.target.form?.id === "view") return;
    event.stopPropagation();
    count();
  }, true);
document.addEventListener("reset", () => setTimeout(count));
const count = () => {
  const number = chosen().length;
  one("[data-count]").textContent = `${number} ${number === 1 ? "film" : "films"} selected`;
};
document.addEventListener("DOMContentLoaded", () => (one("[data-all]").hidden = false));

// A film that was changed, or got its details, is drawn anew where it stands; the grid keeps its place.
const redraw = (id, only = "") => {
  const card = document.getElementById(`c-${id}`);
  const query = new URL(one("#browse").dataset.address, location).search;
  // Each is its own source: of several requests from one, htmx sends the first two.
  const swap = card?.matches(":has(:checked)") ? "outerMorph" : "outerHTML";
  if (card) htmx.ajax("GET", `/movies/${id}/card${query}${only}`, { source: card, target: card, swap, push: "false" });
};
document.addEventListener("film", () => one("#movie") && redraw(one("#movie").dataset.film));
// A film whose rating was changed may stand in the next page again: it stays where it is.
const dropRepeated = () => {
  const ids = new Set();
  for (const card of document.querySelectorAll(".film"))
    ids.has(card.id) ? card.remove() : ids.add(card.id);
};
const isSeen = (card) => card.getBoundingClientRect().top < innerHeight && card.getBoundingClientRect().bottom > 0;
const isInUse = (card) => card.matches(":focus-within, :has(:checked)");
document.addEventListener("htmx:after:swap", (event) => {
  dropRepeated();
  if (event.target.id === "enrichment" || event.detail.ctx?.target?.id === "enrichment")
    [...document.querySelectorAll(".film[data-stub]")].filter((card) => isSeen(card) && !isInUse(card)).slice(0, 8).forEach((card) => redraw(card.id.slice(2), "&waiting=1"));
  if (event.detail.ctx?.target?.id !== "film") return;
  one("#film").focus({ preventScroll: true });
  // The grid has become narrower, and its rows have moved.
  one(`#c-${one("#movie")?.dataset.film}`)?.scrollIntoView({ block: "nearest" });
});

const steps = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: (row) => -row, ArrowDown: (row) => row };
const move = (event) => {
  const cards = links();
  const at = cards.indexOf(document.activeElement);
  const row = Math.max(1, cards.findIndex((card) => card.offsetTop > cards[0].offsetTop));
  const target = at < 0 ? cards[0] : cards[at + steps[event.key](row)];
  if (!target || (at < 0 && !document.activeElement.matches("#q, body, main"))) return;
  event.preventDefault();
  target.focus();
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && !close() && chosen().length) one("#chosen").reset();
  else if (event.key in steps && (!typing || (event.target.id === "q" && event.key === "ArrowDown"))) move(event);
});

// Another tab or device changed films while this grid is in use: what it shows of them is drawn anew,
// and the rest is offered, where the shelf itself has changed.
document.addEventListener("stale", async (event) => {
  if (event.target.id !== "browse") return;
  const { films, all } = event.detail;
  event.preventDefault();
  const shown = [...films].filter((id) => document.getElementById(`c-${id}`));
  shown.slice(0, 8).forEach((id) => redraw(id));
  const size = () => one("#tabs [aria-current] span")?.textContent;
  const before = size();
  const tabs = one("#tabs");
  if (tabs) await htmx.ajax("GET", tabs.getAttribute("hx-get"), { source: tabs, target: tabs, swap: "outerMorph", push: "false" });
  if (all || shown.length > 8 || size() !== before) document.dispatchEvent(new Event("offer"));
});
