/** Who leaves so that a load fits: by example, then against every possible set of victims. */
import { expect } from 'chai';
import fc from 'fast-check';
import {
  decidePlacement,
  type DeviceRoom,
  type Holder,
  type HolderStanding,
  type Needs,
  type PlacementQuestion,
} from '../../src/pool/eviction.js';

const GPU: DeviceRoom = { id: 'cuda0', ceilingBytes: 100, freeBytes: 1000 };
const CPU: DeviceRoom = { id: 'cpu', ceilingBytes: 100, freeBytes: 1000 };

function holder(id: string, standing: HolderStanding, cuda0: number, more: Partial<Holder> = {}): Holder {
  const { bytes = { cuda0 }, allocated = true } = more;
  const seen = allocated ? { present: bytes, missing: {} } : { present: {}, missing: bytes };
  return { id, standing, bytes, allocated, cost: 1, ...seen, ...more };
}

function needs(cuda0: number, overhead = 0): Needs {
  return { booked: { cuda0 }, taken: { cuda0: cuda0 + overhead } };
}

function question(cuda0: number, holders: readonly Holder[], more: Partial<PlacementQuestion> = {}): PlacementQuestion {
  const calm = { claims: [], settling: false, isOverdue: false };
  return { needs: needs(cuda0), devices: [GPU, CPU], holders, ...calm, ...more };
}

function subsetsOf(ids: readonly string[]): readonly (readonly string[])[] {
  return ids.reduce<readonly (readonly string[])[]>((sets, id) => [...sets, ...sets.map((set) => [...set, id])], [[]]);
}

describe('eviction', () => {
  it('loads what fits, to the byte', () => {
    expect(decidePlacement(question(40, [holder('a', 'busy', 60)]))).to.deep.equal({ kind: 'fits' });
    expect(decidePlacement(question(41, [holder('a', 'busy', 60)]))).to.deep.equal({ kind: 'wait' });
  });

  it('unloads the cheapest first, and no more than needed', () => {
    const holders = [holder('warm', 'idle', 40, { cost: 3 }), holder('cold', 'idle', 40, { cost: 0.1 })];
    expect(decidePlacement(question(50, holders))).to.deep.equal({ kind: 'evict', victims: ['cold'] });
    expect(decidePlacement(question(90, holders))).to.deep.equal({ kind: 'evict', victims: ['cold', 'warm'] });
  });

  it('takes the set that costs least together, not the cheapest ones first', () => {
    const holders = [holder('small', 'idle', 10, { cost: 0 }), holder('big', 'idle', 80, { cost: 5 })];
    expect(decidePlacement(question(85, holders))).to.deep.equal({ kind: 'evict', victims: ['big'] });
    const many = ['a', 'b', 'c'].map((id) => holder(id, 'idle', 20, { cost: 2 }));
    const one = holder('one', 'idle', 40, { cost: 5 });
    expect(decidePlacement(question(40, [...many, one]))).to.deep.equal({ kind: 'evict', victims: ['a', 'b'] });
    expect(decidePlacement(question(60, [...many, one]))).to.deep.equal({ kind: 'evict', victims: ['a', 'b', 'c'] });
    const cheaper = { ...one, cost: 3 };
    expect(decidePlacement(question(60, [...many, cheaper]))).to.deep.equal({ kind: 'evict', victims: ['a', 'one'] });
  });

  it('has models in use finish only for a load that waited long, and only where idle ones are too few', () => {
    const holders = [holder('used', 'serving', 60, { cost: 0 }), holder('idle', 'idle', 40, { cost: 9 })];
    expect(decidePlacement(question(50, holders))).to.deep.equal({ kind: 'wait' });
    const isOverdue = true;
    expect(decidePlacement(question(50, holders, { isOverdue }))).to.deep.equal({ kind: 'evict', victims: ['used'] });
    expect(decidePlacement(question(40, holders, { isOverdue }))).to.deep.equal({ kind: 'evict', victims: ['idle'] });
    const rising = [holder('rising', 'busy', 60, { cost: 0 })];
    expect(decidePlacement(question(50, rising, { isOverdue }))).to.deep.equal({ kind: 'wait' });
  });

  it('asks one that is wanted again only if no idle one does and none in use is cheaper', () => {
    const isOverdue = true;
    const wanted = holder('wanted', 'wanted', 50, { cost: 3 });
    const decide = (...others: Holder[]): unknown => {
      const answer = decidePlacement(question(50, [wanted, ...others], { isOverdue }));
      return answer.kind === 'evict' ? answer.victims.join(' ') : answer.kind;
    };
    expect(decide(holder('idle', 'idle', 50, { cost: 9 }))).to.equal('idle');
    expect(decide(holder('used', 'serving', 50, { cost: 2 }))).to.equal('used');
    expect(decide(holder('used', 'serving', 50, { cost: 4 }))).to.equal('wanted');
    expect(decide(holder('kept', 'kept', 50))).to.equal('wanted');
    expect(decide(holder('leaving', 'leaving', 50)), 'the other leaves anyway').to.equal('wait');
    const early = question(50, [wanted, holder('kept', 'kept', 50)]);
    expect(decidePlacement(early), 'by a load that waited long').to.deep.equal({ kind: 'wait' });
  });

  it('keeps a load from what one that is wanted again would leave to an earlier load', () => {
    const holders = [holder('wanted', 'wanted', 80)];
    expect(decidePlacement(question(20, holders, { claims: [needs(90)] }))).to.deep.equal({ kind: 'wait' });
    expect(decidePlacement(question(10, holders, { claims: [needs(90)] }))).to.deep.equal({ kind: 'fits' });
  });

  it('leaves models on other devices alone', () => {
    const elsewhere = holder('elsewhere', 'idle', 0, { bytes: { cpu: 90 }, cost: 0 });
    const here = holder('here', 'idle', 90, { cost: 9 });
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
    const claims = [needs(80)];
    expect(decidePlacement(question(30, [], { claims }))).to.deep.equal({ kind: 'wait' });
    expect(decidePlacement(question(20, [], { claims }))).to.deep.equal({ kind: 'fits' });
    const busyBeside = [holder('leaving', 'leaving', 50), holder('busy', 'busy', 10)];
    expect(decidePlacement(question(20, busyBeside, { claims }))).to.deep.equal({ kind: 'wait' });
    expect(decidePlacement(question(10, busyBeside, { claims }))).to.deep.equal({ kind: 'fits' });
  });

  it('lets a small load pass one that waits for a busy model, if both fit in the end', () => {
    const busy = [holder('busy', 'busy', 60)];
    const claims = [needs(60)];
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
    const devices = [{ ...GPU, freeBytes: 50 }];
    const ask = (bytes: number): unknown =>
      decidePlacement({ ...question(0, [], { devices }), needs: needs(bytes, 20) });
    expect(ask(30)).to.deep.equal({ kind: 'fits' });
    expect(ask(31)).to.include({ kind: 'never', neededBytes: 51, roomBytes: 50 });
  });

  it('leaves free what a loaded model has not touched yet', () => {
    const devices = [{ ...GPU, freeBytes: 30 }];
    const half = holder('half', 'kept', 40, { present: { cuda0: 20 }, missing: { cuda0: 20 } });
    expect(decidePlacement(question(10, [half], { devices }))).to.deep.equal({ kind: 'fits' });
    expect(decidePlacement(question(11, [half], { devices }))).to.include({ kind: 'never', code: 'out_of_memory' });
    const idle = { ...half, standing: 'idle' } as const;
    expect(decidePlacement(question(50, [idle], { devices })), 'and gets back what it did').to.include({
      kind: 'evict',
    });
    expect(decidePlacement(question(51, [idle], { devices }))).to.include({ kind: 'never', roomBytes: 50 });
  });

  it('frees enough with idle ones only, needs each victim, and never gives up while a set of idle ones would do', () => {
    const standing = fc.constantFrom<HolderStanding>('kept', 'idle', 'idle', 'busy');
    const holders = fc
      .array(fc.record({ standing, gpu: fc.nat(30), cpu: fc.nat(30), cost: fc.nat(5) }), { maxLength: 6 })
      .map((list) =>
        list.map(({ standing: how, gpu, cpu, cost }, index) =>
          holder(`h${index}`, how, 0, { bytes: { cuda0: gpu, cpu }, cost }),
        ),
      );
    const bytes = fc.record({ cuda0: fc.nat(110), cpu: fc.nat(110) });
    fc.assert(
      fc.property(holders, bytes, (list, wanted) => {
        const asked = { ...question(0, list), needs: { booked: wanted, taken: wanted } };
        const room = (gone: readonly string[], device: 'cuda0' | 'cpu'): number =>
          100 - list.filter(({ id }) => !gone.includes(id)).reduce((sum, { bytes }) => sum + (bytes[device] ?? 0), 0);
        const enough = (gone: readonly string[]): boolean =>
          (['cuda0', 'cpu'] as const).every((id) => wanted[id] === 0 || wanted[id] <= room(gone, id));
        const idsOf = (...names: HolderStanding[]): string[] =>
          list.filter((entry) => names.includes(entry.standing)).map(({ id }) => id);
        const costOf = (ids: readonly string[]): number =>
          list.filter(({ id }) => ids.includes(id)).reduce((sum, { cost }) => sum + cost, 0);
        const answer = decidePlacement(asked);
        switch (answer.kind) {
          case 'fits':
            expect(enough([])).to.equal(true);
            return;
          case 'evict':
            expect(idsOf('idle')).to.include.members([...answer.victims]);
            expect(enough(answer.victims)).to.equal(true);
            for (const set of subsetsOf(idsOf('idle'))) {
              if (enough(set)) expect(costOf(answer.victims), 'the cheapest set').to.be.at.most(costOf(set));
            }
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
