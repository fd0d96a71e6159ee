// node recommend.mjs USER.json [MODEL]: rank the candidates of a user file.

import { readFile } from "node:fs/promises";
import { Client } from "./client.mjs";

const [file, model] = process.argv.slice(2);
if (!file) {
  console.error("usage: node recommend.mjs USER.json [MODEL]");
  process.exit(2);
}
const client = new Client({ command: JSON.parse(process.env.TRSR_LITE_SERVE ?? '["trsr-lite", "serve"]') });
try {
  const user = JSON.parse(await readFile(file, "utf8"));
  const onProgress = ({ stage, fraction }) => process.stderr.write(`\r${stage} ${Math.round(100 * fraction)} %   `);
  const { summary, recommendations = [] } = await client.recommend({ user, model, k: 3 }, { onProgress });
  process.stderr.write("\r\x1b[K");
  if (summary) console.log(summary); // there is none for a history that is short
  for (const { rank, title, score } of recommendations) console.log(`${rank}. ${title} (${score.toFixed(2)})`);
} catch (error) {
  console.error(`Error: ${error.message}${error.hint ? `\nhint: ${error.hint}` : ""}`);
  process.exitCode = 1;
} finally {
  await client.close();
}
