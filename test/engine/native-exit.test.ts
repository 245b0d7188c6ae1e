import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { embedderModel, prefillModel, tinyModel } from '../support/models.js';
import { hasAddon } from './native-subject.js';

interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

// Far more than the 2 s the addon gives its threads: only a hang reaches it.
const HANG_MS = 45_000;

const CHILD = fileURLToPath(new URL('./exit-child.ts', import.meta.url));
const RECORD_BYTES = 64;

async function endOf(way: string, model = tinyModel): Promise<Ending> {
  const file = await model();
  return new Promise((resolve) => {
    const running = spawn(process.execPath, ['--import', 'tsx', CHILD, way, file], { timeout: HANG_MS });
    let output = '';
    running.stdout.on('data', (data: Buffer) => (output += data.toString()));
    running.stderr.on('data', (data: Buffer) => (output += data.toString()));
    running.on('close', (status, signal) => resolve({ status, signal, output }));
  });
}

describe('native engine at the end of its process', function () {
  this.timeout(60_000);
  before(function () {
    if (!hasAddon) this.skip();
  });

  const endings: readonly [string, string, number, RegExp][] = [
    ['process.exit() in mid-decode', 'process-exit', 7, /^decoding\n$/],
    ['process.exit() in mid-load', 'exit-in-load', 7, /^$/],
    ['process.exit() with a worker in mid-decode too', 'exit-with-worker', 7, /^decoding\n$/],
    ['an uncaught exception in mid-decode', 'uncaught', 1, /decoding\n[^]*on purpose/],
    ['an idle engine that nobody closed', 'idle-engine', 0, /^decoding\n$/],
    ['two workers terminated in mid-decode', 'workers-terminated', 0, /^decoding\nterminated\n$/],
    ['two workers that exit in mid-decode', 'workers-exit', 0, /^decoding\n9 9\n$/],
  ];
  for (const [name, way, status, said] of endings) {
    it(`ends cleanly: ${name}`, async () => {
      const ending = await endOf(way);
      expect(ending.output).to.match(said);
      expect([ending.status, ending.signal]).to.deep.equal([status, null]);
    });
  }

  const phases: Readonly<Record<string, () => Promise<string>>> = {
    plan: prefillModel,
    load: prefillModel,
    prefill: prefillModel,
    decode: tinyModel,
    embed: embedderModel,
    close: tinyModel,
  };
  for (const [phase, model] of Object.entries(phases)) {
    it(`ends cleanly, however it ends, in the phase: ${phase}`, async () => {
      const ends = ['exit', 'uncaught', 'terminate'].map((end) => endOf(`${phase}:${end}`, model));
      const [exited, uncaught, terminated] = await Promise.all(ends);
      expect(exited).to.deep.equal({ status: 7, signal: null, output: `${phase}\n` });
      expect(uncaught).to.include({ status: 1, signal: null });
      expect(uncaught?.output).to.include('on purpose');
      expect(terminated).to.deep.equal({ status: 0, signal: null, output: `${phase}\nterminated\n` });
    });
  }

  it('beats and dies with its parent while its event loop is blocked', async () => {
    const lifeline = spawn(process.execPath, ['--import', 'tsx', CHILD, 'lifeline'], {
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
      timeout: HANG_MS,
    });
    const pipe = lifeline.stdio[3] as Readable;
    const ended = new Promise((resolve) => lifeline.on('close', (status) => resolve(status)));
    const records: Buffer[] = [];
    for await (const data of pipe as AsyncIterable<Buffer>) {
      records.push(data);
      if (Buffer.concat(records).length >= 3 * RECORD_BYTES) break;
    }
    const bytes = Buffer.concat(records);
    for (const index of [0, 1, 2]) {
      expect(bytes.toString('latin1', index * RECORD_BYTES, index * RECORD_BYTES + 4)).to.equal('LLHB');
      expect(bytes.readBigUInt64LE(index * RECORD_BYTES + 8)).to.equal(BigInt(index));
    }
    pipe.destroy();
    expect(await ended).to.equal(75);
  });
});
