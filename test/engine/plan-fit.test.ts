import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { DeviceInfo, EngineDriver, LoadOptions, MemoryPlan } from '../../src/engine/engine.js';
import { MAX_FIT_PLANS, planFit, type FitRequest } from '../../src/engine/plan-fit.js';
import { expectError } from './run-sequence.js';

/** A model of `layers` layers, of which each weighs 100, its experts 60 of them; a token costs 1 byte per layer. */
interface Shape {
  readonly layers: number;
  readonly hasExperts: boolean;
  readonly gpus: readonly string[];
}

const layerBytes = 100;
const expertBytes = 60;
const embeddingBytes = 50;

function plannedBytes({ layers, hasExperts }: Shape, options: LoadOptions): MemoryPlan {
  const devices = options.devices ?? [];
  const slots = options.slots ?? 1;
  const contextTokens = options.contextTokens ?? (options.contextTokensPerSlot ?? 4096) * slots;
  if ((options.contextTokensPerSlot ?? 0) * slots > contextTokens) {
    throw new LlamaestroError('invalid_request', 'slots that hold more than there is');
  }
  if ((options.tensorSplit ?? devices).length !== devices.length) {
    throw new LlamaestroError('invalid_request', 'shares without devices');
  }
  const gpuLayers = devices.length === 0 ? 0 : Math.min(Number(options.gpuLayers ?? 0), layers + 1);
  const bytes = new Map<string, { weightsBytes: number; kvBytes: number }>([
    ['cpu', { weightsBytes: embeddingBytes, kvBytes: 0 }],
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const first = layers + 1 - gpuLayers;
    const onGpu = layer >= first;
    const device = onGpu ? (devices[Math.floor(((layer - first) * devices.length) / gpuLayers)] ?? 'cpu') : 'cpu';
    const experts = hasExperts && layer < (options.cpuMoeLayers ?? 0) ? expertBytes : 0;
    const at = (id: string): { weightsBytes: number; kvBytes: number } => {
      const found = bytes.get(id) ?? { weightsBytes: 0, kvBytes: 0 };
      bytes.set(id, found);
      return found;
    };
    at(device).weightsBytes += layerBytes - experts;
    at('cpu').weightsBytes += experts;
    at(device).kvBytes += contextTokens;
  }
  const rows = [...bytes].map(([device, held]) => ({ device, ...held, computeBytes: 0 }));
  return {
    devices: rows,
    outputBytes: slots,
    estimatedExtraBytes: 10,
    totalBytes: rows.reduce((sum, { weightsBytes, kvBytes }) => sum + weightsBytes + kvBytes, slots + 10),
    contextTokens,
    contextTokensPerSlot: Math.floor(contextTokens / slots),
    slots,
    gpuLayers,
    prefixCacheBytes: 0,
    simulatedMs: 0,
  };
}

function driverOf(shape: Shape): EngineDriver {
  const device = (id: string, kind: DeviceInfo['kind']): DeviceInfo => ({
    id,
    kind,
    description: id,
    totalBytes: 1e12,
    freeBytes: 1e12,
  });
  return {
    kind: 'fake',
    build: 'plans only',
    devices: () => [...shape.gpus.map((id) => device(id, 'cuda')), device('cpu', 'cpu')],
    planMemory: async (options) => plannedBytes(shape, options),
    load: () => Promise.reject(new Error('a search for a fit loads nothing')),
  };
}

const dense: Shape = { layers: 10, hasExperts: false, gpus: ['cuda0'] };
const sparse: Shape = { ...dense, hasExperts: true };
const options: LoadOptions = { file: 'm.gguf', purpose: 'generate', slots: 4, contextTokens: 4 * 4096 };
const plenty = 1e9;

describe('fit mode', () => {
  const fit = (shape: Shape, budgets: FitRequest['budgets'], more: Partial<FitRequest> = {}) =>
    planFit(driverOf(shape), { options, budgets, ...more });

  it('changes nothing when everything fits', async () => {
    const { options: chosen, plan, reasons } = await fit(dense, { cpu: plenty, cuda0: plenty });
    expect(reasons).to.deep.equal([]);
    expect(plan).to.include({ slots: 4, contextTokensPerSlot: 4096, gpuLayers: 11 });
    expect(chosen).to.include({ slots: 4, contextTokens: 16384, gpuLayers: 11 });
  });

  it('shortens the context first, to the longest that fits', async () => {
    // 10 layers of 100 and 4 slots of 2000 tokens in 10 layers.
    const { plan, reasons } = await fit(dense, { cpu: plenty, cuda0: 1000 + 4 * 2000 * 10 });
    expect(plan).to.include({ slots: 4, gpuLayers: 11 });
    expect(plan.contextTokensPerSlot).to.be.within(2000 - 255, 2000);
    expect(reasons).to.have.length(2);
    expect(reasons[0]).to.include('cuda0');
    expect(reasons[1]).to.include('4096');
  });

  it('shortens it too when it was asked for by the slot', async () => {
    const { contextTokens: _, ...rest } = options;
    const wanted = { ...rest, contextTokensPerSlot: 4096 };
    const budgets = { cpu: plenty, cuda0: 1000 + 4 * 2000 * 10 };
    const { plan } = await fit(dense, budgets, { options: wanted });
    expect(plan.contextTokensPerSlot).to.be.within(2000 - 255, 2000);
  });

  it('leaves the shares of devices without a budget out', async () => {
    const shape = { ...dense, gpus: ['cuda0', 'cuda1'] };
    const wanted = { ...options, tensorSplit: [3, 1], mainDevice: 'cuda0' };
    const { options: chosen } = await fit(shape, { cpu: plenty, cuda1: plenty }, { options: wanted });
    expect(chosen).to.deep.include({ devices: ['cuda1'], tensorSplit: [1] });
    expect(chosen).not.to.have.property('mainDevice');
  });

  it('gives up slots when the shortest context does not help', async () => {
    const { plan, reasons } = await fit(dense, { cpu: plenty, cuda0: 1000 + 3 * 512 * 10 });
    expect(plan).to.include({ slots: 3, contextTokensPerSlot: 512, gpuLayers: 11 });
    expect(reasons.join(' ')).to.include('3 slots and not 4');
  });

  it('sends experts to the CPU before layers', async () => {
    const { plan, options: chosen, reasons } = await fit(sparse, { cpu: plenty, cuda0: 1000 + 512 * 10 - 150 });
    expect(plan).to.include({ slots: 1, gpuLayers: 11 });
    expect(chosen.cpuMoeLayers).to.equal(3);
    expect(reasons.join(' ')).to.include('experts of the first 3 layers');
  });

  it('sends layers to the CPU last', async () => {
    const budgets = { cpu: plenty, cuda0: 5 * (100 + 512) };
    const whole = await fit(dense, budgets);
    expect(whole.plan).to.include({ slots: 1, contextTokensPerSlot: 512 });
    expect(whole.plan.gpuLayers).to.equal(6);
    const withExperts = await fit(sparse, budgets);
    expect(withExperts.options.cpuMoeLayers).to.equal(10);
    expect(withExperts.plan.gpuLayers).to.be.within(6, 8);
  });

  it('uses what is left over for a longer context', async () => {
    const { plan } = await fit(dense, { cpu: plenty, cuda0: 100 + 1024 });
    expect(plan.gpuLayers).to.equal(2);
    expect(plan.contextTokensPerSlot).to.equal(1024);
  });

  it('keeps to the CPU when no device has a budget', async () => {
    const { plan, options: chosen } = await fit(dense, { cpu: 1100 + 4 * 1024 * 10 });
    expect(plan).to.include({ gpuLayers: 0, slots: 4, contextTokensPerSlot: 1024 });
    expect(chosen.devices).to.deep.equal([]);
  });

  it('leaves alone what the caller fixed', async () => {
    const fixed = { ...options, gpuLayers: 11 };
    const budgets = { cpu: plenty, cuda0: 500 };
    const error = await expectError('does_not_fit', () => fit(dense, budgets, { options: fixed }));
    expect(error.details).to.include({ device: 'cuda0', freeBytes: 500 });
    const slots = await expectError('does_not_fit', () =>
      fit(dense, { cpu: 1100 + 512 * 10 }, { minSlots: 2, minContextTokensPerSlot: 512 }),
    );
    expect(slots.details).to.include({ device: 'cpu' });
  });

  it('refuses what fits in no form, with the bytes of the smallest', async () => {
    const error = await expectError('does_not_fit', () => fit(sparse, { cpu: 100, cuda0: 100 }));
    expect(error.message).to.include('smallest');
  });

  it('refuses budgets and bounds that are none', async () => {
    const bad: readonly Partial<FitRequest>[] = [
      { budgets: { cpu: -1 } },
      { budgets: { cpu: Number.NaN } },
      { minSlots: 5 },
      { minContextTokensPerSlot: 1 },
    ];
    for (const more of bad) await expectError('invalid_request', () => fit(dense, { cpu: plenty }, more));
  });

  it('hands the signal to every plan, and ends with it', async () => {
    const controller = new AbortController();
    let plans = 0;
    const driver: EngineDriver = {
      ...driverOf(dense),
      planMemory: async (wanted, signal) => {
        plans += 1;
        if (plans === 3) controller.abort();
        if (signal?.aborted) throw new LlamaestroError('cancelled', 'the load was cancelled');
        return plannedBytes(dense, wanted);
      },
    };
    const budgets = { cpu: plenty, cuda0: 1000 + 4 * 2000 * 10 };
    await expectError('cancelled', () => planFit(driver, { options, budgets }, controller.signal));
    expect(plans).to.equal(3);
  });

  it('always fits into the budgets it was given, with a bounded number of plans', async () => {
    for (const shape of [dense, sparse, { ...sparse, layers: 80, gpus: ['cuda0', 'cuda1'] }]) {
      for (let budget = 0; budget < 200_000; budget += 7919) {
        const budgets = { cpu: budget, cuda0: budget / 2, cuda1: budget / 3 };
        const result = await fit(shape, budgets).catch((error: unknown) => {
          expect(error).to.have.property('code', 'does_not_fit');
        });
        if (!result) continue;
        for (const { device, weightsBytes, kvBytes } of result.plan.devices) {
          expect(weightsBytes + kvBytes).to.be.at.most(budgets[device as keyof typeof budgets]);
        }
        expect(result.plans).to.be.at.most(MAX_FIT_PLANS);
        expect(await driverOf(shape).planMemory(result.options)).to.deep.equal(result.plan);
      }
    }
  });
});
