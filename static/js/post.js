// Posts JSON to the server and hands back what it said. Speaks; draws nothing.

/**
 * What came of a post. `said` is the server's own sentence for a person; empty when it was never reached.
 * @typedef {{ok: boolean, status: number, body: any, said: string}} Answer
 */

/**
 * @param {string} url
 * @param {object} body
 * @param {{keepalive?: boolean}} [how] keepalive lets it finish while the page goes away (64 KiB at most)
 * @returns {Promise<Answer>} never rejects; status 0 when the server was not reached
 */
export async function post(url, body, how = {}) {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      credentials: "same-origin",
      body: JSON.stringify(body),
      ...how,
    });
    const value = await answer.json().catch(() => ({}));
    return { ok: answer.ok, status: answer.status, body: value, said: String(value.message ?? "") };
  } catch {
    return { ok: false, status: 0, body: {}, said: "" };
  }
}
