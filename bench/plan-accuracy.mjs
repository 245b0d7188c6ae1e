/**
 * Predicted minus allocated bytes of weights, KV, compute and output buffers, over several configurations of each model;
 * CPU only, without mmap. The estimate from above (vocabulary, cell metadata) is no part of it.
 *   node bench/plan-accuracy.mjs --model FILE.gguf [--model FILE.gguf ...]
 */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { planMemory } from '../dist/engine/index.js';
import { withEngine } from './lib/engine.mjs';

const { values } = parseArgs({ options: { model: { type: 'string', multiple: true } } });
const configurations = {
  'one slot': { slots: 1, contextTokens: 2048 },
  'eight slots': { slots: 8, contextTokens: 8 * 512 },
  'eight, unified': { slots: 8, contextTokens: 8 * 512, kvLayout: 'unified' },
  'q8_0 KV': { slots: 2, contextTokens: 4096, kvTypeK: 'q8_0', kvTypeV: 'q8_0' },
  'no flash attention': { slots: 2, contextTokens: 2048, flashAttention: 'off' },
  'chunks of 512': { slots: 4, contextTokens: 4096, chunkTokens: 512 },
};

/** Bytes by kind, over all devices. */
function kinds({ devices, outputBytes }) {
  const sum = (key) => devices.reduce((total, device) => total + device[key], 0);
  return { weights: sum('weightsBytes'), KV: sum('kvBytes'), compute: sum('computeBytes'), output: outputBytes };
}

const rows = [];
let largest = 0;
for (const file of values.model) {
  for (const [name, shape] of Object.entries(configurations)) {
    const options = { file, purpose: 'generate', mmap: false, gpuLayers: 0, ...shape };
    const planned = await planMemory(options);
    const [predicted, allocated] = [planned, await withEngine(options, (engine) => engine.memory())].map(kinds);
    const row = { model: basename(file, '.gguf'), configuration: name };
    for (const kind of Object.keys(predicted)) {
      const difference = predicted[kind] - allocated[kind];
      largest = Math.max(largest, Math.abs(difference));
      row[kind] = `${(allocated[kind] / 2 ** 20).toFixed(2)} MiB ${difference === 0 ? '=' : `(${difference} B)`}`;
    }
    rows.push({ ...row, 'plan, ms': Math.round(planned.simulatedMs) });
  }
}
console.table(rows);
console.log(`${rows.length} configurations: largest difference ${largest} bytes`);
