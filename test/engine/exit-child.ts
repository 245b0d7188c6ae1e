/**
 * A process that ends in one of the awkward ways while the engine is at work. Arguments: the way, or PHASE:END, and the
 * model file. Prints 'decoding' when tokens flow, or the phase when it is reached. Started by native-exit.test.ts, and by
 * itself as a worker.
 */
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { createNativeDriver } from '../../src/engine/native-engine.js';

interface WorkerTask {
  readonly way: string;
  readonly file: string;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Loads, lets several sequences run, and resolves when each has shown tokens. */
async function decode(file: string): Promise<void> {
  const driver = createNativeDriver();
  const engine = await driver.load({ file, purpose: 'generate', slots: 4, contextTokens: 16_384, threads: 1 });
  const flowing = Array.from({ length: 4 }, (_, index) => {
    return new Promise<void>((resolve) => {
      const prompt = { kind: 'text', text: `sequence ${index}` } as const;
      engine.submit({ prompt, ignoreEos: true }, (event) => {
        if (event.type === 'tokens') resolve();
      });
    });
  });
  await Promise.all(flowing);
}

function spawnWorker(task: WorkerTask): Promise<Worker> {
  return new Promise((resolve, reject) => {
    // A worker does not inherit the loader of TypeScript, so it registers one and then imports this file.
    const entry = `import('tsx/esm/api').then(({ register }) => (register(), import(${JSON.stringify(import.meta.url)})))`;
    const worker = new Worker(entry, { eval: true, workerData: task });
    worker.once('message', () => resolve(worker));
    worker.once('error', reject);
  });
}

function exitOf(worker: Worker): Promise<number> {
  return new Promise((resolve) => worker.once('exit', resolve));
}

/** Each begins what the phase is named after and comes back while it is under way. */
const PHASES: Readonly<Record<string, (file: string) => Promise<void>>> = {
  async plan(file) {
    for (let count = 0; count < 8; count++) {
      leave(createNativeDriver().planMemory({ file, purpose: 'generate', contextTokens: 4096 + count }));
    }
    await pause(5);
  },
  load: (file) => {
    return new Promise((resolve) => {
      leave(
        createNativeDriver().load({ file, purpose: 'generate' }, (fraction) => (fraction > 0 ? resolve() : undefined)),
      );
    });
  },
  async prefill(file) {
    const options = { file, purpose: 'generate', contextTokens: 8192, threads: 1, chunkTokens: 64 } as const;
    const engine = await createNativeDriver().load(options);
    await new Promise<void>((resolve) => {
      engine.submit({ prompt: { kind: 'text', text: 'long '.repeat(1500) } }, ({ type }) => {
        if (type === 'prefill') resolve();
      });
    });
  },
  decode,
  async embed(file) {
    const engine = await createNativeDriver().load({ file, purpose: 'embed', threads: 1 });
    leave(engine.embed(Array.from({ length: 2000 }, (_, index) => `text number ${index} of many that take a while`)));
    while (engine.stats().steps === 0) await pause(2);
  },
  async close(file) {
    const engine = await createNativeDriver().load({ file, purpose: 'generate', contextTokens: 16_384, threads: 1 });
    await new Promise<void>((resolve) => {
      engine.submit({ prompt: { kind: 'text', text: 'go on' }, ignoreEos: true }, ({ type }) => {
        if (type === 'tokens') resolve();
      });
    });
    leave(engine.close());
  },
};

function leave(promise: Promise<unknown>): void {
  promise.catch(() => undefined);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function endInPhase(phase: string, end: string, file: string): Promise<void> {
  if (end === 'terminate') {
    const worker = await spawnWorker({ way: phase, file });
    say(phase);
    await worker.terminate();
    return say('terminated');
  }
  await PHASES[phase]?.(file);
  say(phase);
  if (end === 'exit') process.exit(7);
  throw new Error('on purpose');
}

async function runMain(way: string, file: string): Promise<void> {
  const [phase = '', end] = way.split(':');
  if (end !== undefined) return endInPhase(phase, end, file);
  switch (way) {
    case 'process-exit':
      await decode(file);
      say('decoding');
      return process.exit(7);
    case 'uncaught':
      await decode(file);
      say('decoding');
      throw new Error('on purpose');
    case 'exit-in-load': {
      const load = createNativeDriver().load({ file, purpose: 'generate' }, () => process.exit(7));
      await load;
      return;
    }
    case 'idle-engine':
      // Nothing keeps the loop alive: an engine without work is no reason to stay.
      await createNativeDriver().load({ file, purpose: 'generate' });
      say('decoding');
      return;
    case 'workers-terminated': {
      const workers = await Promise.all([spawnWorker({ way: 'stay', file }), spawnWorker({ way: 'stay', file })]);
      say('decoding');
      await Promise.all(workers.map((worker) => worker.terminate()));
      say('terminated');
      return;
    }
    case 'workers-exit': {
      const workers = await Promise.all([spawnWorker({ way: 'exit', file }), spawnWorker({ way: 'exit', file })]);
      say('decoding');
      for (const worker of workers) worker.postMessage('go');
      say((await Promise.all(workers.map(exitOf))).join(' '));
      return;
    }
    case 'exit-with-worker':
      await Promise.all([spawnWorker({ way: 'stay', file }), decode(file)]);
      say('decoding');
      return process.exit(7);
    case 'lifeline':
      createNativeDriver().startLifeline({ fd: 3, intervalMs: 20, exitCode: 75 });
      say('blocked');
      for (;;); // an event loop that never turns again
    default:
      throw new Error(`no way ${way}`);
  }
}

async function runWorker({ way, file }: WorkerTask): Promise<void> {
  parentPort?.on('message', () => process.exit(9));
  await (PHASES[way] ?? decode)(file);
  parentPort?.postMessage('decoding');
}

if (isMainThread) {
  const [, , way = '', file = ''] = process.argv;
  await runMain(way, file);
} else {
  await runWorker(workerData as WorkerTask);
}
