import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { createLogger } from '../../src/base/log.js';

function linesOf(level: 'debug' | 'info' | 'silent' = 'info', pretty = false) {
  const lines: string[] = [];
  const log = createLogger({ level, pretty, destination: { write: (line) => void lines.push(line) } });
  return { log, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('the log', () => {
  it('writes one JSON object per line with level, message and fields', () => {
    const { log, lines, parsed } = linesOf();
    log.child({ room: 'bus' }).warn('a consumer was cut', { pendingBytes: 9 });
    expect(lines[0]!.endsWith('\n')).to.equal(true);
    expect(parsed()[0]).to.include({ level: 'warn', msg: 'a consumer was cut', room: 'bus', pendingBytes: 9 });
  });

  it('writes nothing below its level', () => {
    const { log, lines } = linesOf();
    log.debug('not wanted');
    linesOf('silent').log.error('nor this');
    expect(lines).to.deep.equal([]);
  });

  it('withholds what people typed, and secrets', () => {
    const { log, lines } = linesOf();
    log.error('a request failed', { prompt: 'SECRET', run: { text: 'SECRET', messages: ['SECRET'] }, token: 'SECRET' });
    log.child({ body: { task: 'SECRET' } }).info('again');
    expect(lines.join('')).to.not.include('SECRET');
    expect(lines.join('')).to.include('[withheld]');
  });

  it('names operating errors by code and shows the stack of faults only', () => {
    const { log, parsed } = linesOf();
    log.error('one', { error: new LlamaestroError('queue_full', 'the queue is full', { details: { waiting: 3 } }) });
    log.error('two', { error: new TypeError('not a function') });
    expect(parsed()[0]!['error']).to.deep.equal({
      code: 'queue_full',
      message: 'the queue is full',
      details: { waiting: 3 },
    });
    const fault = parsed()[1]!['error'] as Record<string, unknown>;
    expect(fault['code']).to.equal('internal');
    expect(fault['stack']).to.include('log.test.ts');
  });

  it('has readable lines', () => {
    const { log, lines } = linesOf('info', true);
    log.info('listening', { port: 8080, name: 'gateway' });
    log.error('failed', { error: new LlamaestroError('no_host', 'nobody there') });
    expect(lines[0]).to.match(/^\d\d:\d\d:\d\d\.\d{3} info {2}listening {2}port=8080 {2}name=gateway\n$/);
    expect(lines[1]).to.include('error=no_host: nobody there');
  });

  it('has every line in its file when the call returns, and appends to what is there', () => {
    const folder = mkdtempSync(join(tmpdir(), 'llamaestro-log-'));
    const file = join(folder, 'logs', 'host.log');
    try {
      createLogger({ destination: file }).info('first');
      createLogger({ destination: file, fields: { hid: 'h1' } }).info('last words');
      const lines = readFileSync(file, 'utf8').trim().split('\n');
      expect(lines).to.have.length(2);
      expect(JSON.parse(lines[1]!)).to.include({ msg: 'last words', hid: 'h1' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('flushes a descriptor before the process exits', () => {
    const module = new URL('../../src/base/log.js', import.meta.url).href;
    const script = `import { createLogger } from '${module}';
      const log = createLogger();
      for (let n = 0; n < 1000; n++) log.info('line', { n });
      log.flush();
      process.exit(0);`;
    const child = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(child.stderr.trim().split('\n')).to.have.length(1000);
  });
});
