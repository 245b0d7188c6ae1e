import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ProcessLog } from '../../src/node/process-log.js';
import { NODE_LIMITS } from '../../src/schema/config.js';

describe('ProcessLog', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'llamaestro-log-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it('gives back the last output of a process', () => {
    const log = new ProcessLog(folder, 'host-a');
    expect(log.lastWords()).to.equal('');
    writeSync(log.fd, 'first\nlast words\n');
    expect(log.lastWords()).to.equal('first\nlast words\n');
    log.close();
    log.close();
    expect(log.lastWords()).to.equal('');
  });

  it('begins with a whole line when there was more', () => {
    const log = new ProcessLog(folder, 'host-a');
    writeSync(log.fd, `${'ä'.repeat(NODE_LIMITS.lastWordsBytes)}\nthe end\n`);
    expect(log.lastWords()).to.equal('the end\n');
    log.close();
  });

  it('shows the end of a line that is longer than all it may show', () => {
    const log = new ProcessLog(folder, 'host-a');
    writeSync(log.fd, `${'x'.repeat(2 * NODE_LIMITS.lastWordsBytes)}\n`);
    expect(log.lastWords()).to.have.length(NODE_LIMITS.lastWordsBytes);
    log.close();
  });

  it('keeps apart two processes of one name, and one earlier file', () => {
    const first = new ProcessLog(folder, 'host-a');
    writeSync(first.fd, 'one\n');
    const second = new ProcessLog(folder, 'host-a');
    writeSync(second.fd, 'two\n');
    writeSync(first.fd, 'one again\n');
    expect(first.lastWords()).to.equal('one\none again\n');
    expect(second.lastWords()).to.equal('two\n');
    new ProcessLog(folder, 'host-a').close();
    expect(readdirSync(folder).sort()).to.deep.equal(['host-a.1.log', 'host-a.log']);
    first.close();
    second.close();
  });

  it('goes on under another name, where an earlier file of that name steps aside', () => {
    const earlier = new ProcessLog(folder, 'host-b');
    const log = new ProcessLog(folder, 'host-a');
    writeSync(log.fd, 'one\n');
    log.rename('host-b');
    writeSync(log.fd, 'two\n');
    log.rename('host-b');
    expect(readdirSync(folder).sort()).to.deep.equal(['host-b.1.log', 'host-b.log']);
    expect(readFileSync(join(folder, 'host-b.log'), 'utf8')).to.equal('one\ntwo\n');
    earlier.rename('host-c');
    expect(readdirSync(folder).sort(), 'it has stepped aside').to.deep.equal(['host-b.1.log', 'host-b.log']);
    for (const each of [log, earlier]) each.close();
    log.rename('host-d');
    expect(log.lastWords()).to.equal('');
  });

  it('cuts a file that grows too long down to its end and goes on there', () => {
    const log = new ProcessLog(folder, 'host-a');
    const path = join(folder, 'host-a.log');
    writeSync(log.fd, 'x'.repeat(NODE_LIMITS.logFileBytes));
    log.trim();
    expect(statSync(path).size).to.equal(NODE_LIMITS.logFileBytes);
    writeSync(log.fd, '\nimportant\n');
    log.trim();
    writeSync(log.fd, 'afterwards\n');
    expect(statSync(path).size).to.be.at.most(NODE_LIMITS.logTailBytes + 100);
    expect(readFileSync(path, 'utf8')).to.match(/x\nimportant\nafterwards\n$/);
    log.close();
  });
});
