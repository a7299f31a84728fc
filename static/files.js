// Choosing and dropping files.
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
  document.addEventListener(name, (event) => event.target.closest?.(".drop")?.classList.toggle("over", over));

// A server may hang up on what it will not take before the browser has heard why.
document.addEventListener("change", (event) => {
  const { files, dataset } = event.target;
  if (!dataset.max || !files?.length || files[0].size <= Number(dataset.max)) return;
  event.stopPropagation();
  const message = "The file is larger than 64 MiB, which is the most an import takes. Nothing was changed.";
  document.dispatchEvent(new CustomEvent("toast", { detail: { message, kind: "bad" } }));
}, true);

// So that choosing the same file again, once it is mended, is a change.
document.addEventListener("toast", ({ detail }) => {
  if (detail.kind === "bad") document.querySelectorAll("input[type=file]").forEach((input) => (input.value = ""));
});
