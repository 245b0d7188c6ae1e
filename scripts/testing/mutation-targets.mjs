// @ts-check
/**
 * Which files mutation testing changes, and the tests that must notice: the pure policies and the state machines, each with
 * its twin. A file that decides nothing, or has effects of its own, is not here.
 */

/** @type {Readonly<Record<string, readonly string[]>>} source file -> test files */
export const mutationTargets = {
  ...twins('bus', ['frame-order', 'frame-parts', 'frame-window', 'subject-tree']),
  'src/bus/subject-syntax.ts': ['test/bus/subject-tree.test.ts'],
  ...twins('host', ['fence', 'host-state', 'shelf-policy']),
  ...twins('node', ['process-state']),
  ...twins('orchestra', ['choose-route', 'retry-policy', 'run-times', 'shape-request']),
  ...twins('pool', [
    'baseline',
    'carry-over',
    'correction',
    'creep',
    'eviction',
    'failure',
    'instance-state',
    'lag',
    'lease-queue',
    'ledger',
    'liveness',
    'recycling',
    'release-proof',
    'shedding',
    'standing',
    'turns',
    'victims',
    'watchdog',
    'wait-estimate',
    'worth',
  ]),
  'src/pool/instance.ts': ['test/pool/instance-state.test.ts'],
  ...twins('profile', ['fit', 'inheritance', 'nearest-word', 'switch-outlook', 'switch-plan', 'switch-state']),
  'src/profile/flow-check.ts': ['test/profile/profile-check.test.ts'],
};

/**
 * @param {string} room
 * @param {readonly string[]} names
 * @returns {Record<string, readonly string[]>}
 */
function twins(room, names) {
  return Object.fromEntries(names.map((name) => [`src/${room}/${name}.ts`, [`test/${room}/${name}.test.ts`]]));
}
