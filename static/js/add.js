// After a film was added the search is ready for the next: typing replaces what stands there.
document.addEventListener("added", () => {
  const search = document.querySelector("input[type=search]");
  search.focus({ preventScroll: true });
  search.select();
});

// What was said of the last film would lie over the form of the next one.
document.addEventListener("htmx:after:swap", () => {
  if (!document.querySelector("[data-picked]")) return;
  document.querySelectorAll("[data-toast=good]").forEach((toast) => toast.remove());
});
