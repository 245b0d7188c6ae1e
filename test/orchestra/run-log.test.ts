import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { RunLog } from '../../src/orchestra/run-log.js';
import type { RunEvent, RunEventBody, RunResult } from '../../src/schema/run.js';

const delta = (index: number): RunEventBody => ({
  type: 'delta',
  choice: 0,
  firstIndex: index,
  ids: [index],
  text: 'x',
});
const completed: RunEventBody = { type: 'completed', result: { id: 'run_1' } as RunResult };

async function collect(events: AsyncIterable<RunEvent>): Promise<number[]> {
  const seqs: number[] = [];
  for await (const event of events) seqs.push(event.seq);
  return seqs;
}

describe('orchestra/run-log', () => {
  it('replays what was, then follows what comes, without gap or repeat', async () => {
    const log = new RunLog();
    log.append(delta(0));
    const early = collect(log.read());
    await Promise.resolve();
    log.append(delta(1));
    log.append(completed);
    expect(await early).to.deep.equal([1, 2, 3]);
    expect(await collect(log.read(1))).to.deep.equal([2, 3]);
    expect(await collect(log.read(3))).to.deep.equal([]);
  });

  it('takes nothing after the terminal event', () => {
    const log = new RunLog();
    log.append(completed);
    expect(() => log.append(delta(0))).to.throw('no event after a terminal one');
  });

  it('ends a reader that gives up', async () => {
    const log = new RunLog();
    const gone = new AbortController();
    const reader = collect(log.read(0, gone.signal));
    gone.abort();
    expect(await reader).to.deep.equal([]);
  });

  it('is bounded, and tells a reader that fell behind', async () => {
    const log = new RunLog(4);
    for (let index = 0; index < 10; index++) log.append(delta(index));
    const outcome = await collect(log.read(0)).catch((thrown: unknown) => thrown);
    expect(outcome).to.be.instanceOf(LlamaestroError).with.property('code', 'client_too_slow');
    log.append(completed);
    expect(await collect(log.read(8))).to.deep.equal([9, 10, 11]);
  });
});
