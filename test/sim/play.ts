/** Plays one seed from the first request to the last timer, and writes its history. */
import { toLlamaestroError } from '../../src/base/errors.js';
import type { RunRecord } from '../../src/journal/journal.js';
import { isIn } from '../../src/pool/unit.js';
import { visitAgainAndAgain } from './clients.js';
import { BIGGEST, LONGEST_TTL_MS } from './estate.js';
import type { Sabotage, SimGateway } from './gateway.js';
import type { History, Visit } from './history.js';
import { kindOf, type Kind } from './weather.js';
import { World } from './world.js';

const CLIENTS = 8;
/** Longest fake time from the last visit until nothing is under way any more. */
const QUIET_LIMIT_MS = 300_000;
/** Longest pause of a model that failed again and again. */
const BACKOFF_MS = 80_000;
/** Timers of a request are gone so long after its end. */
const TIMERS_GONE_MS = 1000;
/** How often, and how long each time, the model that needs all bytes is asked for: the network may still lose a word. */
const BIGGEST_TRIES = 6;
/** To the first profile: the network may still lose a word. */
const HOME_TRIES = 4;
const LOAD_LIMIT_MS = 60_000;
const AFTERMATH_MS = 2000;

export interface Played {
  readonly history: History;
  readonly world: World;
}

/** The same seed, kind and sabotage give the same history. */
export async function play(seed: number, kind: Kind = kindOf(seed), sabotage: Sabotage = {}): Promise<Played> {
  const world = new World(seed, kind, sabotage);
  await world.start();
  const visits: Visit[] = [];
  let present = CLIENTS;
  for (let client = 1; client <= CLIENTS; client++) {
    void visitAgainAndAgain(world, `client ${String(client)}`, visits).then(() => present--);
  }
  await reach(world, () => present === 0, 'clients are still there');
  world.calmDown();
  await reach(world, () => world.gateway !== undefined, 'the gateway is still down');
  const { gateway } = world;
  if (gateway === undefined) throw new Error('no gateway came up');
  const lives = world.gateways.length;
  const atRest = await comeToRest(world, gateway);
  // An end that the disk refused stays open until the next start closes it.
  const wasFull = world.weather.troubles.some(({ what }) => what === 'disk-full');
  const last = wasFull ? await restart(world, gateway) : gateway;
  const records = await readJournal(world, last);
  await stop(world, last);
  const { leases, noticed, complaints, troubledHosts, estate, unloading } = world;
  const rest = { timers: world.clock.pendingTimers, busTrouble: busTrouble(world), unloading };
  const atEnd = { ...atRest, ...rest, heldBytes: heldBytes(world, last) };
  const seen = { visits, leases, records, facts: last.journal.facts, noticed, complaints, troubledHosts };
  return { history: { seed, kind, lives, sleptMs: world.sleptMs, answers: estate.answers, ...seen, atEnd }, world };
}

/** Lets time pass until `done`; what does not come to an end is noticed, not thrown. */
async function reach(world: World, done: () => boolean, otherwise: string): Promise<void> {
  await world.clock.runUntil(done, QUIET_LIMIT_MS).catch(() => world.noticed.push(otherwise));
}

type AtRest = Pick<History['atEnd'], 'leased' | 'queued' | 'requestTimers' | 'hosts' | 'biggest' | 'streams'>;

/** What the stopped gateway's account still promises, and what processes still hold; nothing, as before the first load. */
function heldBytes({ estate, memory }: World, { pool }: SimGateway): number {
  const booked = pool.status().nodes.flatMap(({ ledger }) => ledger.map((row) => row.heldBytes + row.reservedBytes));
  const held = estate.devices.map(({ id }) => memory.heldOn(id));
  return [...booked, ...held].reduce((sum, bytes) => sum + bytes, 0);
}

async function comeToRest(world: World, gateway: SimGateway): Promise<AtRest> {
  const { clock } = world;
  const { orchestra, pool, spawner, receiver } = gateway;
  const sum = (of: 'leased' | 'queued'): number => pool.status().models.reduce((total, model) => total + model[of], 0);
  if (gateway.isSwitching) await goHome(world, gateway);
  await reach(world, () => orchestra.status().running === 0, 'runs are still under way');
  await reach(world, () => sum('leased') === 0, 'leases are still out');
  await clock.run(TIMERS_GONE_MS);
  const [leased, queued, streams] = [sum('leased'), sum('queued'), receiver.size];
  const requestTimers = gateway.requestClock.pendingTimers;
  await clock.run(BACKOFF_MS + LONGEST_TTL_MS);
  // All but the models that stay have left by now, unless a word got lost once more.
  const passing = world.estate.profile.models.filter(({ residency, pinned }) => residency !== 'resident' && !pinned);
  const beyondTime = (): number =>
    spawner.hosts.filter(({ label }) => passing.some(({ name }) => isIn(label, name))).length;
  await reach(world, () => beyondTime() === 0, 'hosts do not leave');
  const hosts = beyondTime();
  const biggest = await loadBiggest(world, gateway);
  return { leased, queued, streams, hosts, requestTimers, biggest };
}

/** Whatever was switched, the first profile is served in the end. */
async function goHome(world: World, { profiles }: SimGateway): Promise<void> {
  const { name } = world.estate.profile;
  const atRest = (): boolean => profiles.progress().to === undefined && world.switches === 0;
  await reach(world, atRest, 'a switch does not end');
  for (let attempt = 1; attempt <= HOME_TRIES && profiles.current().name !== name; attempt++) {
    let isOver = false;
    const note = (outcome: string): void => world.note(`home: ${outcome}`);
    void profiles
      .activate(name, 1000)
      .then(({ over }) => over)
      .then(
        ({ result, error }) => note(`${result} ${error?.message ?? ''}`),
        (thrown: unknown) => note(toLlamaestroError(thrown).message),
      )
      .finally(() => (isOver = true));
    await reach(world, () => isOver, 'a switch does not end');
    if (profiles.current().name !== name) await world.clock.run(BACKOFF_MS);
  }
  if (profiles.current().name !== name) world.noticed.push('there is no way back to the first profile');
  await reach(world, atRest, 'a switch does not end');
}

/** Undefined when the model that needs all bytes can still be loaded; else what went wrong. */
async function loadBiggest({ clock }: World, { pool }: SimGateway): Promise<string | undefined> {
  let outcome: string | undefined = 'nothing happened';
  const enough = new AbortController();
  for (let attempt = 1; attempt <= BIGGEST_TRIES && outcome !== undefined; attempt++) {
    let over = false;
    const asking = pool.lease({ model: BIGGEST, rid: `last ${String(attempt)}` }, enough.signal).then(
      (lease) => {
        outcome = undefined;
        lease.release();
      },
      (thrown: unknown) => (outcome = toLlamaestroError(thrown).message),
    );
    void asking.finally(() => (over = true));
    await clock.runUntil(() => over, LOAD_LIMIT_MS).catch(() => undefined);
    if (outcome !== undefined) await clock.run(BACKOFF_MS);
  }
  enough.abort(new Error('enough'));
  return outcome;
}

async function readJournal(world: World, { journal }: SimGateway): Promise<readonly RunRecord[]> {
  let records: readonly RunRecord[] | undefined;
  void journal.scan(Number.MAX_SAFE_INTEGER).then((found) => (records = found));
  await reach(world, () => records !== undefined, 'the journal does not answer');
  return records ?? [];
}

async function restart(world: World, gateway: SimGateway): Promise<SimGateway> {
  await stop(world, gateway);
  return world.startAgain(gateway);
}

async function stop(world: World, gateway: SimGateway): Promise<void> {
  let stopped = false;
  void gateway.stop().then(() => (stopped = true));
  await reach(world, () => stopped, 'the gateway does not stop');
  // What was sent to those who are gone still has to arrive nowhere, and drivers give back the last bytes.
  await world.clock.run(AFTERMATH_MS);
}

function busTrouble({ gateways }: World): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { receiver } of gateways) {
    const { bundles: _bundles, delivered: _delivered, ...trouble } = receiver.counts;
    for (const [name, count] of Object.entries(trouble)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}
