// Of several tabs of one browser, one speaks for its person in a call. Whose turn it is the browser keeps (Web Locks): the
// turn is free when that tab closes, loads anew or dies, so that nobody has to guess which line belongs to a living tab.
//
// Events: "here" (this tab speaks from now on), "elsewhere" (another one does).

const RELOAD_MS = 500; // a page loaded anew says nothing while its own past goes away

export class OneTab extends EventTarget {
  /** @param {string} name the same in all tabs of which one may speak */
  constructor(name) {
    super();
    this.name = name;
    this.turn = 0;
    this.waiting = new AbortController();
  }

  /** Speak as soon as no other tab does, now or when the other one has gone. */
  wait() {
    const timer = setTimeout(() => this.#tell("elsewhere"), RELOAD_MS);
    void this.#hold({ signal: this.waiting.signal }, () => clearTimeout(timer));
  }

  /** Speak now. The tab that did gives way, and has the turn back only when it is moved there again. */
  move() {
    this.waiting.abort();
    void this.#hold({ steal: true });
  }

  /** @param {LockOptions} how @param {() => void} onHere */
  async #hold(how, onHere = () => {}) {
    const turn = ++this.turn;
    const speak = () => {
      onHere();
      this.#tell("here");
      return new Promise(() => {}); // for as long as this page lives
    };
    try {
      if (navigator.locks) await navigator.locks.request(this.name, how, speak);
      else void speak(); // a browser from before Web Locks: the server closes the older line
    } catch {
      if (turn === this.turn) this.#tell("elsewhere"); // stolen
    }
  }

  /** @param {"here" | "elsewhere"} name */
  #tell(name) {
    this.dispatchEvent(new Event(name));
  }
}
