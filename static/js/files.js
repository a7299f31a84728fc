// Choosing and dropping files, and what goes into one.
const marksTheField = (name, isOver) =>
  document.addEventListener(name, ({ target }) =>
    target.closest?.("[data-drop]")?.classList.toggle("file-drop--over", isOver),
  );
marksTheField("dragover", true);
marksTheField("dragleave", false);
marksTheField("drop", false);

// A server may hang up on what it will not take before the browser has heard why.
document.addEventListener(
  "change",
  (event) => {
    const { files, dataset, form } = event.target;
    if (!dataset.max || !files?.length || files[0].size <= Number(dataset.max)) return;
    event.stopPropagation();
    const problem = form.querySelector("[data-problem]");
    problem.querySelector("[data-words]").textContent = dataset.tooLarge;
    problem.hidden = false;
    event.target.value = "";
  },
  true,
);

// So that choosing the same file again, once it is mended, is a change.
document.addEventListener("toast", ({ detail }) => {
  if (detail.kind !== "bad") return;
  document.querySelectorAll("input[type=file]").forEach((input) => (input.value = ""));
});

// "Select All" ticks them all, until one is taken off again.
document.addEventListener("change", ({ target }) => {
  const all = target.form?.querySelector("[data-all]");
  if (!all) return;
  const boxes = [...target.form.querySelectorAll("[name=ids]")];
  if (target === all) boxes.forEach((box) => (box.checked = all.checked));
  else if (!target.checked) all.checked = false;
});
