// A client of `trsr-lite serve`, without dependencies: one child process, a promise for each request.
//
// Invariant: every request is settled exactly once, also when the server ends; what it prints on stderr goes to ours.
// Types are in client.d.mts; the protocol is docs/reference/protocol.md.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

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

  constructor({ command = ["trsr-lite", "serve"], env = process.env } = {}) {
    const [program, ...options] = command;
    this.#process = spawn(program, options, { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#process.stdin.on("error", () => {}); // it has ended: said to every request below
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#receive(JSON.parse(line)));
    this.#ended = new Promise((resolve) => {
      this.#process.once("error", (error) => resolve(this.#end(error.message)));
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

  #ask(method, params, { onProgress, signal } = {}) {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#waiting === null) return Promise.reject(ended());
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      const cancel = () => this.#send({ method: "cancel", params: { id } });
      const settle = (call) => (value) => {
        signal?.removeEventListener("abort", cancel);
        call(value);
      };
      this.#waiting.set(id, {
        onProgress,
        resolve: settle(resolve),
        reject: settle((error) => reject(signal?.aborted && error.code === 130 ? signal.reason : error)),
      });
      signal?.addEventListener("abort", cancel);
      this.#send({ id, method, params });
    });
  }

  #send(message) {
    this.#process.stdin.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
  }

  #receive(message) {
    if (message.method === "progress") {
      this.#waiting.get(message.params.id)?.onProgress?.(message.params);
      return;
    }
    const request = this.#waiting.get(message.id);
    if (!request) return;
    this.#waiting.delete(message.id);
    if (message.error) request.reject(new ServerError(message.error));
    else request.resolve(message.result);
  }

  #end(how) {
    const left = this.#waiting ?? new Map();
    this.#waiting = null;
    for (const { reject } of left.values()) reject(ended(how));
    return how;
  }
}

function ended(how) {
  return new ServerError({ code: "ENDED", message: "the server has ended" + (how === undefined ? "" : `: ${how}`) });
}
