/**
 * `npm run test:sim -- [--seeds N] [--from K] [--processes P]`: plays N seeds (default 1000) from K on, in P processes
 * (default: one for each core), and says which failed and how to play each again. `--seed K [--story]` plays one and tells
 * what happened. `--kind NAME` plays all of them in that weather. Closes with `N passed, N failed`.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { judge, replayOf } from './judge.js';
import { KINDS, kindNamed, kindOf, type Kind } from './weather.js';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '0' },
    processes: { type: 'string', default: String(availableParallelism()) },
    seed: { type: 'string' },
    kind: { type: 'string' },
    story: { type: 'boolean', default: false },
    /** One of the processes of another run: gets its seeds from it. */
    worker: { type: 'boolean', default: false },
  },
});

/** What a worker says of one seed. */
interface Word {
  readonly failure?: string;
}

/** Between two lines that say how far it is. */
const SAY_EVERY = 500;

const wanted = values.kind === undefined ? undefined : kindNamed(values.kind);
if (values.kind !== undefined && wanted === undefined) throw new Error(`no such kind: one of ${KINDS.join(', ')}`);
const kindFor = (seed: number): Kind => wanted ?? kindOf(seed);

if (values.worker) serve();
else if (values.seed !== undefined) await playOne(Number(values.seed));
else await playMany(Number(values.from), Number(values.seeds), Number(values.processes));

async function playOne(seed: number): Promise<void> {
  const { failure, story } = await judge(seed, kindFor(seed));
  if (values.story) process.stdout.write(`${story}\n`);
  close(failure === undefined ? [] : [failure], 1);
}

function serve(): void {
  process.on('message', (seed: number) => {
    void judge(seed, kindFor(seed))
      .catch((thrown: unknown) => ({
        failure: `seed ${seed}: ${faultOf(thrown)}\nagain: ${replayOf(seed, kindFor(seed))}`,
      }))
      .then(({ failure }) => process.send?.(failure === undefined ? {} : { failure }));
  });
}

function faultOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}

async function playMany(from: number, count: number, processes: number): Promise<void> {
  const failures: string[] = [];
  let next = from;
  let done = 0;
  /** One seed after the other; a process that dies of one is replaced. */
  const work = async (): Promise<void> => {
    let worker: Worker | undefined;
    while (next < from + count) {
      const seed = next++;
      worker = worker?.child.connected === true ? worker : startWorker();
      worker.child.send(seed);
      const failure = await Promise.race([answerOf(worker), worker.ended.then((how) => `seed ${seed}: ${how}`)]);
      if (failure !== undefined) {
        failures.push(failure);
        process.stdout.write(`FAILED ${failure}\n\n`);
      }
      if (++done % SAY_EVERY === 0) process.stdout.write(`${done} of ${count} seeds, ${failures.length} failed\n`);
    }
    worker?.child.disconnect();
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(processes, count)) }, work));
  close(failures, count, false);
}

interface Worker {
  readonly child: ChildProcess;
  /** How it ended. */
  readonly ended: Promise<string>;
}

function startWorker(): Worker {
  const child = fork(fileURLToPath(import.meta.url), ['--worker', ...(wanted === undefined ? [] : ['--kind', wanted])]);
  const ended = once(child, 'exit').then(([code, signal]) => `its process ended with ${String(signal ?? code)}`);
  return { child, ended };
}

async function answerOf({ child }: Worker): Promise<string | undefined> {
  const [{ failure }] = (await once(child, 'message')) as [Word];
  return failure;
}

function close(failures: readonly string[], count: number, isToldNow = true): void {
  if (isToldNow) for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`);
  process.stdout.write(`${count - failures.length} passed, ${failures.length} failed\n`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}
