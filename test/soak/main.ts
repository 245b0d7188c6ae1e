/**
 * `npm run test:soak -- [--switches 100] [--rps 50]`: demo -> demo-small -> demo … on a real gateway under load. Prints what was
 * asked, how it ended and how long switches took; exit status 1 when anything was lost, answered twice or not given back.
 */
import { parseArgs } from 'node:util';
import { demoHome } from '../support/demo-home.js';
import { dispose, startProcess } from '../support/gateway.js';
import { soak } from './switch-soak.js';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { switches: text, rps: text } });
const gateway = await startProcess({ args: ['--profile', 'demo'], home: await demoHome() });
const report = await soak(gateway, {
  switches: Number(values.switches ?? 100),
  requestsPerS: Number(values.rps ?? 50),
  profiles: ['demo', 'demo-small'],
  shared: ['auto', 'router', 'fast', 'coder'],
  single: ['general', 'planner'],
  onSwitch: (done, ms) => process.stdout.write(`switch ${String(done)}: ${ms.toFixed(0)} ms\n`),
});
await gateway.stop();
await dispose();
const sorted = [...report.switchMs].sort((a, b) => a - b);
const at = (share: number): string => (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(0);
process.stdout.write(`${String(report.asked)} requests: ${JSON.stringify(report.outcomes)}\n`);
process.stdout.write(`${String(sorted.length)} switches: median ${at(0.5)} ms, longest ${at(1)} ms\n`);
for (const line of report.wrong.slice(0, 50)) process.stdout.write(`WRONG ${line}\n`);
process.exitCode = report.wrong.length === 0 ? 0 : 1;
