// What just happened: it came with the page, with an answer to htmx, or from another script.
const AT_ONCE = 3;
const GOOD_MS = 6000;
// What can be undone stays longer.
const UNDO_MS = 15000;
const HELD_MS = 2000;

const show = ({ message, kind, undo, link }) => {
  const stack = document.getElementById("toasts");
  const template = document.getElementById(kind === "good" ? "toast-good" : "toast-bad");
  const box = template.content.firstElementChild.cloneNode(true);
  box.querySelector("p").textContent = message;
  fill(box.querySelector("a"), "href", link);
  fill(box.querySelector("form"), "action", undo);
  stack.append(box);
  while (stack.children.length > AT_ONCE) {
    const older = [...stack.children].slice(0, -1);
    (older.find((toast) => toast.dataset.toast === "good") ?? older[0]).remove();
  }
  expire(box);
};

const fill = (element, attribute, address) => {
  if (address) element.setAttribute(attribute, address);
  else element.remove();
};

// A failure stays until it is read and clicked away. The others leave by themselves, but not from
// under a pointer or the focus.
const expire = (box) => {
  box.addEventListener("click", ({ target }) => target.closest("form, a") || box.remove());
  const leave = () => {
    if (box.matches(":hover, :focus-within")) setTimeout(leave, HELD_MS);
    else box.remove();
  };
  const stays = box.querySelector("form") ? UNDO_MS : GOOD_MS;
  if (box.dataset.toast === "good") setTimeout(leave, stays);
};

document.addEventListener("toast", ({ detail }) => show(detail));

document.addEventListener("htmx:error", ({ target }) => {
  if (target.matches?.("[hx-trigger^=every]")) return;
  const message = "The server did not answer. Nothing was changed; try again.";
  show({ message, kind: "bad" });
});

document.addEventListener("htmx:response:error", ({ detail }) => {
  const { headers, status } = detail.ctx.response.raw;
  if (headers.has("HX-Reswap") || headers.has("HX-Redirect") || status < 500) return;
  show({ message: `The server answered with an error (${status}).`, kind: "bad" });
});

document.querySelectorAll("[data-toast]").forEach(expire);
