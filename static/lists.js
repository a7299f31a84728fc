// Lists are dragged by their grip; buttons and the keyboard do the same without this file.
let dragged = null;

const rows = () => [...document.querySelectorAll("#lists li")];
const order = () => JSON.stringify(rows().map((row) => row.querySelector("[name=id]").value));
let before = "";

document.addEventListener("pointerdown", (event) => {
  const grip = event.target.closest(".grip");
  if (!grip || event.button) return;
  dragged = grip.closest("li");
  before = order();
  dragged.classList.add("dragged");
  event.preventDefault();
});
document.addEventListener("pointermove", (event) => {
  if (!dragged) return;
  const after = rows().find((row) => row !== dragged && event.clientY < middle(row) && follows(row));
  const over = after || rows().findLast((row) => row !== dragged && event.clientY > middle(row) && !follows(row));
  if (over) over[after ? "before" : "after"](dragged);
});
const middle = (row) => row.getBoundingClientRect().top + row.offsetHeight / 2;
// Whether the row stands above the one that is dragged, which then goes before it.
const follows = (row) => row.compareDocumentPosition(dragged) & Node.DOCUMENT_POSITION_FOLLOWING;

for (const name of ["pointerup", "pointercancel"])
  document.addEventListener(name, () => {
    if (!dragged) return;
    dragged.classList.remove("dragged");
    dragged = null;
    if (order() !== before) document.getElementById("order").dispatchEvent(new Event("reorder"));
  });
