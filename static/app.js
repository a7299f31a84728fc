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

const toast = (message, kind) => {
  const box = document.createElement("div");
  box.className = `toast ${kind}`;
  box.innerHTML = `<svg class="icon" aria-hidden="true"><use href="#i-${kind === "good" ? "check" : "alert"}"/></svg><p></p>`;
  box.querySelector("p").textContent = message;
  document.getElementById("toasts").append(box);
  expire(box);
  // So that choosing the same file again, once it is mended, is a change.
  if (kind === "bad") document.querySelectorAll("input[type=file]").forEach((input) => (input.value = ""));
};
// A failure stays until it is read and clicked away.
const expire = (box) => {
  box.addEventListener("click", () => box.remove());
  if (box.classList.contains("good")) setTimeout(() => box.remove(), 6000);
};
document.addEventListener("toast", (event) => toast(event.detail.message, event.detail.kind));
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
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
  document.addEventListener(name, (event) => event.target.closest?.(".drop")?.classList.toggle("over", over));

// A server may hang up on what it will not take before the browser has heard why.
document.addEventListener("change", (event) => {
  const { files, dataset } = event.target;
  if (!dataset.max || !files?.length || files[0].size <= Number(dataset.max)) return;
  event.stopPropagation();
  toast("The file is larger than 64 MiB, which is the most an import takes. Nothing was changed.", "bad");
}, true);
