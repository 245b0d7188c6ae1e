/** A world of real connections to some server that speaks the protocol, for the conformance suite. */
import { silentLogger } from '../../src/base/log.js';
import { systemClock, systemRandom } from '../../src/base/system-ports.js';
import type { Bus } from '../../src/bus/bus.js';
import { connectNats } from '../../src/bus/nats-bus.js';
import type { BusWorld } from './conformance.js';

/** Connections to `server`, or what `instead` gives; `close` closes them and then calls `end`. */
export function realWorld(
  server: { url: string; token?: string },
  end: () => Promise<void>,
  instead: (name: string) => Bus | undefined = () => undefined,
): BusWorld {
  const buses = new Set<Bus>();
  return {
    async connect(name) {
      const { url: servers, token } = server;
      const ports = { clock: systemClock, random: systemRandom, log: silentLogger };
      const bus =
        instead(name) ?? (await connectNats({ servers, name, ...ports, ...(token === undefined ? {} : { token }) }));
      buses.add(bus);
      return bus;
    },
    // The first round brings everything to the server, the second brings its deliveries back before the answer.
    async settle() {
      for (let round = 0; round < 2; round++) {
        await Promise.all([...buses].map((bus) => bus.flush().catch(() => undefined)));
      }
    },
    until: (promise) => promise,
    async close() {
      await Promise.all([...buses].map((bus) => bus.close()));
      await end();
    },
  };
}
