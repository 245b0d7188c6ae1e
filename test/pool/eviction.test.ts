/** Who leaves so that a load fits: by example, then against every possible set of victims. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  COLD,
  decidePlacement,
  heatAt,
  warmed,
  type DeviceRoom,
  type Holder,
  type HolderStanding,
  type PlacementQuestion,
} from '../../src/pool/eviction.js';

const GPU: DeviceRoom = { id: 'cuda0', ceilingBytes: 100, freeBytes: Infinity, overheadBytes: 0 };
const CPU: DeviceRoom = { id: 'cpu', ceilingBytes: 100, freeBytes: Infinity, overheadBytes: 0 };

function holder(id: string, standing: HolderStanding, cuda0: number, more: Partial<Holder> = {}): Holder {
  return { id, standing, bytes: { cuda0 }, allocated: true, heat: 1, ...more };
}

function question(needs: number, holders: readonly Holder[], more: Partial<PlacementQuestion> = {}): PlacementQuestion {
  return { needs: { cuda0: needs }, devices: [GPU, CPU], holders, claims: [], settling: false, ...more };
}

describe('eviction', () => {
  it('loads what fits, to the byte', () => {
    expect(decidePlacement(question(40, [holder('a', 'busy', 60)]))).to.deep.equal({ kind: 'fits' });
    expect(decidePlacement(question(41, [holder('a', 'busy', 60)]))).to.deep.equal({ kind: 'wait' });
  });

  it('unloads the least used first, and no more than needed', () => {
    const holders = [holder('warm', 'idle', 40, { heat: 3 }), holder('cold', 'idle', 40, { heat: 0.1 })];
    expect(decidePlacement(question(50, holders))).to.deep.equal({ kind: 'evict', victims: ['cold'] });
    expect(decidePlacement(question(90, holders))).to.deep.equal({ kind: 'evict', victims: ['cold', 'warm'] });
  });

  it('spares a small cold one when a bigger one has to go anyway and is enough', () => {
    const holders = [holder('small', 'idle', 10, { heat: 0 }), holder('big', 'idle', 80, { heat: 5 })];
    expect(decidePlacement(question(85, holders))).to.deep.equal({ kind: 'evict', victims: ['big'] });
  });

  it('leaves models on other devices alone', () => {
    const elsewhere = holder('elsewhere', 'idle', 0, { bytes: { cpu: 90 }, heat: 0 });
    const here = holder('here', 'idle', 90, { heat: 9 });
    expect(decidePlacement(question(50, [elsewhere, here]))).to.deep.equal({ kind: 'evict', victims: ['here'] });
  });

  it('never touches what is kept, and says how much room there could be', () => {
    const answer = decidePlacement(question(50, [holder('pinned', 'kept', 60), holder('a', 'idle', 30)]));
    expect(answer).to.deep.equal({
      kind: 'never',
      code: 'does_not_fit',
      device: 'cuda0',
      neededBytes: 50,
      roomBytes: 40,
    });
  });

  it('waits for bytes that are on their way back instead of unloading more', () => {
    const holders = [holder('leaving', 'leaving', 60), holder('idle', 'idle', 40)];
    expect(decidePlacement(question(50, holders))).to.deep.equal({ kind: 'wait' });
  });

  it('keeps bytes for a load that came earlier and is about to be placed', () => {
    const claims = [{ cuda0: 80 }];
    expect(decidePlacement(question(30, [], { claims }))).to.deep.equal({ kind: 'wait' });
    expect(decidePlacement(question(20, [], { claims }))).to.deep.equal({ kind: 'fits' });
    const busyBeside = [holder('leaving', 'leaving', 50), holder('busy', 'busy', 10)];
    expect(decidePlacement(question(20, busyBeside, { claims }))).to.deep.equal({ kind: 'wait' });
    expect(decidePlacement(question(10, busyBeside, { claims }))).to.deep.equal({ kind: 'fits' });
  });

  it('lets a small load pass one that waits for a busy model, if both fit in the end', () => {
    const busy = [holder('busy', 'busy', 60)];
    const claims = [{ cuda0: 60 }];
    expect(decidePlacement(question(40, busy, { claims }))).to.deep.equal({ kind: 'fits' });
    expect(decidePlacement(question(41, busy, { claims }))).to.deep.equal({ kind: 'wait' });
    const kept = [holder('kept', 'kept', 10), holder('busy', 'busy', 50)];
    expect(decidePlacement(question(31, kept, { claims }))).to.deep.equal({ kind: 'wait' });
  });

  it('evicts for measured memory too, and names other programs when that is not enough', () => {
    const devices = [{ ...GPU, freeBytes: 20 }];
    const idle = [holder('a', 'idle', 30)];
    expect(decidePlacement(question(45, idle, { devices }))).to.deep.equal({ kind: 'evict', victims: ['a'] });
    expect(decidePlacement(question(55, idle, { devices }))).to.include({
      kind: 'never',
      code: 'out_of_memory',
      roomBytes: 50,
    });
  });

  it('counts the bytes of a load that is under way, and does not trust the measurement meanwhile', () => {
    const loading = holder('loading', 'busy', 50, { allocated: false });
    const devices = [{ ...GPU, freeBytes: 60 }];
    expect(decidePlacement(question(10, [loading], { devices }))).to.deep.equal({ kind: 'fits' });
    // The account has 50 left; the measurement says 10, but half of the load may be in it already.
    expect(decidePlacement(question(20, [loading, holder('a', 'idle', 10)], { devices }))).to.deep.equal({
      kind: 'wait',
    });
    expect(decidePlacement(question(20, [], { devices: [{ ...GPU, freeBytes: 10 }], settling: true }))).to.deep.equal({
      kind: 'wait',
    });
  });

  it('reckons with what a process takes beyond its plan', () => {
    const devices = [{ ...GPU, freeBytes: 50, overheadBytes: 20 }];
    expect(decidePlacement(question(30, [], { devices }))).to.deep.equal({ kind: 'fits' });
    expect(decidePlacement(question(31, [], { devices }))).to.include({ kind: 'never', roomBytes: 30 });
  });

  it('lets use fade by half each half-life', () => {
    const often = [0, 0, 0, 0].reduce((heat, at) => warmed(heat, at, 1000), COLD);
    const once = warmed(COLD, 3000, 1000);
    expect(heatAt(often, 0, 1000)).to.equal(4);
    expect(heatAt(often, 3000, 1000)).to.equal(0.5);
    expect(heatAt(once, 3000, 1000)).to.be.above(heatAt(often, 3000, 1000));
  });

  it('frees enough with idle ones only, needs each victim, and never gives up while a set of idle ones would do', () => {
    const standing = fc.constantFrom<HolderStanding>('kept', 'idle', 'idle', 'busy');
    const holders = fc
      .array(fc.record({ standing, gpu: fc.nat(30), cpu: fc.nat(30), heat: fc.nat(5) }), { maxLength: 6 })
      .map((list) =>
        list.map(({ standing: how, gpu, cpu, heat }, index): Holder => ({
          ...{ id: `h${index}`, standing: how, heat, allocated: true },
          bytes: { cuda0: gpu, cpu },
        })),
      );
    const needs = fc.record({ cuda0: fc.nat(110), cpu: fc.nat(110) });
    fc.assert(
      fc.property(holders, needs, (list, wanted) => {
        const asked = { ...question(0, list), needs: wanted };
        const room = (gone: readonly string[], device: 'cuda0' | 'cpu'): number =>
          100 - list.filter(({ id }) => !gone.includes(id)).reduce((sum, { bytes }) => sum + (bytes[device] ?? 0), 0);
        const enough = (gone: readonly string[]): boolean =>
          (['cuda0', 'cpu'] as const).every((id) => wanted[id] === 0 || wanted[id] <= room(gone, id));
        const idsOf = (...names: HolderStanding[]): string[] =>
          list.filter((entry) => names.includes(entry.standing)).map(({ id }) => id);
        const answer = decidePlacement(asked);
        switch (answer.kind) {
          case 'fits':
            expect(enough([])).to.equal(true);
            return;
          case 'evict':
            expect(idsOf('idle')).to.include.members([...answer.victims]);
            expect(enough(answer.victims)).to.equal(true);
            for (const one of answer.victims) expect(enough(answer.victims.filter((id) => id !== one))).to.equal(false);
            return;
          case 'wait':
            expect(enough(idsOf('idle')), 'idle ones would have done').to.equal(false);
            expect(enough(idsOf('idle', 'busy')), 'waiting helps').to.equal(true);
            return;
          case 'never':
            expect(enough(idsOf('idle', 'busy'))).to.equal(false);
            return;
        }
      }),
      { numRuns: 500 },
    );
  });
});
