// node --test: the client against a real server, which TRSR_LITE_SERVE starts (a JSON list of words).

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, ServerError } from "./client.mjs";

const command = JSON.parse(process.env.TRSR_LITE_SERVE ?? '["trsr-lite", "serve"]');
const item = (name) => ({ id: name, title: `Film ${name}` });
const user = (length = 12) => ({
  user_id: "u1",
  history: Array.from({ length }, (_, index) => item(`h${index}`)),
  candidates: [item("x"), item("y"), item("z")],
});

test("what a client can ask", async (t) => {
  const client = new Client({ command });
  t.after(() => client.close());

  await t.test("initialize tells the version of the protocol", async () => {
    const found = await client.initialize();
    assert.equal(found.protocol, 1);
    assert.ok(found.capabilities.methods.includes("recommend"));
  });

  await t.test("recommend ranks, and the second time nothing is summarized", async () => {
    const first = await client.recommend({ user: user(), k: 2 });
    assert.deepEqual(first.recommendations.map(({ rank }) => rank), [1, 2]);
    const second = await client.recommend({ user: user(), k: 2 });
    assert.equal(second.stats.summary_calls, 0);
    assert.deepEqual(second.recommendations, first.recommendations);
  });

  await t.test("many requests at once each get their own answer", async () => {
    const lengths = [3, 1, 4, 2];
    const found = await Promise.all(lengths.map((length) => client.recommend({ user: user(length) })));
    assert.deepEqual(found.map(({ stats }) => stats.history_items), lengths);
  });

  await t.test("update prepares what the next recommend needs", async () => {
    const prepared = await client.update({ user: user(14), item: item("h14") });
    assert.equal(prepared.stats.history_items, 15);
    assert.equal((await client.recommend({ user: user(15) })).stats.summary_calls, 0);
  });

  await t.test("an aborted request rejects with the reason, and its summaries are kept", async () => {
    const stop = new AbortController();
    const long = { ...user(400), user_id: "u2" };
    const params = { user: long, strategy: "recurrent" };
    const onProgress = ({ stage, fraction }) => stage === "summarize" && fraction > 1 / 80 && stop.abort();
    await assert.rejects(client.summarize(params, { signal: stop.signal, onProgress }), { name: "AbortError" });
    assert.equal((await client.status()).running, null);
    assert.ok((await client.summarize(params)).stats.summary_cache_hits > 0);
    assert.ok((await client.forget("u2")).forgotten > 0);
    await assert.rejects(client.recommend({ user: user() }, { signal: stop.signal }), { name: "AbortError" });
  });

  await t.test("an error has a code and a hint", async () => {
    const asked = client.recommend({ user: user(), model: "no/where.gguf" });
    await assert.rejects(asked, (error) => error instanceof ServerError && error.code === 3 && Boolean(error.hint));
  });
});

test("every request settles once, whatever it holds", async (t) => {
  const client = new Client({ command });
  t.after(() => client.close());
  await client.initialize();
  const asked = (title, more = {}) => {
    const titled = { id: "a", title, ["\ud83dkey"]: "\\ud83d stays" };
    return client.recommend({ user: { user_id: "u", history: [titled], candidates: [item("x")] }, strategy: "none", ...more });
  };
  const cut = "Best day \u{1F600}\u{1F600}".slice(0, 10); // which halves an emoji
  assert.equal((await asked(cut)).recommendations.length, 1);
  await assert.rejects(asked("long ".repeat(4 * 2 ** 20)), { code: "TOO_LONG" });
  const circle = {};
  circle.self = circle;
  await assert.rejects(asked("x", { circle }), TypeError);
  assert.equal((await asked("and it goes on")).recommendations.length, 1);
});

test("an answer without an id, or what is no answer, rejects what waits", async () => {
  const refusal = { jsonrpc: "2.0", id: null, error: { code: -32700, message: "no" } };
  for (const [said, code] of [[JSON.stringify(refusal), -32700], ["Traceback (most recent call last)", "NO_JSON"]]) {
    const script = `process.stdin.once("data", () => { console.log(${JSON.stringify(said)}); setTimeout(process.exit, 500); })`;
    const client = new Client({ command: ["node", "-e", script] });
    await assert.rejects(client.status(), { name: "ServerError", code });
  }
});

test("close ends the requests and the server", async () => {
  const client = new Client({ command });
  const asked = client.summarize({ user: user(400), strategy: "recurrent" });
  const outcome = assert.rejects(asked, { code: 130, reason: "shutdown" });
  assert.equal(await client.close(), 0);
  await outcome;
  await assert.rejects(client.status(), { code: "ENDED" });
});

test("a server that cannot start fails every request", async () => {
  const client = new Client({ command: ["./no-such-program"] });
  const why = { code: "ENDED", message: /could not be started: .*ENOENT/, hint: /no program `\.\/no-such-program` on the PATH/ };
  await assert.rejects(client.status(), why);
  await assert.rejects(client.status(), why); // later, too
  assert.match(await client.close(), /ENOENT/);
});
