// @ts-check
/**
 * What was planned against what was allocated and what the device itself says, for several ways to place a model. Each
 * in a process of its own: a device gives a context's own memory back only when its process ends.
 */
import { inTime } from './context.mjs';
import { modelFile } from './speed.mjs';

/** Load options, by what they show. */
const ways = {
  'all layers': {},
  'half the layers': { gpuLayers: 14 },
  'no layer': { gpuLayers: 0 },
  'quantised cache': { kvTypeK: 'q8_0', kvTypeV: 'q8_0', flashAttention: 'on' },
  'one stream for all': { kvLayout: 'unified', slots: 8 },
  'no flash attention': { flashAttention: 'off' },
};

/** Run in the child: prints one line of JSON. */
const probe = `
  import { createNativeDriver } from './dist/engine/index.js';
  const options = JSON.parse(process.argv[1]);
  const driver = createNativeDriver();
  const free = () => Object.fromEntries(driver.devices().map(({ id, freeBytes }) => [id, freeBytes]));
  const before = free();
  const planned = await driver.planMemory(options);
  const engine = await driver.load(options);
  const loaded = free();
  const done = new Promise((resolve) => engine.submit(
    { prompt: { kind: 'text', text: 'a b c '.repeat(200) }, maxTokens: 32, ignoreEos: true },
    (event) => event.type === 'finished' && resolve(event),
  ));
  const { error } = await done;
  const used = free();
  const allocated = engine.memory();
  await engine.close();
  console.log(JSON.stringify({ planned, allocated, before, loaded, used, error: error?.message }));
`;

/**
 * @param {import('./context.mjs').CheckContext} context
 * @returns {Record<string, () => Promise<object>>}
 */
export function memoryParts(context) {
  const parts = Object.entries(ways).map(([name, way]) => {
    const options = { file: modelFile(context.shape), purpose: 'generate', contextTokens: 8192, slots: 4, ...way };
    return /** @type {const} */ ([name, () => compare(context, options)]);
  });
  return Object.fromEntries(parts);
}

/**
 * @param {import('./context.mjs').CheckContext} context
 * @param {object} options
 */
async function compare(context, options) {
  const args = ['--input-type=module', '-e', probe, JSON.stringify(options)];
  const { output, failure } = await inTime(context, process.execPath, args);
  return failure === undefined ? comparison(output) : { failure };
}

/** @param {string} output */
function comparison(output) {
  const { planned, allocated, before, loaded, used, error } = JSON.parse(output.trim().split('\n').at(-1) ?? '');
  /** @param {{ devices: { device: string, weightsBytes: number, kvBytes: number, computeBytes: number }[] }} memory */
  const byDevice = (memory) =>
    Object.fromEntries(
      memory.devices.map(({ device, weightsBytes, kvBytes, computeBytes }) => [
        device,
        weightsBytes + kvBytes + computeBytes,
      ]),
    );
  const [plan, real] = [byDevice(planned), byDevice(allocated)];
  const devices = Object.keys({ ...plan, ...real }).map((device) => ({
    device,
    plannedBytes: plan[device] ?? 0,
    allocatedBytes: real[device] ?? 0,
    deviceBytesAfterLoad: before[device] - loaded[device],
    deviceBytesAfterUse: before[device] - used[device],
  }));
  return { devices, ...(error === undefined ? {} : { failure: error }) };
}
