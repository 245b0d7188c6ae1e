/** Bytes are claimed once: over any order of loads, ends and corrections no device is booked beyond its ceiling. */
import { expect } from 'chai';
import fc from 'fast-check';
import * as ledgers from '../../src/pool/ledger.js';
import type { DeviceBytes } from '../../src/pool/ledger.js';
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

function book(
  ledger: ledgers.Ledger,
  holder: string,
  planned: DeviceBytes,
  extra: DeviceBytes = {},
): ledgers.Ledger | undefined {
  const result = ledgers.reserve(ledger, holder, { planned, extra }, CEILINGS);
  return 'ledger' in result ? result.ledger : undefined;
}

const CPU = { id: 'cpu', kind: 'cpu', description: '', totalBytes: 120, freeBytes: 50 } as const;

describe('ledger', () => {
  it('counts every buffer of a plan on its device, and what has no device on the CPU', () => {
    const bytes = ledgers.bytesOf(plan);
    expect(bytes).to.deep.equal({ cuda0: 123, cpu: 18 });
    expect(Object.values(bytes).reduce((sum, part) => sum + part)).to.equal(plan.totalBytes);
  });

  it('refuses the second of two loads that claim the same bytes, naming device and room', () => {
    const first = book(ledgers.EMPTY_LEDGER, 'a', { cpu: 50 }, { cpu: 10 }) ?? ledgers.EMPTY_LEDGER;
    expect(ledgers.reserve(first, 'b', { planned: { cpu: 40 }, extra: { cpu: 1 } }, CEILINGS)).to.deep.equal({
      shortage: { device: 'cpu', neededBytes: 41, roomBytes: 40 },
    });
    expect(book(first, 'b', { cpu: 40 })).to.have.property('b');
  });

  it('holds what was allocated and what comes on top, and never less than what is seen', () => {
    const booked = book(ledgers.EMPTY_LEDGER, 'a', { cpu: 60, cuda0: 10 }, { cpu: 5 }) ?? ledgers.EMPTY_LEDGER;
    const early = ledgers.measure(booked, 'a', { cpu: 90 });
    expect(early, 'what is not loaded is not measured').to.equal(booked);
    const loaded = ledgers.commit(booked, 'a', { cpu: 58, cuda0: 10 });
    expect(ledgers.heldBytes(loaded, 'cpu')).to.equal(63);
    const seen = ledgers.measure(loaded, 'a', { cpu: 40 });
    expect(ledgers.heldBytes(seen, 'cpu'), 'pages not yet touched are still its own').to.equal(63);
    expect(ledgers.presentOf(seen['a']!)).to.deep.equal({ cpu: 40, cuda0: 10 });
    expect(ledgers.heldBytes(ledgers.measure(loaded, 'a', { cpu: 70 }), 'cpu')).to.equal(70);
    expect(ledgers.measure(ledgers.release(seen, 'a'), 'a', { cpu: 1 })).to.deep.equal(ledgers.EMPTY_LEDGER);
  });

  it('gives everything back at the end', () => {
    const booked = book(ledgers.EMPTY_LEDGER, 'a', { cpu: 60, cuda0: 10 }) ?? ledgers.EMPTY_LEDGER;
    expect(ledgers.release(ledgers.commit(booked, 'a', { cpu: 70 }), 'a')).to.deep.equal(ledgers.EMPTY_LEDGER);
    expect(ledgers.release(ledgers.EMPTY_LEDGER, 'a')).to.deep.equal(ledgers.EMPTY_LEDGER);
  });

  it('shows the account of a device: loaded, in flight, others, free', () => {
    const loaded = ledgers.commit(book(ledgers.EMPTY_LEDGER, 'a', { cpu: 30 }, { cpu: 4 })!, 'a', { cpu: 31 });
    const ledger = book(ledgers.measure(loaded, 'a', { cpu: 33 }), 'b', { cpu: 20 }, { cpu: 2 })!;
    expect(ledgers.rowOf(ledger, CPU, 100)).to.deep.equal({
      ...{ device: 'cpu', totalBytes: 120, ceilingBytes: 100, plannedBytes: 30, extraBytes: 4, allocatedBytes: 31 },
      ...{ measuredBytes: 33, reservedBytes: 22, heldBytes: 57, spareBytes: 0, foreignBytes: 37, freeBytes: 28 },
    });
    expect(ledgers.rowOf(ledger, CPU, 100, 7), 'ours too').to.include({
      spareBytes: 7,
      foreignBytes: 30,
      freeBytes: 28,
    });
    expect(ledgers.rowOf(ledger, { ...CPU, freeBytes: 119 }, 60)).to.include({ foreignBytes: 0, freeBytes: 3 });
  });

  it('is never overbooked, whatever the order', () => {
    const bytes = fc.record({ cpu: fc.nat(120), cuda0: fc.nat(80) }, { requiredKeys: [] });
    const extra = fc.record({ cpu: fc.nat(9), cuda0: fc.nat(9) }, { requiredKeys: [] });
    const step = fc.record({
      do: fc.constantFrom('reserve', 'reserve', 'commit', 'measure', 'release'),
      ...{ who: fc.nat(5), planned: bytes, extra, share: fc.nat(100) },
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (history) => {
        let ledger = ledgers.EMPTY_LEDGER;
        for (const { do: action, who, planned, extra: onTop, share } of history) {
          const holder = `h${who}`;
          const entry = ledger[holder];
          const shareOf = (of: DeviceBytes): DeviceBytes =>
            Object.fromEntries(Object.entries(of).map(([d, count]) => [d, Math.floor((count * share) / 100)]));
          const before = DEVICES.map((d) => ledgers.heldBytes(ledger, d));
          if (action === 'reserve' && entry === undefined) {
            const wanted = ledgers.sumOf(planned, onTop);
            const room = DEVICES.every((d, index) => (wanted[d] ?? 0) <= CEILINGS[d] - (before[index] ?? 0));
            const next = book(ledger, holder, planned, onTop);
            expect(next !== undefined, 'granted exactly when there is room').to.equal(room);
            ledger = next ?? ledger;
          } else if (action === 'commit' && entry !== undefined) {
            ledger = ledgers.commit(ledger, holder, shareOf(entry.planned));
          } else if (action === 'measure' && entry?.allocated !== undefined) {
            ledger = ledgers.measure(ledger, holder, shareOf(entry.allocated));
            expect(
              DEVICES.map((d) => ledgers.heldBytes(ledger, d)),
              'less is seen, not held',
            ).to.deep.equal(before);
          } else if (action === 'release') {
            ledger = ledgers.release(ledger, holder);
            const freed = DEVICES.map((d, index) => (before[index] ?? 0) - ledgers.heldBytes(ledger, d));
            const held = entry === undefined ? {} : ledgers.holdsOf(entry);
            expect(freed).to.deep.equal(DEVICES.map((d) => held[d] ?? 0));
          }
          for (const device of DEVICES) {
            expect(ledgers.heldBytes(ledger, device)).to.be.at.most(CEILINGS[device]);
            const row = ledgers.rowOf(ledger, { ...CPU, id: device }, CEILINGS[device]);
            expect(row.freeBytes).to.be.within(0, CEILINGS[device] - row.heldBytes);
          }
        }
      }),
    );
  });
});
