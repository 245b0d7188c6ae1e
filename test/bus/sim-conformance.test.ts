import { expect } from 'chai';
import { SimNetwork } from '../../src/bus/sim-bus.js';
import type { Bus } from '../../src/bus/bus.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';
import { busConformance } from './conformance.js';

describe('bus: the simulated network', () => {
  busConformance(() => {
    const clock = new FakeClock();
    const network = new SimNetwork({ clock, random: seededRandom(1) });
    const buses: Bus[] = [];
    return Promise.resolve({
      connect(name) {
        const bus = network.connect(name);
        buses.push(bus);
        return Promise.resolve(bus);
      },
      settle: () => clock.run(20),
      async until(promise) {
        let settled = false;
        const mark = (): void => void (settled = true);
        promise.then(mark, mark);
        await clock.runUntil(() => settled);
        return promise;
      },
      async close() {
        const closed = Promise.all(buses.map((bus) => bus.close()));
        await clock.run(20);
        await closed;
        expect(clock.pendingTimers, 'timers left behind').to.equal(0);
      },
    });
  });
});
