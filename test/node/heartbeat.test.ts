import { expect } from 'chai';
import { HEARTBEAT_BYTES, HeartbeatReader } from '../../src/node/heartbeat.js';

/** A record as the native thread writes it, every field different. */
function record(number: number, extraBytes = 0): Buffer {
  const bytes = Buffer.alloc(HEARTBEAT_BYTES + extraBytes);
  bytes.write('LLHB', 'latin1');
  bytes.writeUInt16LE(1, 4);
  bytes.writeUInt16LE(bytes.length, 6);
  [number, 1000, 21, 22, 23].forEach((value, index) => bytes.writeBigUInt64LE(BigInt(value), 8 + 8 * index));
  [3, 4, 5, 1].forEach((value, index) => bytes.writeUInt32LE(value, 48 + 4 * index));
  return bytes;
}

describe('HeartbeatReader', () => {
  it('reads every field of a record', () => {
    expect(new HeartbeatReader().push(record(7))).to.deep.equal([
      {
        number: 7,
        steps: 21,
        promptTokens: 22,
        generatedTokens: 23,
        running: 3,
        waiting: 4,
        stalledMs: 5,
        engines: 1,
      },
    ]);
  });

  it('gives the same records in whatever slices they arrive', () => {
    const stream = Buffer.concat([record(0), record(1), record(2)]);
    for (const slice of [1, 7, 63, 64, 65, 192]) {
      const reader = new HeartbeatReader();
      const numbers: number[] = [];
      for (let at = 0; at < stream.length; at += slice) {
        for (const beat of reader.push(stream.subarray(at, at + slice))) numbers.push(beat.number);
      }
      expect(numbers, `slices of ${slice}`).to.deep.equal([0, 1, 2]);
    }
  });

  it('finds its place again after garbage, a false start included', () => {
    const garbage = Buffer.concat([Buffer.from('LLHBnonsense'), Buffer.alloc(100, 0xff), Buffer.from('LLH')]);
    const numbers = new HeartbeatReader().push(Buffer.concat([garbage, record(5), garbage, record(6)]));
    expect(numbers.map((beat) => beat.number)).to.deep.equal([5, 6]);
  });

  it('steps over what a later version appends to a record', () => {
    const beats = new HeartbeatReader().push(Buffer.concat([record(1, 16), record(2)]));
    expect(beats.map((beat) => beat.number)).to.deep.equal([1, 2]);
  });
});
