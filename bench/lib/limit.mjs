/** Programs that measure without Node: our core-bench, built when missing or older than its sources, and llama-batched-bench. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildTarget } from '../../scripts/setup/addon.mjs';
import { libraryEnv } from './servers.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUILD = join(ROOT, 'build');
const run = promisify(execFile);

/** The path of core-bench after its build, which is a second's work when nothing changed. */
export async function coreBench() {
  const logPath = join(BUILD, 'core-bench.log');
  await buildTarget('core-bench', BUILD, { status: () => {}, logPath, startedMs: performance.now() });
  return join(BUILD, process.platform === 'win32' ? 'core-bench.exe' : 'core-bench');
}

/** Tokens per second of our engine: of the prompts, and while all sequences generate. */
export async function engineRates(program, { model, streams, promptTokens, newTokens, threads }) {
  const { stdout } = await run(program, [model, streams, promptTokens, newTokens, threads].map(String));
  const [, prompts, generated] = /prompts ([\d.]+) tokens\/s, all running ([\d.]+) tokens\/s/.exec(stdout);
  return { prompts: Number(prompts), generated: Number(generated) };
}

/** The same of llama-batched-bench, which evaluates random tokens and chooses none. */
export async function limitRates(program, { model, streams, promptTokens, newTokens, threads }) {
  const figures = { '-npp': promptTokens, '-ntg': newTokens, '-npl': streams, '-t': threads, '-tb': threads };
  figures['-c'] = streams * (promptTokens + newTokens + 8);
  const args = ['-m', model, '--output-format', 'jsonl', ...Object.entries(figures).flat().map(String)];
  const { stdout } = await run(program, args, { env: libraryEnv(dirname(program)) });
  const line = stdout.split('\n').find((each) => each.startsWith('{'));
  const { speed_pp: prompts, speed_tg: generated } = JSON.parse(line);
  return { prompts, generated };
}
