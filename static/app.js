// htmx from its CDN, or the copy beside this file when the CDN does not answer: many of these servers have no route out.
const useLocalCopy = () => {
  const tag = document.querySelector("script[data-local]");
  if (window.htmx || !tag) return;
  new Document().adoptNode(tag); // remove() would let a late answer start a second htmx
  const copy = document.createElement("script");
  copy.src = tag.dataset.local;
  document.head.append(copy);
};
addEventListener("error", (event) => event.target.matches?.("script[data-local]") && useLocalCopy(), true);
setTimeout(useLocalCopy, 3000);
const toast = (message, kind, { undo, link } = {}) => {
  const box = document.createElement("div");
  box.className = `toast ${kind}`;
  box.innerHTML = `<svg class="icon" aria-hidden="true"><use href="#i-${kind === "good" ? "check" : "alert"}"/></svg><p></p>
    ${link ? "<a>Open</a>" : ""}${undo ? '<form method="post"><button>Undo</button></form>' : ""}`;
  box.querySelector("p").textContent = message;
  box.querySelector("a")?.setAttribute("href", link);
  box.querySelector("form")?.setAttribute("action", undo);
  document.querySelectorAll(".toast.good").forEach((old) => old.remove());
  document.getElementById("toasts").append(box);
  expire(box);
};
// A failure stays until it is read and clicked away; what can be undone stays longer, and while a pointer or the focus is on it.
const expire = (box) => {
  box.addEventListener("click", (event) => event.target.closest("form, a") || box.remove());
  const leave = () => (box.matches(":hover, :focus-within") ? setTimeout(leave, 2000) : box.remove());
  if (box.classList.contains("good")) setTimeout(leave, box.querySelector("form") ? 15000 : 6000);
};
document.addEventListener("toast", ({ detail }) => toast(detail.message, detail.kind, detail));
document.addEventListener("htmx:error", (event) => {
  if (!event.target.matches?.("[hx-trigger^=every]")) toast("The server did not answer. Nothing was changed; try again.", "bad");
});
document.addEventListener("htmx:response:error", (event) => {
  const { raw } = event.detail.ctx.response;
  if (!raw.headers.has("HX-Reswap") && !raw.headers.has("HX-Redirect") && raw.status >= 500) toast(`The server answered with an error (${raw.status}).`, "bad");
});
// What a polled fragment says is read out when it changes, and not with each of its swaps.
const announce = () => {
  const live = document.getElementById("live");
  const words = [...document.querySelectorAll("[data-announce]")].map((element) => element.dataset.announce).join(" ");
  if (live.textContent !== words) live.textContent = words;
};
document.addEventListener("htmx:after:swap", announce);
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".toast").forEach(expire);
  announce();
});
// One key away wherever nothing is being typed; Esc leaves a field.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return document.activeElement?.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input:not([type=checkbox]), select, textarea")) return;
  const found = document.querySelector({ "/": "input[type=search]", a: ".places a[href='/add']" }[event.key] || "none");
  if (found) event.preventDefault(), found.matches("a") ? found.click() : found.focus();
});
// A form is sent once, however impatient the finger is; the button's own value is on its way by then.
document.addEventListener("submit", ({ target }) => {
  if (!target.matches("[hx-post]")) setTimeout(() => target.querySelectorAll("button").forEach((button) => (button.disabled = true)));
});
