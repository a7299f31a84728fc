// After a film was added the search is ready for the next: typing replaces what stands there.
document.addEventListener("added", () => {
  const search = document.querySelector(".seek input");
  search.focus({ preventScroll: true });
  search.select();
});
