/**
 * The process that opens damaged files, one after the other, as its parent names them: plan, load, a few tokens. It says
 * how each ended; when a file ends the process, the parent sees that. Started by fuzz-run.ts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Engine, LoadOptions } from '../../src/engine/engine.js';
import { createNativeDriver } from '../../src/engine/native-engine.js';
import { runSequence, say } from '../engine/run-sequence.js';
import { damage } from './damage.js';
import type { FuzzCase, FuzzOutcome } from './fuzz-run.js';
import { mapHeader, type HeaderMap } from './header-map.js';

interface Base {
  readonly bytes: Buffer;
  readonly map: HeaderMap;
}

const bases = new Map<string, Base>();
const driver = createNativeDriver(process.env['LLAMAESTRO_ADDON_UNDER_TEST']);

function baseOf(file: string): Base {
  const known = bases.get(file);
  if (known !== undefined) return known;
  const bytes = readFileSync(file);
  const base = { bytes, map: mapHeader(bytes) };
  bases.set(file, base);
  return base;
}

async function outcomeOf({ base, purpose, kind, seed, file }: FuzzCase): Promise<FuzzOutcome> {
  const { bytes, map } = baseOf(base);
  const damaged = damage(bytes, map, kind, seed);
  writeFileSync(file, damaged.bytes);
  const before = process.cpuUsage();
  const outcome = (stage: FuzzOutcome['stage'], thrown?: unknown): FuzzOutcome => ({
    stage,
    ...(thrown === undefined ? {} : { code: thrown instanceof LlamaestroError ? thrown.code : 'untyped' }),
    detail: thrown instanceof Error ? thrown.message : String(thrown ?? ''),
    what: damaged.what,
    tookMs: cpuMs(before),
  });
  const options: LoadOptions = { file, purpose, contextTokens: 256, slots: 2, threads: 1, chunkTokens: 64 };
  try {
    await driver.planMemory(options);
  } catch (thrown) {
    return outcome('plan', thrown);
  }
  let engine: Engine;
  try {
    engine = await driver.load(options);
  } catch (thrown) {
    return outcome('load', thrown);
  }
  try {
    await use(engine);
    return outcome('done');
  } catch (thrown) {
    return outcome('run', thrown);
  } finally {
    await engine.close();
  }
}

/** Of all threads since `before`: what else the machine does must not look like a slow file. */
function cpuMs(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Touches everything that reads the file's values: tokens, template, graph, sampler. */
async function use(engine: Engine): Promise<void> {
  const tokens = await engine.tokenize(say('Hello, world \u2603'));
  await engine.detokenize([...tokens, 0, engine.info.vocabSize - 1]);
  if (engine.info.hasChatTemplate) {
    await engine.tokenize({ kind: 'messages', messages: [{ role: 'user', content: 'Hi' }] });
  }
  if (engine.info.purpose === 'embed') await engine.embed(['Hello', 'world']);
  if (engine.info.purpose === 'rerank') await engine.rerank('Hello', ['world']);
  if (engine.info.purpose !== 'generate') return;
  const request = { prompt: say('Hello'), maxTokens: 4, temperature: 0 } as const;
  const [run] = await Promise.all([runSequence(engine, request), runSequence(engine, { ...request, seed: 1 })]);
  if (run.finished.error !== undefined) throw run.finished.error;
}

process.on('message', (one: FuzzCase) => {
  void outcomeOf(one).then((outcome) => process.send?.(outcome));
});
process.send?.('ready');
