// A client of `trsr-lite serve`, without dependencies: one child process, a promise for each request.
//
// Invariant: every request is settled exactly once, also when the server ends, refuses a line, or says what is no JSON;
// what it prints on stderr goes to ours.
// Types are in client.d.mts; the protocol is docs/reference/protocol.md.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** The longest message that the server reads, in bytes. */
const LONGEST = 16 * 2 ** 20;

/** An error that the server answered with, or that it has ended (code `ENDED`). */
export class ServerError extends Error {
  constructor({ code, message, data = {} }) {
    super(message);
    this.name = "ServerError";
    this.code = code;
    this.hint = data.hint;
    this.reason = data.reason;
  }
}

export class Client {
  #process;
  #waiting = new Map();
  #last = 0;
  #ended;
  #reason; // why no request can be answered any more, where that is known

  constructor({ command = ["trsr-lite", "serve"], env = process.env } = {}) {
    const [program, ...options] = command;
    this.#process = spawn(program, options, { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#process.stdin.on("error", () => {}); // it has ended: said to every request below
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#read(line));
    this.#ended = new Promise((resolve) => {
      this.#process.once("error", (error) => resolve(this.#end(error.message, unstarted(program, error))));
      this.#process.once("close", (code, signal) => resolve(this.#end(signal ?? code)));
    });
  }

  initialize(params = {}, options) {
    return this.#ask("initialize", { protocol: 1, ...params }, options);
  }

  recommend(params, options) {
    return this.#ask("recommend", params, options);
  }

  summarize(params, options) {
    return this.#ask("summarize", params, options);
  }

  update(params, options) {
    return this.#ask("update", params, options);
  }

  forget(userId) {
    return this.#ask("forget", { user_id: userId });
  }

  status() {
    return this.#ask("status", {});
  }

  /** End every request, then the server; resolves once its process is gone. */
  async close() {
    if (this.#process.exitCode === null && this.#process.pid) {
      await this.#ask("shutdown", {}).catch(() => {});
      this.#process.stdin.end();
    }
    return this.#ended;
  }

  #ask(method, params, { onProgress, onPartial, signal } = {}) {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#waiting === null) return Promise.reject(this.#reason ?? ended());
    const id = ++this.#last;
    let line;
    try {
      line = encoded({ id, method, params });
    } catch (error) {
      return Promise.reject(error); // what JSON cannot hold, such as a circle
    }
    const bytes = Buffer.byteLength(line);
    if (bytes > LONGEST) {
      const message = `the request has ${bytes} bytes; the server reads at most ${LONGEST}`;
      return Promise.reject(new ServerError({ code: "TOO_LONG", message, data: { hint: "send fewer or shorter items" } }));
    }
    return new Promise((resolve, reject) => {
      const cancel = () => this.#send({ method: "cancel", params: { id } });
      const settle = (call) => (value) => {
        signal?.removeEventListener("abort", cancel);
        call(value);
      };
      this.#waiting.set(id, {
        onProgress,
        onPartial,
        resolve: settle(resolve),
        reject: settle((error) => reject(signal?.aborted && error.code === 130 ? signal.reason : error)),
      });
      signal?.addEventListener("abort", cancel);
      this.#process.stdin.write(line);
    });
  }

  #send(message) {
    this.#process.stdin.write(encoded(message));
  }

  #read(line) {
    if (!line.trim()) return;
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      this.#rejectAll(() => new ServerError({ code: "NO_JSON", message: `the server said ${line.slice(0, 80)}` }));
      return;
    }
    if (message.error && message.id == null) {
      this.#rejectAll(() => new ServerError(message.error)); // of which request, nobody can tell
      return;
    }
    this.#receive(message);
  }

  #rejectAll(error) {
    const left = [...(this.#waiting ?? new Map()).values()];
    this.#waiting?.clear();
    for (const { reject } of left) reject(error());
  }

  #receive(message) {
    if (message.method === "progress") {
      this.#waiting?.get(message.params.id)?.onProgress?.(message.params);
      return;
    }
    if (message.method === "partial") {
      this.#waiting?.get(message.params.id)?.onPartial?.(message.params.result);
      return;
    }
    const request = this.#waiting?.get(message.id);
    if (!request) return;
    this.#waiting.delete(message.id);
    if (message.error) request.reject(new ServerError(message.error));
    else request.resolve(message.result);
  }

  #end(how, reason) {
    this.#reason ??= reason;
    this.#rejectAll(() => this.#reason ?? ended(how));
    this.#waiting = null;
    return how;
  }
}

/** A message as a line; half a character, as `slice` leaves it of an emoji, becomes U+FFFD, because JSON has none. */
function encoded(message) {
  const line = JSON.stringify({ jsonrpc: "2.0", ...message });
  return line.replace(/\\(?:u[dD][89a-fA-F][0-9a-fA-F]{2}|[^])/g, (sign) => (sign.length > 2 ? "\ufffd" : sign)) + "\n";
}

/** Why a program could not be started, and what to do. */
function unstarted(program, { code, message }) {
  const hints = {
    ENOENT: `there is no program \`${program}\` on the PATH: install trsr-lite, or name it: new Client({ command: ["/path/to/trsr-lite", "serve"] })`,
    EACCES: `\`${program}\` may not be run: is it a folder, or not executable?`,
  };
  return new ServerError({ code: "ENDED", message: `the server could not be started: ${message}`, data: { hint: hints[code] } });
}

function ended(how) {
  return new ServerError({ code: "ENDED", message: "the server has ended" + (how === undefined ? "" : `: ${how}`) });
}
