/** Whether node runs this file itself, and no other file imports it. */
function isMain() {
  if (typeof process !== "object" || !process.argv?.[1]) return false;
  if (import.meta.main !== undefined) return import.meta.main;
  const path = process.argv[1].replaceAll("\\", "/");
  const url = encodeURI(path).replace(/[?#]/g, encodeURIComponent);
  return import.meta.resolve(`file://${url.replace(/^(?!\/)/, "/")}`) === import.meta.url;
}
