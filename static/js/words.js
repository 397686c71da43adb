// @ts-check
// Sentences of a page with what stands in them. Pure.

/** Fill {names} in; what is not given leaves nothing. @param {string | undefined} words @param {Record<string, any>} [values] */
export function fill(words = "", values = {}) {
  return words.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}
