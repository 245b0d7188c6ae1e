/** The text of the metrics, and who stands in it. */
import { expect } from 'chai';
import { metricsText } from '../../src/api/metrics.js';
import type { PoolStatus } from '../../src/pool/pool.js';

const row = {
  ...{ device: 'cpu', totalBytes: 100, ceilingBytes: 90, plannedBytes: 30, extraBytes: 4, allocatedBytes: 31 },
  ...{ measuredBytes: 33, reservedBytes: 0, heldBytes: 35, spareBytes: 0, foreignBytes: 10, freeBytes: 50 },
};
const plan = {
  ...{ devices: [{ device: 'cpu', weightsBytes: 20, kvBytes: 5, computeBytes: 3 }], outputBytes: 1 },
  ...{ estimatedExtraBytes: 1, totalBytes: 30, contextTokens: 1, contextTokensPerSlot: 1, slots: 1 },
  ...{ gpuLayers: 0, simulatedMs: 0 },
};
const status: PoolStatus = {
  models: [
    {
      ...{ name: 'coder', role: 'coder', state: 'ready', available: true, slots: 1, leased: 0, queued: 0, loads: 1 },
      queuedByClass: { interactive: 0, normal: 0, background: 0 },
      health: { verdict: 'busy', wordAgeMs: 100, stillMs: 1500, longestStepMs: 40, complaints: [], speedRatio: 0.4 },
      ...{ crashes: 0, generatedTokens: 0, promptTokens: 0, planned: plan, extra: { cpu: 4 }, measured: { cpu: 33 } },
    },
  ],
  vigil: { eventLoopLagMs: 250, cpuPressure: 0, neglects: [{ model: 'coder', why: 'nobody loads it', sinceMs: 5 }] },
  nodes: [
    {
      nid: 'n "1"',
      devices: [],
      ledger: [row],
      quarantines: [{ device: 'cpu', model: 'a', missingBytes: 1, sinceMs: 0 }],
    },
  ],
};

describe('metrics', () => {
  it('tells what was predicted and what is seen, by model and device', () => {
    const lines = metricsText(status).split('\n');
    expect(lines).to.include('llamaestro_model_memory_bytes{model="coder",device="cpu",kind="planned"} 30');
    expect(lines).to.include('llamaestro_model_memory_bytes{model="coder",device="cpu",kind="extra"} 4');
    expect(lines).to.include('llamaestro_model_memory_bytes{model="coder",device="cpu",kind="measured"} 33');
    expect(lines).to.include('llamaestro_device_memory_bytes{node="n \\"1\\"",device="cpu",kind="held"} 35');
    expect(lines).to.include('llamaestro_model_health{model="coder",verdict="busy"} 1');
    expect(lines).to.include('llamaestro_model_speed_ratio{model="coder"} 0.4');
    expect(lines).to.include('llamaestro_event_loop_lag_seconds{} 0.25');
    expect(lines).to.include('llamaestro_scheduler_stuck{model="coder"} 1');
    expect(lines).to.include('llamaestro_device_quarantined{node="n \\"1\\"",device="cpu"} 1');
  });

  it('has the form of the format: a type before each family, a new line at the end, no other characters', () => {
    const text = metricsText(status);
    expect(text.endsWith('\n')).to.equal(true);
    for (const line of text.trimEnd().split('\n')) {
      expect(line).to.match(/^(# (HELP|TYPE) \w+ .+|\w+\{(\w+="([^"\\\n]|\\.)*",?)*\} -?\d+(\.\d+)?)$/);
    }
  });
});
