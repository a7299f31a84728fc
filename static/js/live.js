// What another tab or device changed is fetched again, but for a part that somebody is working in.
// Where no connection can be had, a reload shows it all the same.
const RETRY_SECONDS = [2, 5, 15, 300];
// So long after a change of this tab's own, the news of it may still come.
const OWN_MS = 3000;
const own = new Map();
const later = new Set();
let version = document.body.dataset.version;
let connection;
let news;
let timer;

// Kept from page to page: each failure is a line in the browser's console.
const stored = () => JSON.parse(sessionStorage.getItem("live") || '{"failures":0,"until":0}');
const store = (failures, until) =>
  sessionStorage.setItem("live", JSON.stringify({ failures, until }));

const connect = () => {
  clearTimeout(timer);
  if (document.hidden || connection) return;
  const wait = stored().until - Date.now();
  if (wait > 0) return (timer = setTimeout(connect, wait));
  const address = new URL(document.body.dataset.socket, location);
  address.protocol = address.protocol.replace("http", "ws");
  address.searchParams.set("since", version);
  connection = new WebSocket(address);
  connection.addEventListener("open", () => store(0, 0));
  connection.addEventListener("message", ({ data }) => hear(JSON.parse(data)));
  connection.addEventListener("close", () => {
    connection = undefined;
    if (document.hidden || timer === "left") return;
    const { failures } = stored();
    const seconds = RETRY_SECONDS[Math.min(failures, RETRY_SECONDS.length - 1)];
    store(failures + 1, Date.now() + 1000 * seconds);
    connect();
  });
};

// A tab that nobody looks at gives its connection to one that somebody does.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) connection?.close();
  else connect();
});
addEventListener("pagehide", () => {
  timer = "left";
  connection?.close();
});
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  timer = 0;
  connect();
});

// The film that a change of this tab's own is about, by the id that its address contains.
const note = ({ detail: { ctx } }) => {
  const [film] = /tt\d+/.exec(ctx.request.action) || ["other"];
  if (ctx.request.method === "POST") own.set(film, Date.now());
};
const isOwn = (what) => Date.now() - own.get(what) < OWN_MS;
document.addEventListener("htmx:before:request", note);
document.addEventListener("htmx:after:request", note);

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
  document.querySelectorAll("[data-live]").forEach((part) => tellPart(part, heard));
};
const concerns = ({ film, live }, { all, films }) => {
  if (film) return all || films.has(film);
  return live !== "films" || all || films.size > 0;
};
const tellPart = (part, heard) => {
  const inUse = isInUse(part);
  if (heard.gone.has(part.dataset.film)) part.querySelector("[data-gone]").hidden = false;
  else if (!concerns(part.dataset, heard)) return;
  else if (part.matches("[data-grows]") && (inUse || scrollY > innerHeight / 2)) {
    const event = new CustomEvent("stale", { bubbles: true, cancelable: true, detail: heard });
    if (part.dispatchEvent(event)) offer();
  } else if (inUse) later.add(part.id);
  else renew(part);
};

// An open <details> with its form is left as it is by the morph itself.
const isInUse = (part) => {
  const form = part.closest("form") || part;
  if (form.querySelector(":focus-visible, [data-dragged], [name=film]:checked")) return true;
  const typed = "input:not([type=checkbox], [type=radio]), textarea";
  const fields = [...part.querySelectorAll(typed)];
  return fields.some((field) => field.value !== field.defaultValue && !field.closest("details"));
};
const renew = (part, asked = false) => {
  htmx.config.morphSkip = "details[open]";
  return htmx.ajax("GET", part.dataset.refresh ?? part.dataset.address, {
    source: part,
    target: part,
    select: part.matches("main") ? "main" : undefined,
    swap: "outerMorph",
    push: "false",
    live: !asked,
  });
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
  if (ctx?.target?.matches?.("[data-grows]")) withdraw();
});
const catchUp = () => {
  for (const id of later) {
    const part = document.getElementById(id);
    if (part && !isInUse(part)) renew(part);
  }
};
document.addEventListener("focusout", () => setTimeout(catchUp, 300));
document.addEventListener("pointerup", () => setTimeout(catchUp, 300));

const notice = document.querySelector("[data-news]");
const offer = () => {
  const words = document.getElementById("news").content.cloneNode(true);
  if (!notice.firstElementChild) notice.replaceChildren(words);
  document.body.classList.add("has-news");
};
const withdraw = () => {
  notice?.replaceChildren();
  document.body.classList.remove("has-news");
};
document.addEventListener("offer", offer);
notice?.addEventListener("click", async (event) => {
  if (!event.target.closest("button")) return;
  for (const part of document.querySelectorAll("[data-grows]")) await renew(part, true);
  withdraw();
  scrollTo({ top: 0 });
  document.querySelector("main").focus({ preventScroll: true });
});

connect();
