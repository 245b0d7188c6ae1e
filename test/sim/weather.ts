/**
 * What goes wrong in a simulated run, drawn from its seed: which processes die or freeze, what their engines do, how the
 * network behaves, when the gateway dies, when the disk refuses. Data; `world.ts` carries it out.
 */
import type { Random } from '../../src/base/ports.js';
import type { SimFaults } from '../../src/bus/sim-bus.js';
import type { FakeFault } from '../../src/engine/fake-script.js';

/** Those with switches of profiles: alone, with restarts, with everything. */
const SWITCHING = ['switches', 'switched off', 'upheaval'] as const;
/** Kinds of trouble; a seed has the one at its place modulo their number. */
export const KINDS = ['calm', 'hosts', 'restarts', 'network', 'memory', 'sleep', 'everything', ...SWITCHING] as const;
export type Kind = (typeof KINDS)[number];

export function isSwitching(kind: Kind): boolean {
  return (SWITCHING as readonly Kind[]).includes(kind);
}

export type Trouble =
  | { readonly atMs: number; readonly what: 'kill-host' }
  | { readonly atMs: number; readonly what: 'freeze-host'; readonly forMs: number }
  | { readonly atMs: number; readonly what: 'cut-gateway'; readonly forMs: number }
  | { readonly atMs: number; readonly what: 'crash-gateway'; readonly downMs: number; readonly keepQueued: boolean }
  | { readonly atMs: number; readonly what: 'disk-full'; readonly forMs: number }
  /** The whole machine sleeps: nobody does anything, and all clocks go on. */
  | { readonly atMs: number; readonly what: 'suspend'; readonly forMs: number }
  /** Somebody unloads a model by command. */
  | { readonly atMs: number; readonly what: 'unload'; readonly drainMs: number }
  /** Somebody switches to one of the profiles, and perhaps thinks better of it. */
  | { readonly atMs: number; readonly what: 'switch'; readonly drainMs: number; readonly cancelAfterMs?: number }
  /** Another program takes a share of what is free on a device. */
  | { readonly atMs: number; readonly what: 'borrow'; readonly share: number; readonly forMs: number };

export interface Weather {
  readonly kind: Kind;
  /** In order of time. */
  readonly troubles: readonly Trouble[];
  readonly network: Partial<SimFaults>;
  /** In place of it on the lines from hosts to the gateway: frames may also come twice, as after a reconnection. */
  readonly fromHosts: Partial<SimFaults>;
  /** Chance that a process comes with a fault of its engine. */
  readonly engineFaults: number;
}

/** Undefined when there is no such kind. */
export function kindNamed(name: string): Kind | undefined {
  return KINDS.find((kind) => kind === name);
}

export function kindOf(seed: number): Kind {
  return KINDS[seed % KINDS.length] ?? 'calm';
}

/** Trouble for the first `workMs` of a run. */
export function weatherOf(kind: Kind, random: Random, workMs: number): Weather {
  const between = (low: number, high: number): number => low + random.next() * (high - low);
  const times = (most: number): number[] =>
    Array.from({ length: 1 + Math.floor(random.next() * most) }, () => between(0.05, 1) * workMs);
  const hosts = (): Trouble[] => [
    ...times(8).map((atMs): Trouble => ({ atMs, what: 'kill-host' })),
    ...times(3).map((atMs): Trouble => ({ atMs, what: 'freeze-host', forMs: between(100, 12_000) })),
  ];
  const restarts = (): Trouble[] =>
    times(4).map((atMs) => {
      const [downMs, keepQueued] = [between(100, 3000), random.next() < 0.5];
      return { atMs, what: 'crash-gateway', downMs, keepQueued };
    });
  const cuts = (): Trouble[] => times(2).map((atMs) => ({ atMs, what: 'cut-gateway', forMs: between(50, 14_000) }));
  const disk = (): Trouble[] => times(1).map((atMs) => ({ atMs, what: 'disk-full', forMs: between(100, 3000) }));
  const sleeps = (): Trouble[] =>
    times(5).map((atMs) => ({ atMs, what: 'suspend', forMs: between(0.1, 90) ** 2 * 10 }));
  const unloads = (): Trouble[] => times(6).map((atMs) => ({ atMs, what: 'unload', drainMs: between(0, 3000) }));
  const borrows = (): Trouble[] =>
    times(4).map((atMs) => {
      const [share, forMs] = [random.next(), between(50, 6000)];
      return { atMs, what: 'borrow', share, forMs };
    });
  const switches = (): Trouble[] =>
    times(6).map((atMs) => {
      const [drainMs, isCancelled, cancelAfterMs] = [between(0, 3000), random.next() < 0.3, between(0, 1500)];
      return { atMs, what: 'switch', drainMs, ...(isCancelled ? { cancelAfterMs } : {}) };
    });
  const lossy = { drop: 0.01, reorder: 0.05, reorderMs: 30 };
  const network = { network: lossy, fromHosts: { ...lossy, duplicate: 0.02 } };
  const sound = { network: {}, fromHosts: {} };
  const inOrder = (...troubles: Trouble[]): Trouble[] => troubles.sort((a, b) => a.atMs - b.atMs);
  switch (kind) {
    case 'calm':
      return { kind, troubles: [], ...sound, engineFaults: 0 };
    case 'hosts':
      return { kind, troubles: inOrder(...hosts()), ...sound, engineFaults: 0.5 };
    case 'restarts':
      return { kind, troubles: inOrder(...restarts(), ...hosts().slice(0, 2)), ...sound, engineFaults: 0 };
    case 'network':
      return { kind, troubles: inOrder(...cuts()), ...network, engineFaults: 0 };
    case 'memory':
      return { kind, troubles: inOrder(...unloads(), ...borrows()), ...sound, engineFaults: 0 };
    case 'sleep':
      return { kind, troubles: inOrder(...sleeps()), ...sound, engineFaults: 0 };
    case 'switches':
      return { kind, troubles: inOrder(...switches()), ...sound, engineFaults: 0 };
    case 'switched off':
      return { kind, troubles: inOrder(...switches(), ...restarts()), ...sound, engineFaults: 0 };
    case 'everything':
    case 'upheaval': {
      const troubles = inOrder(
        ...hosts(),
        ...sleeps(),
        ...restarts(),
        ...cuts(),
        ...disk(),
        ...unloads(),
        ...borrows(),
      );
      const more = kind === 'upheaval' ? inOrder(...troubles, ...switches()) : troubles;
      return { kind, troubles: more, ...network, engineFaults: 0.5 };
    }
  }
}

/** The faults of the engine of one process. */
export function engineFaults(chance: number, random: Random): readonly FakeFault[] {
  if (random.next() >= chance) return [];
  const atToken = 1 + Math.floor(random.next() * 400);
  const faults: readonly FakeFault[] = [
    { kind: 'crash', atToken: 1 },
    { kind: 'crash', atToken },
    { kind: 'stall', atToken: 1 },
    { kind: 'stall', atToken },
    { kind: 'stall', atToken, forMs: random.next() * 8000 },
    { kind: 'sequence_error', atToken, code: 'out_of_memory' },
    { kind: 'load_error', code: 'load_failed' },
    { kind: 'slow_load', loadMs: random.next() * 10_000 },
  ];
  const fault = faults[Math.floor(random.next() * faults.length)];
  return fault === undefined ? [] : [fault];
}
