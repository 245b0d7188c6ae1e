/**
 * Entry of a model host process, started by a node agent and by nobody else. The lifeline comes first of all: from then
 * on the process ends with its parent, whatever happens to its event loop.
 */
import { toLlamaestroError } from '../base/errors.js';
import { systemClock, systemRandom } from '../base/system-ports.js';
import { createFakeDriver } from '../engine/fake-driver.js';
import { createNativeDriver, startLifeline } from '../engine/index.js';
import { readHostConfig } from '../schema/config.js';
import { HOST_EXITS, runHost } from './host-process.js';

try {
  const config = readHostConfig();
  startLifeline(config.lifelineFd);
  const ports = { clock: systemClock, random: systemRandom };
  await runHost(config, config.engine === 'fake' ? createFakeDriver(ports) : createNativeDriver());
} catch (thrown) {
  const { message, remedy } = toLlamaestroError(thrown);
  process.stderr.write(`${message}\n${remedy}\n`);
  process.exit(HOST_EXITS.unusable);
}
