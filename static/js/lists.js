// Rows are dragged by their grip; buttons and the keyboard do the same without this file.
let dragged = null;
let before = "";

const rows = () => [...document.querySelectorAll("[data-sortable]")];
const order = () => rows().map((row) => row.id).join();
const middle = (row) => row.getBoundingClientRect().top + row.offsetHeight / 2;
// Whether the row stands above the one that is dragged, which then goes before it.
const isAbove = (row) => row.compareDocumentPosition(dragged) & Node.DOCUMENT_POSITION_FOLLOWING;

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest("[data-grip]");
  if (!grip || event.button) return;
  dragged = grip.closest("[data-sortable]");
  before = order();
  dragged.classList.add("list-row--dragged");
  dragged.dataset.dragged = "";
  event.preventDefault();
});

document.addEventListener("pointermove", ({ clientY }) => {
  if (!dragged) return;
  const others = rows().filter((row) => row !== dragged);
  const above = others.find((row) => isAbove(row) && clientY < middle(row));
  const below = others.findLast((row) => !isAbove(row) && clientY > middle(row));
  if (above) above.before(dragged);
  else if (below) below.after(dragged);
});

const drop = () => {
  if (!dragged) return;
  dragged.classList.remove("list-row--dragged");
  delete dragged.dataset.dragged;
  dragged = null;
  if (order() === before) return;
  document.querySelector("[data-order]").dispatchEvent(new Event("reorder"));
};
document.addEventListener("pointerup", drop);
document.addEventListener("pointercancel", drop);
