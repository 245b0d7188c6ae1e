/**
 * What a simulated server has: its devices and the models of its profile, more than fit at once, drawn from the seed. Data;
 * knows no process and no client.
 */
import type { Random } from '../../src/base/ports.js';
import type { FakeScript } from '../../src/engine/fake-script.js';
import type { ModelSpec, Profile } from '../../src/schema/profile.js';
import { modelSpec, profileOf } from '../support/profiles.js';
import type { SimDevice } from './machine-memory.js';

const MIB = 2 ** 20;

/** The model that fits only where nothing but the kept ones is loaded. */
export const BIGGEST = 'big';
/** The name of the model that only the second profile has. */
const POET = 'poet';
/** What the second profile does not have. */
const LEFT_OUT = ['coder', 'writer', BIGGEST];
/** What stays loaded in it, in one process: a model of both profiles, and its own. */
const TOGETHER = ['fast', POET];
/** What it has with other settings. */
const EXCHANGED = ['general', 'scout'];
/** The longest that an unused model stays. */
export const LONGEST_TTL_MS = 8000;

interface Kind {
  readonly name: string;
  readonly fileMib: number;
  readonly slots: number;
  readonly more?: Partial<ModelSpec>;
  /** Of its weights on the GPU, where there is one. */
  readonly gpuShare: number;
}

const KINDS: readonly Kind[] = [
  { name: 'fast', fileMib: 64, slots: 3, gpuShare: 1, more: { residency: 'resident' } },
  { name: 'general', fileMib: 128, slots: 2, gpuShare: 1 },
  { name: 'coder', fileMib: 128, slots: 1, gpuShare: 1 },
  { name: BIGGEST, fileMib: 400, slots: 1, gpuShare: 0.5 },
  { name: 'keeper', fileMib: 32, slots: 1, gpuShare: 0, more: { pinned: true } },
  { name: 'writer', fileMib: 96, slots: 2, gpuShare: 0.5 },
  { name: 'scout', fileMib: 48, slots: 1, gpuShare: 0, more: { host: 'small' } },
  { name: 'vectors', fileMib: 16, slots: 1, gpuShare: 0, more: { host: 'small' } },
];

/** Drawn after all others. */
const POET_KIND: Kind = { name: POET, fileMib: 40, slots: 2, gpuShare: 1, more: { residency: 'resident' } };
const ALL = [...KINDS, POET_KIND];

export interface Estate {
  /** The one that a first start takes, and every run ends with. */
  readonly profile: Profile;
  /** Some of the same models, some of the same names with other settings, and one more. */
  readonly second: Profile;
  readonly devices: readonly SimDevice[];
  readonly script: FakeScript;
  /** What each model says to everything, by model name. */
  readonly answers: Readonly<Record<string, string>>;
  /** By file: the share of the weights that lies on the GPU, and what a load takes there and here beyond its plan. */
  readonly places: Readonly<Record<string, Place>>;
}

export interface Place {
  readonly gpuShare: number;
  readonly beyondCpuBytes: number;
  readonly beyondGpuBytes: number;
}

/** Room for the kept models with either the biggest or some of the others, counted on one device or on two. */
const CPU_ALONE = 600 * MIB;
const CPU_BESIDE = 290 * MIB;
const GPU = 340 * MIB;
const MOST_BEYOND_BYTES = 6 * MIB;

export function estateOf(random: Random): Estate {
  const pick = <T>(...from: readonly T[]): T => from[Math.floor(random.next() * from.length)]!;
  const machine = pick('plain', 'limited', 'gpu');
  const hasGpu = machine === 'gpu';
  const draw = (kind: Kind): ModelSpec => modelOf(kind, pick(LONGEST_TTL_MS, 3000), pick(2, 5, 8));
  const placeOf = ({ name, gpuShare }: Kind): [string, Place] => {
    const beyond = (): number => Math.floor(random.next() * MOST_BEYOND_BYTES);
    const share = hasGpu ? gpuShare : 0;
    return [fileOf(name), { gpuShare: share, beyondCpuBytes: beyond(), beyondGpuBytes: share > 0 ? beyond() : 0 }];
  };
  const models = KINDS.map(draw);
  const places = KINDS.map(placeOf);
  const poet = draw(POET_KIND);
  places.push(placeOf(POET_KIND));
  const devices = hasGpu ? [cpu(CPU_BESIDE), gpu()] : [machine === 'plain' ? cpu(CPU_ALONE) : limitedCpu()];
  const answers = Object.fromEntries(ALL.map(({ name }) => [name, `I am ${name}: naïve owls – a violin 🎻.`]));
  const script = scriptFor(devices, answers);
  const profile = profileFor('first', models);
  return { profile, second: secondOf([...models, poet]), devices, script, answers, places: Object.fromEntries(places) };
}

function fileOf(name: string): string {
  return `/models/${name}.gguf`;
}

function modelOf({ name, slots, more }: Kind, ttlMs: number, priority: number): ModelSpec {
  const file = fileOf(name);
  // Small chunks: a long prompt takes many steps, so that some are cut short before their first token.
  const generates = { file, purpose: 'generate', contextTokens: slots * 1024, slots, chunkTokens: 32 } as const;
  const load = name === 'vectors' ? ({ file, purpose: 'embed', contextTokens: 512, slots: 1 } as const) : generates;
  return modelSpec(name, { load, ttlMs, priority, ...more });
}

function secondOf(models: readonly ModelSpec[]): Profile {
  const kept = models.filter(({ name }) => !LEFT_OUT.includes(name));
  const changed = kept.map((spec): ModelSpec => {
    const { name, load } = spec;
    if (TOGETHER.includes(name)) return { ...spec, host: 'verse' };
    if (!EXCHANGED.includes(name)) return spec;
    const [slots, contextTokens] = [(load.slots ?? 1) + 1, (load.contextTokens ?? 0) + 1024];
    return { ...spec, load: { ...load, slots, contextTokens }, configHash: `${name}, other settings` };
  });
  return { ...profileFor('second', changed), routes: [{ complexity: 'simple', model: POET }] };
}

function profileFor(name: string, models: readonly ModelSpec[]): Profile {
  return profileOf(models, {
    name,
    origin: name,
    defaultModel: 'general',
    routes: [
      { kind: 'code', model: 'coder' },
      { complexity: 'simple', model: 'fast' },
    ],
    timeouts: { queueMs: 10_000, requestMs: 40_000, loadMs: 20_000, ackMs: 1000, tokenMs: 5000 },
  });
}

function scriptFor(devices: readonly SimDevice[], answers: Estate['answers']): FakeScript {
  return {
    devices: devices.map((device) => ({ ...device, description: 'simulated', freeBytes: device.totalBytes })),
    models: Object.fromEntries(
      ALL.map(({ name, fileMib }, index) => [
        fileOf(name),
        { fileBytes: fileMib * MIB, answer: answers[name] ?? '', loadMs: 100 + 200 * (index % 5), stepMs: 5 + index },
      ]),
    ),
  };
}

function cpu(totalBytes: number): SimDevice {
  return { id: 'cpu', kind: 'cpu', totalBytes };
}

/** Only the account keeps loads apart here: the device itself would have room for all. */
function limitedCpu(): SimDevice {
  return { ...cpu(4 * CPU_ALONE), limitBytes: CPU_ALONE };
}

function gpu(): SimDevice {
  return { id: 'cuda0', kind: 'cuda', totalBytes: GPU };
}
