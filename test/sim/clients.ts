/**
 * The people of a simulated run: each comes back again and again, asks for one model or another, and reads to the end,
 * reads slowly, cancels or walks away. They note what they saw and judge nothing.
 */
import { LlamaestroError, toLlamaestroError } from '../../src/base/errors.js';
import { sleep, type Random } from '../../src/base/ports.js';
import type { Run } from '../../src/orchestra/orchestra.js';
import { PRIORITIES, type RunRequest } from '../../src/schema/run.js';
import type { SimGateway } from './gateway.js';
import type { Visit } from './history.js';
import { isSwitching } from './weather.js';
import { WORK_MS, type World } from './world.js';

const TASKS = [
  'Hello!',
  'Write a Python function that reverses a list',
  'Tell me about the history of bread, from the first ovens to the baker around the corner who opens at five',
  `Summarise this: ${'rivers and owls '.repeat(55)}`,
];
/** Beside the models of the profile, each once. */
const MORE_NAMES = ['auto', 'auto', 'auto', 'fast', 'fast', 'nobody'];

const TENANTS = ['ada', 'ben', 'cleo'];

/** How a client goes about one request. */
interface Manner {
  readonly request: RunRequest;
  readonly cancelAfterMs?: number;
  readonly leaveAfterMs?: number;
  /** Pause after each event. */
  readonly readMs: number;
}

function draw(random: Random, names: readonly string[]): Manner {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.next() * from.length)]!;
  const sometimes = (chance: number): boolean => random.next() < chance;
  const ignoreEos = sometimes(0.1);
  const maxTokens = ignoreEos ? 150 : sometimes(0.3) ? 1 + Math.floor(random.next() * 60) : undefined;
  const request: RunRequest = {
    door: 'execute',
    prompt: {
      kind: 'messages',
      messages: [{ role: 'user', content: sometimes(0.03) ? 'x'.repeat(2000) : pick(TASKS) }],
    },
    promptField: 'task',
    model: pick(names),
    sampling: {},
    stop: [],
    ignoreEos,
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(sometimes(0.5) ? { priority: pick(PRIORITIES) } : {}),
    ...(sometimes(0.5) ? { tenant: pick(TENANTS) } : {}),
    ...(sometimes(0.15) ? { timeoutMs: 200 + Math.floor(random.next() * 4000) } : {}),
    onDisconnect: sometimes(0.2) ? 'continue' : 'cancel',
    warnings: [],
  };
  return {
    request,
    readMs: sometimes(0.2) ? random.next() * 60 : 0,
    ...(sometimes(0.2) ? { cancelAfterMs: random.next() * 1500 } : {}),
    ...(sometimes(0.15) ? { leaveAfterMs: random.next() * 1500 } : {}),
  };
}

/** Lets one client come and go until the working time is over; resolves when it has left for good. */
export async function visitAgainAndAgain(world: World, name: string, visits: Visit[]): Promise<void> {
  const { clock } = world;
  const random = world.random(name);
  const { profile, second } = world.estate;
  const models = isSwitching(world.kind) ? new Set([...profile.models, ...second.models]) : profile.models;
  const names = [...MORE_NAMES, ...[...models].map((model) => model.name)];
  for (let number = 1; ; number++) {
    await sleep(clock, random.next() * 1500);
    if (clock.nowMs() >= WORK_MS) return;
    const { gateway } = world;
    if (gateway === undefined) continue;
    const manner = draw(random, names);
    const { request } = manner;
    const visit: Visit = {
      name: `${name} visit ${String(number)}`,
      gateway: gateway.life,
      askedAtMs: clock.nowMs(),
      budgetMs: request.timeoutMs ?? profile.timeouts.requestMs,
      ignoreEos: request.ignoreEos,
      outcome: 'pending',
      events: [],
    };
    visits.push(visit);
    if (request.model === 'vectors' && random.next() < 0.8) await embed(gateway, visit, random, world);
    else await visitOnce(world, gateway, visit, manner);
    world.note(`${visit.name}: ${visit.outcome} ${visit.refusal ?? ''}${visit.runId ?? ''} ${lastOf(visit)}`);
  }
}

function lastOf({ events }: Visit): string {
  const last = events.at(-1);
  const code = last !== undefined && 'error' in last ? last.error.code : '';
  return `${String(events.length)} events, last ${last?.type ?? 'none'} ${code}`;
}

/** As a door does it: submit, stream, cancel when the connection closes. */
async function visitOnce(world: World, gateway: SimGateway, visit: Visit, manner: Manner): Promise<void> {
  const { request } = manner;
  const gone = new AbortController();
  const leave = (): void => gone.abort(new LlamaestroError('cancelled', 'the client left'));
  const { leaveAfterMs, cancelAfterMs } = manner;
  const leaving = leaveAfterMs === undefined ? undefined : world.clock.setTimer(leaveAfterMs, leave);
  const lost = onDeath(gateway, () => (visit.outcome = 'lost'));
  try {
    const run = await Promise.race([gateway.orchestra.submit(request, gone.signal), lost.promise]);
    if (run === undefined) return;
    visit.runId = run.id;
    void run.result.then(() => (visit.endedAtMs = world.clock.nowMs()));
    const cancel = (): void => {
      visit.cancelledAtMs ??= world.clock.nowMs();
      run.cancel('the client asked for it');
    };
    const cancelling = cancelAfterMs === undefined ? undefined : world.clock.setTimer(cancelAfterMs, cancel);
    await Promise.race([read(world, run, visit, manner, gone.signal), lost.promise]);
    cancelling?.cancel();
    if (visit.outcome !== 'pending') return;
    visit.outcome = gone.signal.aborted ? 'left' : 'read';
    if (gone.signal.aborted && request.onDisconnect === 'cancel') cancel();
  } catch (thrown) {
    visit.outcome = 'refused';
    visit.refusal = toLlamaestroError(thrown).code;
  } finally {
    leaving?.cancel();
    lost.forget();
  }
}

async function read(world: World, run: Run, visit: Visit, { readMs }: Manner, signal: AbortSignal): Promise<void> {
  for await (const event of run.events(0, signal)) {
    visit.events.push(event);
    if (readMs > 0) await sleep(world.clock, readMs);
  }
  if (signal.aborted) return;
  const afterSeq = Math.floor(visit.events.length / 2);
  const events = [];
  for await (const event of run.events(afterSeq)) events.push(event);
  visit.replay = { afterSeq, events };
}

/** Work beside generation: it takes slots like any other. */
async function embed(gateway: SimGateway, visit: Visit, random: Random, world: World): Promise<void> {
  const gone = new AbortController();
  const leave = random.next() < 0.3 ? world.clock.setTimer(random.next() * 800, () => gone.abort(left())) : undefined;
  const lost = onDeath(gateway, () => (visit.outcome = 'lost'));
  const asked = gateway.pool.embed('vectors', ['one text', 'another'], gone.signal);
  const answered = asked.then(
    () => (visit.outcome = 'read'),
    (thrown: unknown) => {
      visit.outcome = 'refused';
      visit.refusal = toLlamaestroError(thrown).code;
    },
  );
  await Promise.race([answered, lost.promise]);
  leave?.cancel();
  lost.forget();
}

function left(): LlamaestroError {
  return new LlamaestroError('cancelled', 'the client left');
}

/** Resolves with nothing when the gateway dies. */
function onDeath({ dead }: SimGateway, note: () => void): { promise: Promise<undefined>; forget(): void } {
  let listener: () => void = () => undefined;
  const promise = new Promise<undefined>((resolve) => {
    listener = () => {
      note();
      resolve(undefined);
    };
    if (dead.aborted) listener();
    else dead.addEventListener('abort', listener, { once: true });
  });
  return { promise, forget: () => dead.removeEventListener('abort', listener) };
}
