// What every page needs: keys, sheets, forms that are sent once, and what is read out.
const TYPED_IN = "input:not([type=checkbox]), select, textarea";

// One key away wherever nothing is being typed; Esc leaves a field.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return document.activeElement?.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.key.length > 1) return;
  if (event.target.closest?.(TYPED_IN)) return;
  const named = document.querySelector(`[aria-keyshortcuts="${CSS.escape(event.key)}"]`);
  if (!named) return;
  event.preventDefault();
  if (named.matches("a")) named.click();
  else named.focus();
});

// A sheet is closed by Esc, before that means anything else, and by a click beside it.
document.addEventListener(
  "keydown",
  (event) => {
    const sheet = document.querySelector("[data-sheet][open]");
    if (event.key !== "Escape" || !sheet) return;
    event.stopImmediatePropagation();
    sheet.open = false;
    sheet.querySelector("summary").focus();
  },
  true,
);
document.addEventListener("click", ({ target }) => {
  for (const sheet of document.querySelectorAll("[data-sheet][open]"))
    if (!sheet.contains(target)) sheet.open = false;
});
// A menu closes when something is chosen; the focus stays where it was opened.
document.addEventListener("submit", ({ target }) => {
  const menu = target.closest(".sheet--menu");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// A form is sent once, however impatient the finger is, unless its answer is a file; the button's
// own value is on its way by then.
document.addEventListener("submit", ({ target }) => {
  if (target.matches("[hx-get], [hx-post], [data-again]")) return;
  const disable = (button) => (button.disabled = true);
  setTimeout(() => target.querySelectorAll("button").forEach(disable));
});

// Copies the field beside the button, on a page without https too, where there is no
// navigator.clipboard.
document.addEventListener("click", ({ target }) => {
  if (!target.matches("[data-copy]")) return;
  target.parentElement.querySelector("input").select();
  document.execCommand("copy");
  const detail = { message: "Copied.", kind: "good" };
  document.dispatchEvent(new CustomEvent("toast", { detail }));
});

// What a polled fragment says is read out when it changes, and not with each of its swaps.
const announce = () => {
  const live = document.getElementById("live");
  const said = [...document.querySelectorAll("[data-announce]")];
  const words = said.map((element) => element.dataset.announce).join(" ");
  if (live.textContent !== words) live.textContent = words;
};
document.addEventListener("htmx:after:swap", announce);
announce();
