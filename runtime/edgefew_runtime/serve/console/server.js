// Talks to the server: the token, requests, and whether it can be reached.
//
// `server` tells listeners: "status" when the server's state is new, "revision" when the gallery or the operating
// point has changed, "away" and "back" when it goes and returns, "token" when a token is needed.

const BASE = "/api/v1/";
const TOKEN = "edgefew-token";
const PERSON = "edgefew-person";
const POLL_MS = 5000;
const RETRY_MS = [500, 1000, 2000, 4000];
const TIMEOUT_MS = 60000;
const GOING = [502, 503, 504];

/** The server cannot be reached, or is going down. */
export class Away extends Error {}

/** The server said no: `type` is the error's name there, `body` all that it said. */
export class Refused extends Error {
  constructor(status, type, message, body) {
    super(message);
    Object.assign(this, { status, type, body });
  }
}

class Server extends EventTarget {
  status = null;
  away = false;
  #token = sessionStorage.getItem(TOKEN) ?? "";
  #person = sessionStorage.getItem(PERSON) ?? "";
  #failures = 0;
  #timer = null;

  get person() {
    return this.#person;
  }

  get signedIn() {
    return this.#token !== "";
  }

  get teacher() {
    return this.status?.role === "teacher";
  }

  /** Takes the token if the server knows it; else raises what it said. */
  async signIn(token, person) {
    const before = this.#token;
    this.#token = token;
    try {
      const status = await this.#fetched("status", {});
      if (status.role === null) throw new Refused(401, "token", "This token is not known here. Check each character.", {});
      sessionStorage.setItem(TOKEN, token);
      sessionStorage.setItem(PERSON, person);
      this.#person = person;
      this.#take(status);
    } catch (error) {
      this.#token = before;
      throw error;
    }
  }

  signOut() {
    sessionStorage.removeItem(TOKEN);
    this.#token = "";
    this.#tell("token");
  }

  /** The server's answer, JSON or, with `as: "blob"`, bytes. Raises Away or Refused. */
  async call(path, options = {}) {
    try {
      return await this.#fetched(path, options);
    } catch (error) {
      if (error instanceof Away) this.#gone();
      if (error instanceof Refused && error.status === 401) this.#tell("token");
      throw error;
    }
  }

  /** Asks for the state now, and goes on asking: more often while the server is away. */
  async poll() {
    clearTimeout(this.#timer);
    try {
      this.#take(await this.#fetched("status", {}));
    } catch (error) {
      if (error instanceof Away) this.#gone();
      else if (error instanceof Refused && error.status === 401) this.#tell("token");
      else console.warn(error);
    }
    clearTimeout(this.#timer);
    const wait = this.away ? RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)] : POLL_MS;
    this.#timer = setTimeout(() => this.poll(), wait);
  }

  async #fetched(path, { method = "GET", body, json, type, as = "json" }) {
    const headers = {};
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    else if (type) headers["Content-Type"] = type;
    let response;
    try {
      response = await fetch(BASE + path, {
        method,
        headers,
        body: json === undefined ? body : JSON.stringify(json),
        signal: AbortSignal.timeout(TIMEOUT_MS),
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
      if (response.ok) return as === "blob" ? await response.blob() : await response.json();
    } catch {
      throw new Away("The server cannot be reached.");
    }
    if (GOING.includes(response.status)) throw new Away("The server is busy or going down.");
    const told = await response.json().catch(() => ({}));
    const { type: kind = "error", message = `The server answered ${response.status}.` } = told.error ?? {};
    throw new Refused(response.status, kind, message, told);
  }

  #take(status) {
    const before = this.status;
    this.status = status;
    this.#failures = 0;
    if (this.away) {
      this.away = false;
      this.#tell("back");
    }
    this.#tell("status");
    const state = ({ gallery, promise }) => `${gallery.revision} ${promise?.false_accept_rate}`;
    if (before === null || state(before) !== state(status)) this.#tell("revision");
    if (status.role === null) this.#tell("token");
  }

  #gone() {
    if (this.away) return;
    this.away = true;
    this.#tell("away");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.poll(), RETRY_MS[0]);
  }

  #tell(name) {
    this.dispatchEvent(new Event(name));
  }
}

export const server = new Server();
