import { expect } from 'chai';
import fc from 'fast-check';
import { ProtocolParser, type Operation, type Violation } from '../../src/bus/broker/protocol-parser.js';

const LIMITS = { controlLineBytes: 256, payloadBytes: 4096 };

interface Parsed {
  readonly operations: Operation[];
  readonly violation: Violation | undefined;
}

function parse(chunks: readonly Buffer[]): Parsed {
  const operations: Operation[] = [];
  const parser = new ProtocolParser(LIMITS, (operation) => {
    // A payload may share memory with its chunk.
    operations.push(operation.op === 'pub' ? { ...operation, payload: Buffer.from(operation.payload) } : operation);
  });
  for (const chunk of chunks) {
    const violation = parser.push(chunk);
    if (violation !== undefined) return { operations, violation };
  }
  return { operations, violation: undefined };
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (let n = 0; at < bytes.length; n++) {
    const size = sizes[n % sizes.length] ?? 1;
    chunks.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  return chunks;
}

const word = fc.stringMatching(/^[a-zA-Z0-9_*>$.-]{1,12}$/);
const payload = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

/** An operation with the bytes a client would send for it. */
const spoken: fc.Arbitrary<{ bytes: Buffer; operation: Operation }> = fc.oneof(
  fc.constant({ bytes: Buffer.from('PING\r\n'), operation: { op: 'ping' } as const }),
  fc.constant({ bytes: Buffer.from('pong\r\n'), operation: { op: 'pong' } as const }),
  fc.tuple(word, fc.option(word, { nil: undefined }), word).map(([subject, queue, sid]) => ({
    bytes: Buffer.from(`SUB ${subject}\t${queue === undefined ? '' : `${queue} `}${sid}\r\n`),
    operation: { op: 'sub', subject, queue, sid } as const,
  })),
  fc.tuple(word, fc.option(fc.integer({ min: 1, max: 99 }), { nil: undefined })).map(([sid, max]) => ({
    bytes: Buffer.from(`UNSUB ${sid}${max === undefined ? '' : ` ${String(max)}`}\r\n`),
    operation: { op: 'unsub', sid, max } as const,
  })),
  fc
    .tuple(word, fc.option(word, { nil: undefined }), payload, fc.option(payload, { nil: undefined }))
    .map(([subject, reply, body, headers]) => {
      const whole = Buffer.concat([headers ?? Buffer.alloc(0), body]);
      const lead = headers === undefined ? '' : `${String(headers.length)} `;
      const line = `${headers === undefined ? 'PUB' : 'HPUB'} ${subject} ${reply === undefined ? '' : `${reply}  `}`;
      const head = Buffer.from(`${line}${lead}${String(whole.length)}\r\n`);
      return {
        bytes: Buffer.concat([head, whole, Buffer.from('\r\n')]),
        operation: { op: 'pub', subject, reply, headerBytes: headers?.length ?? 0, payload: whole } as const,
      };
    }),
);

describe('ProtocolParser', () => {
  it('reads the same operations however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(spoken, { maxLength: 12 }), sizes, (conversation, cuts) => {
        const bytes = Buffer.concat(conversation.map((one) => one.bytes));
        const expected = { operations: conversation.map((one) => one.operation), violation: undefined };
        expect(parse([bytes])).to.deep.equal(expected);
        expect(parse(cut(bytes, cuts))).to.deep.equal(expected);
        expect(parse(cut(bytes, [1]))).to.deep.equal(expected);
      }),
    );
  });

  it('survives any bytes, and says the same about them however they are cut', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
      fc
        .array(
          fc.constantFrom('PUB ', 'SUB ', 'x', ' ', '1', '9', '\r\n', '\n', 'CONNECT {', '}', '"', 'HPUB a 5 3\r\n'),
        )
        .map((pieces) => Buffer.from(pieces.join(''))),
    );
    fc.assert(
      fc.property(fc.array(spoken, { maxLength: 3 }), noise, sizes, (conversation, tail, cuts) => {
        const bytes = Buffer.concat([...conversation.map((one) => one.bytes), tail]);
        const whole = parse([bytes]);
        expect(parse(cut(bytes, cuts))).to.deep.equal(whole);
        expect(whole.operations.slice(0, conversation.length)).to.deep.equal(conversation.map((one) => one.operation));
      }),
      { numRuns: 300 },
    );
  });

  it('refuses what breaks a rule, with the word a nats-server has for it', () => {
    const cases: readonly [string, Violation][] = [
      ['GET / HTTP/1.1\r\n', 'Unknown Protocol Operation'],
      ['\r\n', 'Unknown Protocol Operation'],
      ['+OK\r\n', 'Unknown Protocol Operation'],
      ['CONNECT {\r\n', 'Parser Error'],
      ['CONNECT null\r\n', 'Parser Error'],
      ['SUB a\r\n', 'Parser Error'],
      ['SUB a b c d\r\n', 'Parser Error'],
      ['UNSUB\r\n', 'Parser Error'],
      ['UNSUB 1 x\r\n', 'Parser Error'],
      ['PUB a\r\n', 'Parser Error'],
      ['PUB a -1\r\n', 'Parser Error'],
      ['PUB a 1e3\r\n', 'Parser Error'],
      ['PUB a 99999999999\r\n', 'Parser Error'],
      ['PUB a 5\r\nhelloXX', 'Parser Error'],
      ['HPUB a 6 5\r\n', 'Parser Error'],
      ['PUB a 4097\r\n', 'Maximum Payload Violation'],
      [`SUB ${'a'.repeat(300)} 1\r\n`, 'Maximum Control Line Exceeded'],
      ['x'.repeat(300), 'Maximum Control Line Exceeded'],
    ];
    for (const [text, violation] of cases) {
      expect(parse([Buffer.from(text)]), text).to.deep.equal({ operations: [], violation });
      expect(parse(cut(Buffer.from(text), [1])), text).to.deep.equal({ operations: [], violation });
    }
  });

  it('takes a control line and a payload of exactly the limits', () => {
    const subject = 'a'.repeat(LIMITS.controlLineBytes - 'PUB  4096'.length);
    const body = 'b'.repeat(LIMITS.payloadBytes);
    const { operations, violation } = parse(cut(Buffer.from(`PUB ${subject} 4096\r\n${body}\r\n`), [7]));
    expect(violation).to.equal(undefined);
    expect(operations[0]).to.include({ op: 'pub', subject });
  });

  it('reads what a client says of itself', () => {
    const said = {
      auth_token: 't',
      name: 'ä',
      verbose: true,
      echo: false,
      headers: true,
      no_responders: true,
      more: [1],
    };
    expect(parse([Buffer.from(`CONNECT ${JSON.stringify(said)}\r\n`)]).operations[0]).to.deep.equal({
      op: 'connect',
      options: { token: 't', name: 'ä', verbose: true, echo: false, headers: true, noResponders: true },
    });
    expect(parse([Buffer.from('CONNECT {}\r\n')]).operations[0]).to.deep.include({
      options: { token: '', name: '', verbose: false, echo: true, headers: false, noResponders: false },
    });
  });

  it('handles nothing after it was stopped from within', () => {
    const seen: string[] = [];
    const parser = new ProtocolParser(LIMITS, ({ op }) => {
      seen.push(op);
      parser.stop();
    });
    parser.push(Buffer.from('PING\r\nPING\r\n'));
    parser.push(Buffer.from('PING\r\n'));
    expect(seen).to.deep.equal(['ping']);
  });
});
