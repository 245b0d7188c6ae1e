import { silentLogger } from '../../src/base/log.js';
import { systemClock, systemRandom } from '../../src/base/system-ports.js';
import { startBroker } from '../../src/bus/broker/broker.js';
import { busConformance } from './conformance.js';
import { realWorld } from './real-world.js';

describe('bus: nats client on the embedded broker', () => {
  busConformance(async () => {
    const broker = await startBroker({ clock: systemClock, random: systemRandom, log: silentLogger });
    return realWorld(broker, () => broker.close());
  });
});
