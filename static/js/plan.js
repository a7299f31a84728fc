// The page of a plan: its groups are fetched when they are opened, and stay open when it is drawn
// anew.
document.addEventListener(
  "toggle",
  ({ target }) => {
    if (!target.matches("[data-group]")) return;
    for (const input of target.querySelectorAll("[name=open]")) input.disabled = !target.open;
  },
  true,
);

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-opens]");
  const group = link && document.getElementById(link.dataset.opens);
  if (!group) return;
  event.preventDefault();
  group.open = true;
  group.scrollIntoView({ block: "start" });
  group.querySelector("summary").focus({ preventScroll: true });
});

// Enter in a field means its value, and not the button that the browser would press.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches(".plan-row__fix input")) return;
  event.preventDefault();
  event.target.dispatchEvent(new Event("change", { bubbles: true }));
});
