// What another tab or device changed is fetched again, but for a part that somebody is working in.
// Where no connection can be had, a reload shows it all the same.
const RETRY_SECONDS = [2, 5, 15, 300];
// So long after a change of this tab's own, the news of it may still come.
const OWN_MS = 3000;
const own = new Map();
const later = new Set();
let version = document.body.dataset.version;
let connection, news, timer;

// Kept from page to page: each failure is a line in the browser's console.
const stored = () => JSON.parse(sessionStorage.getItem("live") || '{"failures":0,"until":0}');
const store = (failures, until) => sessionStorage.setItem("live", JSON.stringify({ failures, until }));
const connect = () => {
  clearTimeout(timer);
  if (document.hidden || connection) return;
  const wait = stored().until - Date.now();
  if (wait > 0) return (timer = setTimeout(connect, wait));
  connection = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws/sync?since=${version}`);
  connection.addEventListener("open", () => store(0, 0));
  connection.addEventListener("message", ({ data }) => hear(JSON.parse(data)));
  connection.addEventListener("close", () => {
    connection = undefined;
    if (document.hidden || timer === "left") return;
    const { failures } = stored();
    store(failures + 1, Date.now() + 1000 * RETRY_SECONDS[Math.min(failures, RETRY_SECONDS.length - 1)]);
    connect();
  });
};
// A tab that nobody looks at gives its connection to one that somebody does.
document.addEventListener("visibilitychange", () => (document.hidden ? connection?.close() : connect()));
addEventListener("pagehide", () => {
  timer = "left";
  connection?.close();
});
addEventListener("pageshow", ({ persisted }) => persisted && ((timer = 0), connect()));

const note = ({ detail: { ctx } }) => {
  const [film] = /tt\d+/.exec(ctx.request.action) || ["other"];
  if (ctx.request.method === "POST") own.set(film, Date.now());
};
const isOwn = (what) => Date.now() - own.get(what) < OWN_MS;
for (const name of ["htmx:before:request", "htmx:after:request"]) document.addEventListener(name, note);

const hear = (event) => {
  version = event.version;
  if (!event.imdb_ids && isOwn("other")) return;
  if (!news) setTimeout(tell, 100);
  news ??= { films: new Set(), gone: new Set(), all: false };
  if (event.imdb_ids?.length === 0) news.all = true;
  for (const id of event.imdb_ids || []) {
    if (isOwn(id)) continue;
    news.films.add(id);
    if (event.type === "movieDeleted") news.gone.add(id);
  }
};
const tell = () => {
  if (!window.htmx) return setTimeout(tell, 500);
  const heard = news;
  news = undefined;
  for (const part of document.querySelectorAll("[data-live]")) {
    const { film, live } = part.dataset;
    if (heard.gone.has(film)) part.querySelector("[data-gone]").hidden = false;
    else if (film ? !heard.all && !heard.films.has(film) : live === "films" && !heard.all && !heard.films.size) continue;
    else if (part.matches("[data-grows]") && (isInUse(part) || scrollY > innerHeight / 2)) {
      if (part.dispatchEvent(new CustomEvent("stale", { bubbles: true, cancelable: true, detail: heard }))) offer();
    } else if (isInUse(part)) later.add(part.id);
    else renew(part);
  }
};

// An open <details> with its form is left as it is by the morph itself.
const isInUse = (part) =>
  (part.closest("form") || part).querySelector(":focus-visible, .dragged, [name=film]:checked") ||
  [...part.querySelectorAll("input:not([type=checkbox], [type=radio])")].some((input) => input.value !== input.defaultValue && !input.closest("details"));
const renew = (part, asked = false) => {
  htmx.config.morphSkip = "details[open]";
  const filters = part.querySelector(".filters") ? "&filters=1" : "";
  const select = part.id === "main" ? "#main" : undefined;
  return htmx.ajax("GET", part.dataset.address + filters, { source: part, target: part, select, swap: "outerMorph", push: "false", live: !asked });
};
// Somebody may have begun to work in it while it was on its way.
document.addEventListener("htmx:before:swap", (event) => {
  const { live, target } = event.detail.ctx;
  if (!live || !isInUse(target)) return;
  event.preventDefault();
  if (target.matches("[data-grows]")) offer();
  else later.add(target.id);
});
document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  later.delete(ctx?.target?.id);
  if (ctx?.target?.matches?.("[data-grows]")) notice().replaceChildren();
});
const catchUp = () => {
  for (const part of [...later].map((id) => document.getElementById(id)))
    if (part && !isInUse(part)) renew(part);
};
for (const name of ["focusout", "pointerup"]) document.addEventListener(name, () => setTimeout(catchUp, 300));

const notice = () => document.getElementById("elsewhere");
const offer = () => {
  if (!notice().firstChild) notice().innerHTML = '<span>Your library changed elsewhere</span> <button class="small secondary" type="button">Show</button>';
};
document.addEventListener("offer", offer);
notice()?.addEventListener("click", async (event) => {
  if (!event.target.closest("button")) return;
  for (const part of document.querySelectorAll("[data-grows]")) await renew(part, true);
  notice().replaceChildren();
  scrollTo({ top: 0 });
  document.getElementById("main").focus({ preventScroll: true });
});

connect();
