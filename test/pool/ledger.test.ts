/** Bytes are claimed once: over any order of loads, ends and corrections no device is booked beyond its ceiling. */
import { expect } from 'chai';
import fc from 'fast-check';
import * as ledgers from '../../src/pool/ledger.js';
import type { MemoryPlan } from '../../src/schema/load.js';

const CEILINGS = { cpu: 100, cuda0: 60 };
const DEVICES = Object.keys(CEILINGS) as (keyof typeof CEILINGS)[];

const plan: MemoryPlan = {
  devices: [
    { device: 'cuda0', weightsBytes: 100, kvBytes: 20, computeBytes: 3 },
    { device: 'cpu', weightsBytes: 10, kvBytes: 0, computeBytes: 1 },
  ],
  outputBytes: 5,
  estimatedExtraBytes: 2,
  totalBytes: 141,
  contextTokens: 512,
  contextTokensPerSlot: 256,
  slots: 2,
  gpuLayers: 3,
  simulatedMs: 1,
};

function book(ledger: ledgers.Ledger, holder: string, needs: ledgers.DeviceBytes): ledgers.Ledger | undefined {
  const result = ledgers.reserve(ledger, holder, needs, CEILINGS);
  return 'ledger' in result ? result.ledger : undefined;
}

describe('ledger', () => {
  it('counts every buffer of a plan on its device, and what has no device on the CPU', () => {
    const bytes = ledgers.bytesOf(plan);
    expect(bytes).to.deep.equal({ cuda0: 123, cpu: 18 });
    expect(Object.values(bytes).reduce((sum, part) => sum + part)).to.equal(plan.totalBytes);
  });

  it('refuses the second of two loads that claim the same bytes, naming device and room', () => {
    const first = book(ledgers.EMPTY_LEDGER, 'a', { cpu: 60 }) ?? ledgers.EMPTY_LEDGER;
    expect(ledgers.reserve(first, 'b', { cpu: 41 }, CEILINGS)).to.deep.equal({
      shortage: { device: 'cpu', neededBytes: 41, roomBytes: 40 },
    });
    expect(book(first, 'b', { cpu: 40 })).to.have.property('b');
  });

  it('gives everything back at the end', () => {
    const booked = book(ledgers.EMPTY_LEDGER, 'a', { cpu: 60, cuda0: 10 }) ?? ledgers.EMPTY_LEDGER;
    expect(ledgers.release(ledgers.commit(booked, 'a', { cpu: 70 }), 'a')).to.deep.equal(ledgers.EMPTY_LEDGER);
    expect(ledgers.release(ledgers.EMPTY_LEDGER, 'a')).to.deep.equal(ledgers.EMPTY_LEDGER);
  });

  it('is never overbooked, whatever the order', () => {
    const needs = fc.record({ cpu: fc.nat(120), cuda0: fc.nat(80) }, { requiredKeys: [] });
    const step = fc.record({
      do: fc.constantFrom('reserve', 'reserve', 'commit', 'release'),
      who: fc.nat(5),
      needs,
      share: fc.nat(100),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (history) => {
        let ledger = ledgers.EMPTY_LEDGER;
        for (const { do: action, who, needs: wanted, share } of history) {
          const holder = `h${who}`;
          const entry = ledger[holder];
          if (action === 'reserve' && entry === undefined) {
            const room = DEVICES.every((d) => (wanted[d] ?? 0) <= CEILINGS[d] - ledgers.heldBytes(ledger, d));
            const next = book(ledger, holder, wanted);
            expect(next !== undefined, 'granted exactly when there is room').to.equal(room);
            ledger = next ?? ledger;
          } else if (action === 'commit' && entry !== undefined) {
            const less = Object.entries(entry.bytes).map(
              ([d, bytes]) => [d, Math.floor((bytes * share) / 100)] as const,
            );
            ledger = ledgers.commit(ledger, holder, Object.fromEntries(less));
          } else if (action === 'release') {
            const before = DEVICES.map((d) => ledgers.heldBytes(ledger, d));
            ledger = ledgers.release(ledger, holder);
            const freed = DEVICES.map((d, index) => (before[index] ?? 0) - ledgers.heldBytes(ledger, d));
            expect(freed).to.deep.equal(DEVICES.map((d) => entry?.bytes[d] ?? 0));
          }
          for (const device of DEVICES) expect(ledgers.heldBytes(ledger, device)).to.be.at.most(CEILINGS[device]);
        }
      }),
    );
  });
});
