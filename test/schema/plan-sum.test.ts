/** The bytes of several loads as those of one. */
import { expect } from 'chai';
import type { MemoryPlan } from '../../src/schema/load.js';
import { sumOfPlans } from '../../src/schema/plan-sum.js';

function plan(device: string, bytes: number): MemoryPlan {
  return {
    devices: [
      { device: 'cpu', weightsBytes: 1, kvBytes: 2, computeBytes: 3 },
      { device, weightsBytes: bytes, kvBytes: 0, computeBytes: 0 },
    ],
    ...{ outputBytes: 4, estimatedExtraBytes: 5, totalBytes: 15 + bytes, contextTokens: 8, slots: 2 },
    ...{ contextTokensPerSlot: 4, gpuLayers: 1, simulatedMs: 1, build: 'b' },
    observed: [{ device: 'cpu', plannedBytes: 1, allocatedBytes: 1, observedBytes: 1 }],
  };
}

describe('sum of plans', () => {
  it('leaves a single one as it is', () => {
    const one = plan('cuda0', 10);
    expect(sumOfPlans([one])).to.equal(one);
  });

  it('adds device by device, and leaves out what each observed of the others too', () => {
    const sum = sumOfPlans([plan('cuda0', 10), plan('cuda1', 20), plan('cuda0', 30)]);
    expect(sum.devices).to.have.deep.members([
      { device: 'cpu', weightsBytes: 3, kvBytes: 6, computeBytes: 9 },
      { device: 'cuda0', weightsBytes: 40, kvBytes: 0, computeBytes: 0 },
      { device: 'cuda1', weightsBytes: 20, kvBytes: 0, computeBytes: 0 },
    ]);
    expect(sum).to.include({ outputBytes: 12, estimatedExtraBytes: 15, totalBytes: 105, build: 'b' });
    expect(sum).to.not.have.property('observed');
  });
});
