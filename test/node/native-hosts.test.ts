import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { Frame } from '../../src/schema/bus-messages.js';
import { prefillModel, tinyModel } from '../support/models.js';
import { RealNode } from './real-node.js';

/** A prompt of so many tokens for models with one token per byte. */
function longPrompt(tokens: number): { readonly kind: 'text'; readonly text: string } {
  return { kind: 'text', text: 'abcdefghij'.repeat(Math.ceil(tokens / 10)).slice(0, tokens) };
}

function progressOf(frames: readonly Frame[]): readonly { done: number; total: number }[] {
  return frames.flatMap((frame) =>
    frame.type === 'progress' ? [{ done: frame.doneTokens, total: frame.totalTokens }] : [],
  );
}

/** Turns given out by a step lock so far: the second 64-bit word of its file (native/core/step-lock.cpp). */
function turnsTaken(stepLock: string): number {
  return Number(readFileSync(stepLock).readBigUInt64LE(8));
}

describe('native hosts', () => {
  let node: RealNode;
  before(async () => (node = await RealNode.start()));
  after(() => node.close());

  it('two on two cores take turns through the step lock, and both come to their end', async () => {
    const file = await tinyModel();
    const load = { file, slots: 2, contextTokens: 1024, threads: 1, stepLock: node.stepLock };
    const hosts = [await node.spawnWith(load), await node.spawnWith(load)];
    const streams = hosts.flatMap(({ hid }, index) => [1, 2].map((stream) => ({ hid, rid: `run_${index}_${stream}` })));
    const fields = { ignoreEos: true, maxTokens: 400, seed: 1, prompt: longPrompt(100) };
    await Promise.all(streams.map(({ hid, rid }) => node.gen(hid, { rid, ...fields })));
    for (const { rid } of streams) {
      const end = await node.terminal(rid);
      expect(end, JSON.stringify(end)).to.include({ type: 'final', reason: 'length' });
      const ids = node.framesOf(rid).flatMap((frame) => (frame.type === 'delta' ? frame.ids : []));
      expect(ids, rid).to.have.length(400);
    }
    const order = node.frames.filter(({ type }) => type === 'delta').map(({ rid }) => rid.slice(0, 5));
    const turns = order.filter((host, index) => index > 0 && host !== order[index - 1]).length;
    expect(turns, 'neither host may wait for the other to finish').to.be.greaterThan(4);
    expect(turnsTaken(node.stepLock), 'each host needs 399 steps at least after its prompts').to.be.at.least(2 * 399);
  });

  it('a cancel in the middle of a long prompt reaches the graph and frees the slot', async () => {
    const file = await prefillModel();
    const { hid } = await node.spawnWith({ file, slots: 1, contextTokens: 8192, threads: 1 });
    await node.gen(hid, { rid: 'run_long', prompt: longPrompt(6000), maxTokens: 4 });
    await node.gen(hid, { rid: 'run_next', prompt: longPrompt(20), maxTokens: 4, ignoreEos: true });
    await node.until(() => progressOf(node.framesOf('run_long')).length > 0, 'the first chunk');
    const { body } = await node.ask(hid, 'ctl', { op: 'cancel', rid: 'run_long', att: 1 });
    expect(body).to.deep.equal({ live: true });
    expect(await node.terminal('run_long')).to.include({ type: 'cancelled' });
    const ends = node.frames.findIndex(({ rid, type }) => rid === 'run_long' && type === 'cancelled');
    const starts = node.frames.findIndex(({ rid }) => rid === 'run_next');
    expect(starts === -1 || starts > ends, 'the slot was not free before').to.equal(true);
    const last = progressOf(node.framesOf('run_long')).at(-1);
    expect(last?.done).to.be.lessThan(6000);
    expect(await node.terminal('run_next')).to.include({ type: 'final', reason: 'length' });
  });

  it('a host that ends in the middle of a load gives up the load', async () => {
    const { hid } = await node.spawn();
    const load = { file: await prefillModel(), purpose: 'generate', threads: 1 };
    await node.ask(hid, 'ctl', { op: 'load', load });
    await node.ask(hid, 'ctl', { op: 'exit' });
    expect(await node.exitOf(hid)).to.include({ exitCode: 0, signal: null });
  });

  it('a deadline ends a sequence in the middle of its prompt', async () => {
    const { hid } = await node.spawnWith({ file: await prefillModel(), slots: 1, contextTokens: 8192, threads: 1 });
    await node.gen(hid, { rid: 'run_late', ttlMs: 100, prompt: longPrompt(8000) });
    expect(await node.terminal('run_late')).to.have.nested.property('error.code', 'deadline');
    await node.gen(hid, { rid: 'run_in_time', prompt: longPrompt(20), maxTokens: 4 });
    expect(await node.terminal('run_in_time')).to.include({ type: 'final' });
  });
});
