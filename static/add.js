// After a film was added the search is ready for the next: typing replaces what stands there.
document.addEventListener("added", () => {
  const search = document.querySelector(".seek input");
  search.focus({ preventScroll: true });
  search.select();
});
// What was said of the last film would lie over the form of the next one.
document.addEventListener("htmx:after:swap", () => {
  if (document.querySelector(".find.open")) document.querySelectorAll(".toast.good").forEach((box) => box.remove());
});
