/**
 * The engine against its limit, both without Node: core-bench samples and makes text and events, llama-batched-bench only
 * evaluates. Tokens per second while all streams run, and of the prompts; in turn.
 *   node bench/engine-limit.mjs --model FILE.gguf --peer PATH/llama-batched-bench [--streams 8,1] [--prompt 16]
 *     [--tokens 96] [--rounds 3]
 */
import { parseArgs } from 'node:util';
import { median } from './lib/client.mjs';
import { coreBench, engineRates, limitRates } from './lib/limit.mjs';
import { THREADS } from './lib/servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    peer: { type: 'string' },
    streams: { type: 'string', default: '8,1' },
    prompt: { type: 'string', default: '16' },
    tokens: { type: 'string', default: '96' },
    rounds: { type: 'string', default: '3' },
  },
});
const counts = values.streams.split(',').map(Number);
const program = await coreBench();

const seen = {};
for (let round = 0; round < Number(values.rounds); round++) {
  for (const streams of counts) {
    const [promptTokens, newTokens] = [Number(values.prompt), Number(values.tokens)];
    const work = { model: values.model, streams, promptTokens, newTokens, threads: THREADS };
    const sides = (seen[streams] ??= { engine: [], limit: [] });
    sides.engine.push(await engineRates(program, work));
    sides.limit.push(await limitRates(values.peer, work));
  }
}

function report(streams, key, what) {
  const [engine, limit] = ['engine', 'limit'].map((side) => median(seen[streams][side].map((each) => each[key])));
  const ratio = (engine / limit).toFixed(3);
  console.log(
    `${streams} streams, ${what}: engine ${engine.toFixed(1)} tokens/s, limit ${limit.toFixed(1)}, ratio ${ratio}`,
  );
}
for (const streams of counts) report(streams, 'prompts', `prompts of ${values.prompt}`);
for (const streams of counts) report(streams, 'generated', 'generating');
