/** Whole pools under random use and random faults: memory is never overbooked, slots never leak, and calm brings everything back. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { seededRandom } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { Bench, type Asked } from './bench.js';
import { MIB } from './fake-node.js';

const SEEDS = 20;
const STEPS = 100;
const MODELS = ['a', 'b', 'c', 'd'];
const BYTES: Record<string, number> = { a: 60 * MIB, b: 50 * MIB, c: 30 * MIB, d: 20 * MIB };
const BUDGET = 100 * MIB;

interface Use extends Asked {
  readonly controller: AbortController;
}

class Chaos {
  readonly bench: Bench;
  private readonly random;
  private readonly uses: Use[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.bench = new Bench({}, undefined, seed);
    for (const name of MODELS) this.bench.node.script.bytes[`/models/${name}.gguf`] = BYTES[name] ?? 0;
    this.apply();
  }

  /** Each name may be of another configuration than before, so that its host must go and another come. */
  private apply(): void {
    const specs = MODELS.map((name) => {
      const configHash = `${name}${this.random.next() < 0.5 ? 1 : 2}`;
      return modelSpec(name, { ttlMs: 20_000, configHash, residency: name === 'd' ? 'resident' : 'on-demand' });
    });
    this.bench.apply(specs, { budgets: { cpu: BUDGET } });
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      this.act();
      await this.bench.clock.run(this.random.next() < 0.8 ? this.random.next() * 200 : this.random.next() * 8000);
      this.check();
    }
    await this.calm();
  }

  private pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.random.next() * list.length)];
  }

  private act(): void {
    const { bench } = this;
    const chance = this.random.next();
    const living = bench.node.hosts.filter((host) => host.isAlive);
    if (chance < 0.45) {
      const controller = new AbortController();
      const asked = bench.ask(this.pick(MODELS) ?? 'a', controller.signal);
      this.uses.push(Object.assign(asked, { controller }));
    } else if (chance < 0.75) this.pick(this.uses.filter(({ lease }) => lease !== undefined))?.lease?.release();
    else if (chance < 0.85) this.pick(this.uses)?.controller.abort(new LlamaestroError('cancelled', 'left'));
    else if (chance < 0.92) this.pick(living)?.die();
    else if (chance < 0.95) this.pick(living)?.mute();
    else if (chance < 0.955) this.apply();
    else if (chance < 0.96) bench.network.partition('gateway');
    else if (chance < 0.97) bench.network.heal('gateway');
    else if (chance < 0.98) {
      const error = new LlamaestroError('out_of_memory', 'no memory');
      bench.node.script.loadErrors = this.random.next() < 0.5 ? { '/models/a.gguf': error } : {};
    } else if (chance < 0.99) bench.node.script.loadMs = this.random.next() * 3000;
    else bench.node.script.deafToExit = this.random.next() < 0.5;
  }

  private check(): void {
    const living = this.bench.node.hosts.filter((host) => host.isAlive);
    const bytes = living.reduce((sum, { label }) => sum + (BYTES[label] ?? 0), 0);
    const { cpu: bookedBytes = 0 } = this.bench.held;
    expect(bytes, 'bytes of all processes are booked').to.be.at.most(bookedBytes);
    expect(bookedBytes).to.be.at.most(BUDGET);
    for (const { name, leased, slots } of this.bench.pool.status().models) {
      expect(leased, name).to.be.within(0, slots);
    }
  }

  /** No more faults, everybody gives back: every request must settle and the pool must be empty and usable. */
  private async calm(): Promise<void> {
    const { bench } = this;
    bench.node.script.deafToExit = false;
    bench.node.script.loadMs = 100;
    bench.node.script.loadErrors = {};
    bench.network.heal('gateway');
    const open = (): Use[] => this.uses.filter(({ lease, error }) => lease === undefined && error === undefined);
    for (let round = 0; round < 400 && open().length > 0; round++) {
      for (const { lease } of this.uses) lease?.release();
      await bench.clock.run(1000);
      this.check();
    }
    expect(open(), 'requests that never settled').to.deep.equal([]);
    for (const { lease } of this.uses) lease?.release();
    await bench.clock.run(120_000);
    for (const { name, leased, queued, state } of bench.pool.status().models) {
      expect({ name, leased, queued }).to.deep.equal({ name, leased: 0, queued: 0 });
      expect(state, name).to.be.oneOf(name === 'd' ? ['ready'] : ['unloaded', 'failed']);
    }
    for (const name of MODELS) (await bench.lease(name)).release();
    const closed = bench.pool.close();
    await bench.clock.run(20_000);
    await closed;
    expect(bench.node.hosts.filter((host) => host.isAlive)).to.deep.equal([]);
    expect(bench.held).to.deep.equal({ cpu: 0 });
  }
}

describe('pool: chaos', () => {
  for (let seed = 1; seed <= SEEDS; seed++) it(`seed ${seed}`, () => new Chaos(seed).run());
});
