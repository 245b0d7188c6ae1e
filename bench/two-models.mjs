/**
 * Two models at once on one machine: the sum of tokens per second of both, against one of them alone; two streams each.
 *   node bench/two-models.mjs --model FILE.gguf [--tokens 96] [--rounds 3]
 */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median, promptOf, together } from './lib/client.mjs';
import { startOurs } from './lib/servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    tokens: { type: 'string', default: '96' },
    rounds: { type: 'string', default: '3' },
  },
});
const folder = mkdtempSync(join(tmpdir(), 'llamaestro-two-'));
const model = (name) => {
  const file = join(folder, `${name}.gguf`);
  copyFileSync(values.model, file);
  return `  ${name}: { role: general, file: ${file}, context: 2048, slots: 2, residency: resident }`;
};
const profile = join(folder, 'two.yaml');
writeFileSync(
  profile,
  ['version: 1', 'name: two', 'models:', model('one'), model('two'), 'flow: { default: one }', ''].join('\n'),
);
const server = await startOurs(['--profile', profile]);
try {
  const body = (name) => (index) => ({ model: name, prompt: promptOf(16, index), max_tokens: Number(values.tokens) });
  const rates = { alone: [], both: [] };
  await Promise.all(['one', 'two'].map((name) => together(server.url, 1, body(name))));
  for (let round = 0; round < Number(values.rounds); round++) {
    rates.alone.push((await together(server.url, 2, body('one'))).tokensPerSecond);
    const sides = await Promise.all(['one', 'two'].map((name) => together(server.url, 2, body(name))));
    const seconds = Math.max(...sides.map((side) => side.seconds));
    rates.both.push(sides.reduce((sum, side) => sum + side.tokens, 0) / seconds);
  }
  const [alone, both] = [median(rates.alone), median(rates.both)];
  console.log(
    `one model alone ${alone.toFixed(1)} tokens/s, two at once ${both.toFixed(1)} together, ratio ${(both / alone).toFixed(3)}`,
  );
} finally {
  await server.stop();
  rmSync(folder, { recursive: true });
}
