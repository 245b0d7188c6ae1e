import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { Bidding } from '../../src/pool/bidding.js';
import type { InstanceEvent, InstanceState } from '../../src/pool/instance.js';

const cause = new LlamaestroError('profile_switching', 'it leaves');
const READY: InstanceState = { name: 'ready', hid: 'h', failures: 0, sinceMs: 0, heardAtMs: 0 } as InstanceState;

interface World {
  state: InstanceState;
  waiting: number;
  readonly events: InstanceEvent['type'][];
  readonly desk: string[];
  readonly bidding: Bidding;
}

function world(state: InstanceState = { name: 'unloaded' }): World {
  const [events, desk]: [InstanceEvent['type'][], string[]] = [[], []];
  const own = { state, waiting: 0, events, desk };
  const bidding = new Bidding({
    state: () => own.state,
    desk: () => ({
      waiting: own.waiting,
      shut: () => void desk.push('shut'),
      resume: () => void desk.push('resume'),
      reject: ({ code }) => void desk.push(`reject ${code}`),
    }),
    departure: () => undefined,
    tell: ({ type }) => void events.push(type),
  });
  return Object.assign(own, { bidding });
}

/** Ways to get there, and whether a resident and a model that somebody waits for are wanted then. */
const WISHES: readonly [string, (world: World) => void, boolean, boolean][] = [
  ['nothing', () => undefined, true, true],
  ['dismissed', ({ bidding }) => void bidding.dismiss(cause, undefined), false, true],
  ['dismissed, asked for', ({ bidding }) => (void bidding.dismiss(cause, undefined), bidding.asked()), true, true],
  ['dismissed, called', ({ bidding }) => (void bidding.dismiss(cause, undefined), void bidding.call()), true, true],
  ['held', ({ bidding }) => bidding.hold(), false, false],
  ['paused', ({ bidding }) => bidding.pause(), false, false],
  ['held and freed', ({ bidding }) => (bidding.hold(), bidding.free()), true, true],
  ['retired', ({ bidding }) => bidding.retire(cause), false, false],
  ['retired and freed', ({ bidding }) => (bidding.retire(cause), bidding.free()), false, false],
  ['shut down', ({ bidding }) => bidding.shutDown(cause), false, false],
];

describe('what is wanted of a model', () => {
  for (const [name, wish, resident, waited] of WISHES) {
    it(`${name}: resident ${String(resident)}, waited for ${String(waited)}, else no`, () => {
      const it = world();
      wish(it);
      expect([it.bidding.wants(true, 0), it.bidding.wants(false, 1), it.bidding.wants(false, 0)]).to.deep.equal([
        resident,
        waited,
        false,
      ]);
    });
  }

  it('answers each caller once, when it is ready or refused', async () => {
    const { bidding, events } = world();
    const calls = [bidding.call(), bidding.call()];
    expect([bidding.calls, events]).to.deep.equal([2, ['demand', 'demand']]);
    bidding.arrived();
    await Promise.all(calls);
    expect(bidding.calls).to.equal(0);
    for (const end of [() => bidding.refuse(cause), () => bidding.retire(cause)]) {
      const call = bidding.call();
      end();
      expect(await call.catch((error: unknown) => error)).to.equal(cause);
    }
  });

  it('has nothing to do for a caller when it is ready, and forgets a failure for one', async () => {
    const ready = world(READY);
    await ready.bidding.call();
    expect(ready.events).to.deep.equal([]);
    const failed = world({ name: 'failed' } as InstanceState);
    void failed.bidding.call();
    expect(failed.events).to.deep.equal(['unload', 'demand']);
  });

  it('stops and resumes the grants of a process that is there, of no other', () => {
    const ready = world(READY);
    ready.bidding.pause();
    ready.bidding.free();
    expect(ready.desk).to.deep.equal(['shut', 'resume']);
    const cold = world();
    cold.bidding.pause();
    cold.bidding.free();
    expect(cold.desk).to.deep.equal([]);
  });

  it('leaves a load alone that has not begun and is waited for', () => {
    const waited = Object.assign(world(), { waiting: 1 });
    void waited.bidding.dismiss(cause, undefined);
    expect(waited.events).to.deep.equal([]);
    const idle = world();
    void idle.bidding.dismiss(cause, 5);
    expect(idle.events).to.deep.equal(['unload']);
  });
});
