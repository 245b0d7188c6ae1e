/**
 * Offline commands about profiles: reads, checks and plans without a gateway, and prints one line of JSON. A child of the
 * command line; a plan starts a bus and a planner of its own for a moment.
 */
import { toLlamaestroError } from './base/errors.js';
import { createLogger, type Logger } from './base/log.js';
import { systemClock, systemRandom } from './base/system-ports.js';
import { openCatalog } from './catalog.js';
import { joinBus, startMachine } from './machine.js';
import { nodeClient } from './pool/node-client.js';
import { createProfilePlanner, type PlanProfile } from './profile/profile-planner.js';
import { validateProfile } from './profile/validation.js';
import { readNodeConfig, type NodeConfig } from './schema/config.js';

/** Runs `use` with a planner of this machine, which ends with it. */
async function withPlanner<T>(config: NodeConfig, log: Logger, use: (plan: PlanProfile) => Promise<T>): Promise<T> {
  const undo: (() => Promise<unknown>)[] = [];
  // Its own bus, whatever the gateway uses: nobody else has to hear of it.
  const ground = { config: { ...config, natsUrl: undefined }, clock: systemClock, random: systemRandom, log, undo };
  try {
    const joined = await joinBus(ground);
    return await use(createProfilePlanner(nodeClient(joined.bus, startMachine(ground, joined))));
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function answer([verb, profile = '', ...flags]: readonly string[]): Promise<unknown> {
  const config = readNodeConfig();
  const log = createLogger({ level: 'error', destination: 2 });
  const catalog = openCatalog(config.paths);
  switch (verb) {
    case 'list':
      return { profiles: await catalog.list() };
    case 'plan': {
      const loaded = await catalog.load(profile);
      return withPlanner(config, log, (plan) => plan(loaded));
    }
    case 'validate': {
      const sums = flags.includes('--sums');
      if (flags.includes('--no-plan')) return validateProfile(profile, { catalog, sums });
      return withPlanner(config, log, (plan) => validateProfile(profile, { catalog, plan, sums }));
    }
    default:
      throw new Error(`there is no offline command '${String(verb)}'`);
  }
}

const output = await answer(process.argv.slice(2)).catch((thrown: unknown) => ({
  error: toLlamaestroError(thrown).toWire(),
}));
process.stdout.write(`${JSON.stringify(output)}\n`, () => process.exit(0));
