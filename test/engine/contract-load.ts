/** The part of the engine contract about devices, plans, loads and closing. */
import { expect } from 'chai';
import type { LoadOptions, MemoryPlan } from '../../src/engine/engine.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence, say } from './run-sequence.js';

export function loadContract(subject: () => ContractSubject): void {
  const options = (changes: Partial<LoadOptions> = {}): LoadOptions => ({
    file: subject().files.talk,
    purpose: 'generate',
    contextTokens: 512,
    slots: 2,
    threads: 1,
    ...changes,
  });

  it('names its devices, the CPU among them', () => {
    const devices = subject().driver.devices();
    expect(devices.map(({ id }) => id)).to.include('cpu');
    for (const device of devices) expect(device.freeBytes).to.be.within(1, device.totalBytes);
  });

  it('plans bytes that add up, for the context and slots that were asked for', async () => {
    const plan = await subject().driver.planMemory(options({ contextTokens: 511 }));
    const sum = plan.devices.reduce((bytes, { weightsBytes, kvBytes, computeBytes }) => {
      return bytes + weightsBytes + kvBytes + computeBytes;
    }, plan.outputBytes + plan.estimatedExtraBytes);
    expect(plan.totalBytes).to.equal(sum);
    expect(plan).to.include({ slots: 2, contextTokensPerSlot: 255, gpuLayers: 0 });
    const larger = await subject().driver.planMemory(options({ contextTokens: 2048 }));
    expect(larger.totalBytes).to.be.greaterThan(plan.totalBytes);
  });

  it('places tensors on the CPU when it is asked to, which changes no byte where there is nothing else', async () => {
    const { driver } = subject();
    const plan = await driver.planMemory(options({ devices: [] }));
    const placed = await driver.planMemory(
      options({
        devices: [],
        splitMode: 'layer',
        cpuMoeLayers: 8,
        tensorOverrides: [{ pattern: '^blk\\.[0-9]+\\.ffn_(up|down)', device: 'cpu' }],
      }),
    );
    // Weights apart: an engine loaded alike, and not yet collected, may share them with one of the two.
    const places = ({ devices }: MemoryPlan): unknown => devices.map(({ weightsBytes: _, ...rest }) => rest);
    expect(places(placed)).to.deep.equal(places(plan));
    expect(placed.outputBytes).to.equal(plan.outputBytes);
  });

  it('loads with rising progress up to 1 and says what it loaded', async () => {
    const progress: number[] = [];
    const engine = await subject().driver.load(options(), (fraction) => progress.push(fraction));
    try {
      expect(progress).to.deep.equal([...progress].sort((left, right) => left - right));
      expect(progress.at(-1)).to.equal(1);
      expect(engine.info).to.include({ purpose: 'generate', slots: 2, contextTokens: 512, contextTokensPerSlot: 256 });
      expect(engine.info.vocabSize).to.be.greaterThan(1);
      expect(engine.planned.slots).to.equal(2);
      expect(engine.stats()).to.include({ running: 0, waiting: 0, stalledMs: 0 });
    } finally {
      await engine.close();
    }
  });

  it('takes the chunk that an earlier load measured, under the same plan', async () => {
    const { driver } = subject();
    const engine = await driver.load(options({ measuredChunkTokens: 32 }));
    expect(engine.info.chunkTokens).to.equal(32);
    const { planned } = engine;
    await engine.close();
    expect(planned.totalBytes).to.equal((await driver.planMemory(options())).totalBytes);
  });

  it('closes once, however often it is asked', async () => {
    const engine = await subject().driver.load(options());
    const first = engine.close();
    expect(engine.close()).to.equal(first);
    await first;
    await expectError('cancelled', () => engine.submit({ prompt: say('hi') }, () => undefined));
    await expectError('cancelled', () => engine.tokenize(say('hi')));
  });

  it('ends running and waiting sequences before close resolves', async () => {
    const engine = await subject().driver.load(options({ file: subject().files.endless, slots: 1 }));
    const reasons: string[] = [];
    const started = new Promise<void>((resolve) => {
      for (let index = 0; index < 4; index++) {
        engine.submit({ prompt: say('go on'), ignoreEos: true }, (event) => {
          if (event.type === 'tokens') resolve();
          if (event.type === 'finished') reasons.push(event.reason);
        });
      }
    });
    await started;
    await engine.close();
    expect(reasons).to.deep.equal(['cancelled', 'cancelled', 'cancelled', 'cancelled']);
  });

  it('refuses a file that is no model, when planning and when loading', async () => {
    const { driver, files } = subject();
    const planned = await expectError('model_unusable', () => driver.planMemory(options({ file: files.broken })));
    expect(planned.message).to.include('broken');
    await expectError('model_unusable', () => driver.load(options({ file: files.broken })));
  });

  const badOptions: readonly [string, Record<string, unknown>][] = [
    ['file', { file: '' }],
    ['file', { file: 'a\0b' }],
    ['purpose', { purpose: 'talk' }],
    ['purpose', { purpose: undefined }],
    ['contextTokens', { contextTokens: 0 }],
    ['contextTokens', { contextTokens: 2 ** 24 + 1 }],
    ['contextTokens', { contextTokens: 3, slots: 4 }],
    ['slots', { slots: 257 }],
    ['slots', { slots: 1.5 }],
    ['gpuLayers', { gpuLayers: -1 }],
    ['gpuLayers', { gpuLayers: 'all' }],
    ['kvTypeK', { kvTypeK: 'q4_k' }],
    ['kvTypeV', { kvTypeV: 8 }],
    ['flashAttention', { flashAttention: true }],
    ['kvLayout', { kvLayout: 'ring' }],
    ['threads', { threads: 100_000 }],
    ['chunkTokens', { chunkTokens: 15 }],
    ['measuredChunkTokens', { measuredChunkTokens: 5000 }],
    ['mmap', { mmap: 'yes' }],
    ['stepLock', { stepLock: '' }],
    ['devices', { devices: 'cuda0' }],
    ['devices', { devices: ['cuda77'] }],
    ['devices', { devices: ['cpu'] }],
    ['devices', { devices: ['cuda0', 'cuda0'] }],
    ['devices', { devices: Array.from({ length: 17 }, (_, index) => `cuda${index}`) }],
    ['splitMode', { splitMode: 'columns' }],
    ['mainDevice', { mainDevice: 'cuda0' }],
    ['mainDevice', { mainDevice: 7, splitMode: 'none' }],
    ['tensorSplit', { tensorSplit: [1, Number.NaN] }],
    ['tensorSplit', { tensorSplit: [0, 0] }],
    ['tensorSplit', { tensorSplit: [-1] }],
    ['cpuMoeLayers', { cpuMoeLayers: 513 }],
    ['cpuMoeLayers', { cpuMoeLayers: 0.5 }],
    ['tensorOverrides', { tensorOverrides: [{ pattern: '(a+)+$', device: 'cpu' }] }],
    ['tensorOverrides', { tensorOverrides: [{ pattern: 'blk', device: 'cuda77' }] }],
    ['tensorOverrides', { tensorOverrides: [{ pattern: 'blk' }] }],
    ['tensorOverrides', { tensorOverrides: [null] }],
    ['tensorOverrides', { tensorOverrides: Array.from({ length: 65 }, () => ({ pattern: 'a', device: 'cpu' })) }],
  ];
  for (const [param, changes] of badOptions) {
    it(`refuses the load option ${JSON.stringify(changes)} by name`, async () => {
      const bad = { ...options(), ...changes } as LoadOptions;
      const error = await expectError('invalid_request', () => subject().driver.load(bad));
      expect(error.param).to.equal(param);
      expect((await expectError('invalid_request', () => subject().driver.planMemory(bad))).param).to.equal(param);
    });
  }

  it('does not begin a load whose signal is aborted', async () => {
    let progressed = false;
    const onProgress = (): void => {
      progressed = true;
    };
    await expectError('cancelled', () => subject().driver.load(options(), onProgress, AbortSignal.abort()));
    expect(progressed).to.equal(false);
  });

  it('does not begin a plan whose signal is aborted, and ends one that waits for a load', async () => {
    const { driver } = subject();
    await expectError('cancelled', () => driver.planMemory(options(), AbortSignal.abort()));
    const abort = new AbortController();
    const load = driver.load(options(), () => abort.abort());
    // Where the plan was quicker than the load's first progress, it may have an answer.
    const plan = driver.planMemory(options(), abort.signal);
    await plan.catch((thrown: { code: string }) => expect(thrown.code).to.equal('cancelled'));
    await (await load).close();
  });

  it('stops a load under way when its signal aborts, and can load afterwards', async () => {
    const { driver } = subject();
    const abort = new AbortController();
    const load = driver.load(options(), () => abort.abort(), abort.signal);
    await expectError('cancelled', () => load);
    const engine = await driver.load(options());
    const { finished } = await runSequence(engine, { prompt: say('hi'), temperature: 0 });
    expect(finished.reason).to.equal('stop');
    await engine.close();
  });
}
