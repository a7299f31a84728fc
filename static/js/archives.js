// An archive that was just made is downloaded by itself, once: not again after a reload.
const download = () => {
  const link = document.querySelector("[data-download]");
  const key = `downloaded ${link?.dataset.download}`;
  if (!link || sessionStorage.getItem(key)) return;
  sessionStorage.setItem(key, "1");
  link.click();
};
document.addEventListener("htmx:after:swap", download);
download();
