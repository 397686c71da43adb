// @ts-check
// What stands at an address, asked for anew whenever the room says that it changed. Of several answers under way only
// the newest counts, and whatever a deed brought back is newer than all that was asked before it. Speaks; draws nothing.

const RETRY_MS = 1500;

export class Newest {
  /**
   * @param {string} url
   * @param {(value: any) => void} draw takes what stands there, null for nothing
   * @param {() => void} refused the server will not show it
   */
  constructor(url, draw, refused = () => draw(null)) {
    this.url = url;
    this.draw = draw;
    this.refused = refused;
    this.mark = "null"; // the room's word of it, as JSON
    this.turn = 0;
  }

  /** Note the room's word; true when it is another than before. @param {any} mark */
  hears(mark) {
    const said = JSON.stringify(mark ?? null);
    const isNews = said !== this.mark;
    this.mark = said;
    return isNews;
  }

  /** Ask when the room says that something changed; what it says is not there needs no asking. @param {any} mark */
  follow(mark) {
    if (!this.hears(mark)) return;
    if (mark) void this.ask();
    else this.take(null);
  }

  /** Forget it, whatever is under way. */
  close() {
    this.hears(null);
    this.take(null);
  }

  /** Draw what was brought back: what was asked before this is older. @param {any} value */
  take(value) {
    this.turn++;
    this.draw(value);
  }

  /** Ask, and on a slow or broken way again until there is an answer or a newer question. */
  async ask() {
    const turn = ++this.turn;
    try {
      const answer = await fetch(this.url, { headers: { Accept: "application/json" }, cache: "no-store" });
      const value = answer.ok ? await answer.json() : null;
      if (turn !== this.turn) return; // also when its body took its time
      if (answer.ok) this.draw(value);
      else if (answer.status < 500) this.refused();
      else throw new Error(String(answer.status));
    } catch {
      setTimeout(() => turn === this.turn && void this.ask(), RETRY_MS);
    }
  }
}
