/** A real gateway process with a home of its own, for tests that stream, break and stop it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const READY_TRIES = 600;
const TRY_MS = 50;

export interface GatewayProcess {
  readonly url: string;
  readonly pid: number;
  readonly home: string;
  readonly child: ChildProcess;
  /** Everything it wrote. */
  output(): string;
  /** SIGTERM, waits for the end; returns the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL, waits for the end. */
  kill(): Promise<void>;
}

export interface GatewayOptions {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A home that exists already; it is kept. Without one, a new home is made and removed by `dispose`. */
  readonly home?: string;
}

const homes: string[] = [];
const running = new Set<ChildProcess>();

/** Starts `src/main.ts` with any free port and waits until it is ready, or throws with its output when it ends first. */
export async function startProcess(options: GatewayOptions): Promise<GatewayProcess> {
  const home = options.home ?? (await makeHome());
  let text = '';
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', join(ROOT, 'src/main.ts'), '--port', '0', ...options.args],
    {
      cwd: ROOT,
      env: { ...process.env, LLAMAESTRO_HOME: home, NATS_URL: '', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  running.add(child);
  child.once('exit', () => running.delete(child));
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const url = await ready(child, () => text);
  return {
    url,
    pid: child.pid ?? 0,
    home,
    child,
    output: () => text,
    stop: () => end(child, 'SIGTERM'),
    kill: async () => void (await end(child, 'SIGKILL')),
  };
}

/** A folder for `LLAMAESTRO_HOME`; removed by `dispose`. */
export async function makeHome(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'llamaestro-test-'));
  homes.push(home);
  return home;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill(signal);
    await once(child, 'exit');
  }
  return child.exitCode;
}

async function ready(child: ChildProcess, output: () => string): Promise<string> {
  for (let tries = 0; tries < READY_TRIES; tries++) {
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${String(child.exitCode)}:\n${output()}`);
    const url = /"url":"(http:[^"]+)"/.exec(output())?.[1];
    const answer = url === undefined ? undefined : await fetch(`${url}/readyz`).catch(() => undefined);
    if (url !== undefined && answer?.ok === true) return url;
    await pause(TRY_MS);
  }
  throw new Error(`the gateway is not ready:\n${output()}`);
}

/** Ends what a test left running and removes its homes. Call in `afterEach` or `after`. */
export async function dispose(): Promise<void> {
  await Promise.all([...running].map((child) => end(child, 'SIGKILL')));
  await Promise.all(homes.splice(0).map((home) => rm(home, { recursive: true, force: true })));
}

/** Processes whose parent is `pid`, straight from /proc; empty where there is none. */
export function childrenOf(pid: number): number[] {
  if (!existsSync('/proc')) return [];
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((candidate) => {
      try {
        const fields =
          readFileSync(`/proc/${String(candidate)}/stat`, 'utf8')
            .split(') ')
            .at(-1)
            ?.split(' ') ?? [];
        return Number(fields[1]) === pid && fields[0] !== 'Z';
      } catch {
        return false;
      }
    });
}

/** True while the process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    return (
      readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
        .split(') ')
        .at(-1)?.[0] !== 'Z'
    );
  } catch {
    return false;
  }
}

/** Polls until `condition` holds; fails with `what` after about `tries` x 50 ms. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, tries = 200): Promise<void> {
  for (let round = 0; round < tries; round++) {
    if (await condition()) return;
    await pause(TRY_MS);
  }
  throw new Error(`it did not come: ${what}`);
}

/** A POST of JSON. */
export function post(url: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: text };
  return fetch(url, signal === undefined ? init : { ...init, signal });
}

export interface SseEvent {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

/** The events of a stream as they arrive; comments are left out. */
export async function* sse(response: Response): AsyncGenerator<SseEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const data = field('data');
      if (data !== undefined) yield { id: field('id'), event: field('event'), data };
    }
  }
}

/** All events of a stream. */
export async function sseAll(response: Response): Promise<SseEvent[]> {
  const events: SseEvent[] = [];
  for await (const event of sse(response)) events.push(event);
  return events;
}
