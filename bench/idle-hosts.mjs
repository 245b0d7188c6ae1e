/**
 * What ten idle model hosts cost: every model of the demo profile resident, nobody asks. CPU time of the hosts and of all
 * processes of the gateway as a share of one core, and the private memory of each host. Linux only.
 *   node bench/idle-hosts.mjs [--seconds 60]
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MODELS, modelSet } from './lib/models.mjs';
import { cpuSeconds, privateBytes, processTree } from './lib/processes.mjs';
import { startOurs } from './lib/servers.mjs';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' } } });
/** From the last load until everything that follows a load has been done. */
const SETTLE_MS = 5000;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

await modelSet('demo');
const folder = mkdtempSync(join(tmpdir(), 'llamaestro-idle-'));
const demo = readFileSync(new URL('../profiles/demo.yaml', import.meta.url), 'utf8');
const profile = join(folder, 'idle.yaml');
writeFileSync(
  profile,
  demo
    .replace(/^name: demo$/m, 'name: idle')
    .replaceAll('residency: on-demand', 'residency: resident')
    .replace(/^( +file: )(\S+)$/gm, (_, key, file) => `${key}${JSON.stringify(join(MODELS, file))}`),
);
try {
  const server = await startOurs(['--profile', profile]);
  try {
    const { models } = await (await fetch(`${server.url}/v1/status`)).json();
    const hosts = models.filter((model) => model.state === 'ready').map((model) => model.pid);
    await sleep(SETTLE_MS);
    const all = processTree(server.pid);
    const before = { hosts: cpuSeconds(hosts), all: cpuSeconds(all), ms: performance.now() };
    await sleep(Number(values.seconds) * 1000);
    const seconds = (performance.now() - before.ms) / 1000;
    const share = (pids, since) => ((100 * (cpuSeconds(pids) - since)) / seconds).toFixed(2);
    const [hostShare, allShare] = [share(hosts, before.hosts), share(all, before.all)];
    const memory = hosts.map((pid) => privateBytes(pid) / 1e6);
    console.log(`${all.length} processes in all: ${allShare} % of a core over ${seconds.toFixed(0)} s`);
    console.log(
      `${hosts.length} idle hosts: ${hostShare} % of a core; private memory ${Math.min(...memory).toFixed(1)} to ${Math.max(...memory).toFixed(1)} MB each`,
    );
  } finally {
    await server.stop();
  }
} finally {
  rmSync(folder, { recursive: true });
}
