// The browser's own time zone, where nobody has chosen one.
const zone = document.querySelector("select[data-zone]");
const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && [...zone.options].some(({ value }) => value === own)) zone.value = own;
