// htmx from its CDN, or the copy of this server when the CDN does not answer: many of these servers
// have no route out. It runs before the tag of htmx is read, so that no failure of it is missed;
// that is why it is no module.
{
  const WAIT_MS = 3000;
  const useLocalCopy = () => {
    const tag = document.querySelector("script[data-local]");
    if (window.htmx || !tag) return;
    // A tag that is only removed would still start a second htmx with a late answer.
    new Document().adoptNode(tag);
    const copy = document.createElement("script");
    copy.src = tag.dataset.local;
    document.head.append(copy);
  };
  const isTheTag = ({ target }) => target.matches?.("script[data-local]");
  addEventListener("error", (event) => isTheTag(event) && useLocalCopy(), true);
  setTimeout(useLocalCopy, WAIT_MS);
}
