/** A profile manager over a pool that only notes what it is asked for, a catalog of two profiles, and a journal in memory. */
import { LlamaestroError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/log.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import type { ModelStatus, PoolStatus, Stage } from '../../src/pool/pool.js';
import type { Catalog } from '../../src/profile/catalog.js';
import { createProfileManager, type ProfileManager } from '../../src/profile/profile-manager.js';
import type { FitProblem, PlannedModel, ProfilePlan } from '../../src/schema/profile-plan.js';
import type { MemoryPlan } from '../../src/schema/load.js';
import type { ModelSpec, Profile } from '../../src/schema/profile.js';
import { FakeClock } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';

const files = (name: string): Partial<Profile> => ({ name, origin: `/p/${name}.yaml`, files: [`/p/${name}.yaml`] });
const resident = { residency: 'resident' } as const;

/** One model stays, one is exchanged, one leaves, one comes. */
export const FIRST = profileOf(
  [modelSpec('same', resident), modelSpec('both', resident), modelSpec('old', resident)],
  files('first'),
);
export const SECOND = profileOf(
  [modelSpec('same', resident), modelSpec('both', { ...resident, configHash: 'other' }), modelSpec('new', resident)],
  files('second'),
);

export const PLAN: ProfilePlan = {
  ...{ profile: '', origin: '', fits: true },
  ...{ models: [], devices: [], problems: [], warnings: [] },
};

const memory = (bytes: number): MemoryPlan => ({
  devices: [{ device: 'cpu', weightsBytes: bytes, kvBytes: 0, computeBytes: 0 }],
  ...{ outputBytes: 0, estimatedExtraBytes: 0, totalBytes: bytes, simulatedMs: 1 },
  ...{ contextTokens: 1, contextTokensPerSlot: 1, slots: 1, gpuLayers: 0 },
});

/** Notes every call; one of them can be made to wait or to fail. */
export class FakeStage implements Stage {
  readonly calls: string[] = [];
  /** By call, such as 'load new': what it waits for, or what it throws. */
  script: Readonly<Record<string, () => Promise<unknown>>> = {};
  ready: string[] = [];
  onFlip: () => void = () => undefined;

  private async note(call: string, signal?: AbortSignal): Promise<void> {
    this.calls.push(call);
    const waiting = this.script[call]?.();
    if (waiting === undefined) return;
    const ended = new Promise<never>((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    ended.catch(() => undefined);
    await Promise.race([waiting, ended]);
  }

  pause(): void {
    this.calls.push('pause');
  }
  drain(model: string, drainMs: number, signal: AbortSignal): Promise<void> {
    return this.note(`drain ${model} ${String(drainMs)}`, signal);
  }
  dismiss(model: string, signal: AbortSignal): Promise<void> {
    return this.note(`dismiss ${model}`, signal);
  }
  async proof(model: string): Promise<undefined> {
    await this.note(`proof ${model}`);
    return undefined;
  }
  async load(model: string, signal: AbortSignal): Promise<void> {
    await this.note(`load ${model}`, signal);
    this.ready.push(model);
  }
  isReady(model: string): boolean {
    return this.ready.includes(model);
  }
  flip(drainMs: number): void {
    this.calls.push(`flip ${String(drainMs)}`);
    this.onFlip();
  }
  cleared(signal: AbortSignal): Promise<void> {
    return this.note('cleared', signal);
  }
  abandon(): void {
    this.calls.push('abandon');
  }
  restore(model: string, signal: AbortSignal): Promise<void> {
    return this.note(`restore ${model}`, signal);
  }
  status(): readonly ModelStatus[] {
    return [];
  }
}

export interface Scene {
  readonly manager: ProfileManager;
  readonly journal: MemoryJournal;
  readonly applied: string[];
  readonly clock: FakeClock;
  readonly stage: FakeStage;
  /** Somebody wrote into the folder of the active profile. */
  edit: () => void;
  /** What the file of the first profile holds now; undefined: nothing that can be read. */
  text: Profile | undefined;
  /** What the file of the second one holds. */
  second: Profile;
  problems: FitProblem[];
  /** What all models together may take; each takes 10. */
  roomBytes: number;
  /** Of each model in the pool, and those of them that are not loaded. */
  loads: number;
  unloaded: string[];
  /** Called while the catalog reads. */
  onLoad: () => void;
}

function planOf({ name, origin, models }: Profile, { problems, roomBytes }: Scene): ProfilePlan {
  const planned = models.map((spec): PlannedModel => ({
    ...{ name: spec.name, role: spec.role, stays: true, pinned: false, state: 'planned', file: '' },
    bytes: { cpu: 10 },
  }));
  const device = { device: 'cpu', totalBytes: 99, roomBytes, overheadBytes: 0, stayingBytes: 0, worstBytes: 0 };
  return { ...PLAN, profile: name, origin, problems, models: planned, devices: [device] };
}

/** Not started. */
export async function scene(journal = new MemoryJournal()): Promise<Scene> {
  await journal.open();
  const applied: string[] = [];
  const state = {
    ...{ journal, applied, clock: new FakeClock(), stage: new FakeStage() },
    edit: (): void => undefined,
    text: FIRST as Profile | undefined,
    second: SECOND,
    problems: [] as FitProblem[],
    roomBytes: 50,
    loads: 1,
    unloaded: [] as string[],
    onLoad: (): void => undefined,
  };
  const loaded = new Set<string>();
  let active: readonly ModelSpec[] = [];
  const status = (): ModelStatus[] => {
    return active
      .filter(({ name }) => loaded.has(name))
      .map(({ name }) => ({
        ...{ name, role: 'general', available: true, hid: `hid_${name}`, allocated: memory(10) },
        state: state.unloaded.includes(name) ? 'unloaded' : 'ready',
        ...{
          slots: 1,
          leased: 0,
          queued: 0,
          queuedByClass: { interactive: 0, normal: 0, background: 0 },
          loads: state.loads,
          crashes: 0,
          generatedTokens: 0,
          promptTokens: 0,
        },
      }));
  };
  const named = (name: string): Promise<Profile> => {
    state.onLoad();
    const found = [FIRST, state.second].find((profile) => profile.name === name);
    if (found !== undefined) return Promise.resolve(structuredClone(found));
    return Promise.reject(new LlamaestroError('profile_not_found', name));
  };
  const inspect = (name: string): Promise<never> => Promise.reject(new Error(`nobody inspects ${name}`));
  const load = (origin: string): Promise<Profile> =>
    origin === FIRST.origin && state.text !== undefined
      ? Promise.resolve(structuredClone(state.text))
      : Promise.reject(new LlamaestroError('profile_invalid', `${origin}:1:1: wrong`));
  const catalog: Catalog = { inspect, named, load, forFile: named, list: () => Promise.resolve([]) };
  const manager = createProfileManager({
    ...{ catalog, journal, clock: state.clock, log: silentLogger },
    watchFolder: (_folder, onChange) => {
      state.edit = onChange;
      return () => (state.edit = () => undefined);
    },
    plan: (profile) => Promise.resolve(planOf(profile, state as Scene)),
    pool: {
      apply: (profile) => {
        applied.push(profile.name);
        active = profile.models;
        for (const { name } of active) loaded.add(name);
      },
      stage: (next) => {
        state.stage.calls.push(`stage ${next.name}`);
        state.stage.onFlip = () => (active = next.models);
        return state.stage;
      },
      status: () => ({ models: status(), nodes: [] }) as unknown as PoolStatus,
    },
  });
  return Object.assign(state, { manager });
}

/** With the first profile active. */
export async function started(): Promise<Scene> {
  const world = await scene();
  await world.manager.start(FIRST);
  return world;
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof LlamaestroError ? error.code : String(error)),
  );
}
