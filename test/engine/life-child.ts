/**
 * A process of its own for what needs one: collected engines and streams (--expose-gc), two addons side by side, logs of
 * several environments. Arguments: what to try, a model file, and what that needs more. Started by native-life.test.ts.
 */
import { readdirSync } from 'node:fs';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { Engine } from '../../src/engine/engine.js';
import { createNativeDriver, type NativeDriver } from '../../src/engine/native-engine.js';
import { generate } from '../../src/engine/token-stream.js';

const MAX_TRIES = 400;

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function threads(): number {
  return readdirSync('/proc/self/task').length;
}

/** Threads when none is on its way out any more. */
async function settledThreads(): Promise<number> {
  let least = threads();
  for (let same = 0; same < 8; same++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    if (threads() < least) same = 0;
    least = Math.min(least, threads());
  }
  return least;
}

interface WorkerTask {
  readonly what: 'logs' | 'share';
  readonly file: string;
}

function startWorker(task: WorkerTask): Worker {
  // A worker does not inherit the loader of TypeScript, so it registers one and then imports this file.
  const entry = `import('tsx/esm/api').then(({ register }) => (register(), import(${JSON.stringify(import.meta.url)})))`;
  return new Worker(entry, { eval: true, workerData: task });
}

function nextMessage(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

/** Collects until it holds; false when it never does. */
async function collectedUntil(holds: () => boolean): Promise<boolean> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 25));
    if (holds()) return true;
  }
  return false;
}

const load = (driver: NativeDriver, file: string): Promise<Engine> =>
  driver.load({ file, purpose: 'generate', contextTokens: 16_384, threads: 2 });

async function forgetEngine(file: string): Promise<void> {
  const driver = createNativeDriver();
  await (await load(driver, file)).close(); // what stays for good is there now
  const before = await settledThreads();
  await (async () => {
    await load(driver, file);
  })();
  const grown = threads() > before;
  say({ grown, freed: await collectedUntil(() => threads() <= before) });
}

const ENDLESS = { prompt: { kind: 'text', text: 'go on' }, ignoreEos: true } as const;

/** Lets a stream begin, and forgets it. */
async function beginStream(engine: Engine, keep: 'nothing' | 'result'): Promise<void> {
  const stream = generate(engine, ENDLESS);
  if (keep === 'result') void stream.result;
  await new Promise<void>((resolve) => {
    const stop = engine.onStep(() => {
      if (engine.stats().generatedTokens === 0) return;
      stop();
      resolve();
    });
  });
}

async function forgetStream(file: string): Promise<void> {
  const engine = await load(createNativeDriver(), file);
  await beginStream(engine, 'nothing');
  const ended = await collectedUntil(() => engine.stats().running === 0);
  say({ ended, early: engine.stats().generatedTokens < 16_000 });
  await engine.close();
}

/** The stream is held by nothing but the loop that reads it. */
async function readStream(file: string): Promise<void> {
  const engine = await load(createNativeDriver(), file);
  let pieces = 0;
  for await (const piece of generate(engine, { ...ENDLESS, maxTokens: 200 })) {
    globalThis.gc?.();
    pieces += piece.length;
  }
  say({ generated: engine.stats().generatedTokens, pieces: pieces > 0 });
  await engine.close();
}

/** Nothing but its answers keeps the process alive: one slot says them one after the other. */
async function awaitAnswers(file: string): Promise<void> {
  const engine = await load(createNativeDriver(), file);
  const ended = new Set<number>();
  await new Promise<void>((resolve) => {
    engine.submit({ ...ENDLESS, maxTokens: 300, choices: 4 }, (event) => {
      if (event.type === 'finished') ended.add(event.choice ?? 0);
      if (ended.size === 4) resolve();
    });
  });
  say({ answers: ended.size });
  await engine.close();
}

async function forgetBoth(file: string): Promise<void> {
  const driver = createNativeDriver();
  await (await load(driver, file)).close();
  const before = await settledThreads();
  await (async () => {
    await beginStream(await load(driver, file), 'nothing');
  })();
  say({ grown: threads() > before, freed: await collectedUntil(() => threads() <= before) });
}

async function twoAddons(file: string, otherAddon: string): Promise<void> {
  const drivers = [createNativeDriver(), createNativeDriver(otherAddon)];
  const engines = await Promise.all(drivers.map((driver) => load(driver, file)));
  const request = { prompt: { kind: 'text', text: 'hi' }, temperature: 0 } as const;
  const texts = await Promise.all(engines.map(async (engine) => (await generate(engine, request).result).text));
  const lines = drivers.map((driver) => driver.recentLogLines().length > 0);
  say({ different: drivers[0] !== drivers[1], texts, lines });
  for (const engine of engines) void generate(engine, ENDLESS).result;
  await new Promise((resolve) => setTimeout(resolve, 50));
  process.exit(7);
}

/** A worker shares the weights of the main thread, outlives the engine they were loaded for, and the other way round. */
async function shareWeights(file: string): Promise<void> {
  const driver = createNativeDriver();
  const engine = await load(driver, file);
  const request = { prompt: { kind: 'text', text: 'hi' }, temperature: 0, maxTokens: 20 } as const;
  const { text } = await generate(engine, request).result;
  const worker = startWorker({ what: 'share', file });
  const inWorker = await nextMessage(worker);
  await engine.close();
  worker.postMessage('alone');
  const alone = await nextMessage(worker);
  const again = await load(driver, file);
  const shared = again.planned.sharedWeights === true;
  await worker.terminate();
  const after = (await generate(again, request).result).text;
  const counted = again.memory().sharedWeights === undefined;
  say({ inWorker, alone, shared, counted, same: after === text && text !== '', text });
}

async function shareInWorker(file: string): Promise<void> {
  const engine = await load(createNativeDriver(), file);
  const request = { prompt: { kind: 'text', text: 'hi' }, temperature: 0, maxTokens: 20 } as const;
  const tell = async (): Promise<void> => {
    const { text } = await generate(engine, request).result;
    parentPort?.postMessage({ shared: engine.memory().sharedWeights === true, text });
  };
  parentPort?.on('message', () => void tell());
  await tell();
}

/** Every environment that asked hears of a load in any of them; who did not ask hears nothing. */
async function logs(file: string): Promise<void> {
  const driver = createNativeDriver();
  const heard = { debug: 0, info: 0, error: 0 };
  driver.onLog(() => (heard.debug += 1), 'debug');
  const stop = driver.onLog(() => (heard.info += 1));
  driver.onLog(() => (heard.error += 1), 'error');
  const engine = await load(driver, file);
  await engine.close();
  const first = { ...heard };
  stop();
  const worker = startWorker({ what: 'logs', file });
  const inWorker = await nextMessage(worker);
  await worker.terminate();
  say({ first, infoAfter: heard.info - first.info, debugAfter: heard.debug - first.debug, inWorker });
}

async function logsInWorker(file: string): Promise<void> {
  const driver = createNativeDriver();
  let heard = 0;
  driver.onLog(() => (heard += 1));
  await (await load(driver, file)).close();
  parentPort?.postMessage(heard);
}

/** An event loop that does not turn loses lines, and is told how many. */
async function lostLogs(file: string): Promise<void> {
  const driver = createNativeDriver();
  let heard = 0;
  let lost = 0;
  driver.onLog((_, dropped) => {
    heard += 1;
    lost = dropped;
  }, 'debug');
  const loads = [load(driver, file), load(driver, file), load(driver, file), load(driver, file)];
  const until = performance.now() + 1500;
  while (performance.now() < until);
  for (const engine of await Promise.all(loads)) await engine.close();
  say({ heard: heard > 0, lost });
}

if (isMainThread) {
  const [, , what = '', file = '', more = ''] = process.argv;
  const tries: Readonly<Record<string, () => Promise<void>>> = {
    'forget-engine': () => forgetEngine(file),
    'forget-stream': () => forgetStream(file),
    'forget-both': () => forgetBoth(file),
    'read-stream': () => readStream(file),
    'await-answers': () => awaitAnswers(file),
    'two-addons': () => twoAddons(file, more),
    'share-weights': () => shareWeights(file),
    logs: () => logs(file),
    'lost-logs': () => lostLogs(file),
  };
  await tries[what]?.();
} else {
  const { what, file } = workerData as WorkerTask;
  await (what === 'logs' ? logsInWorker(file) : shareInWorker(file));
}
