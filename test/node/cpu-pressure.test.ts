import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { machinePressure, pressureOfLoad, someOf } from '../../src/node/cpu-pressure.js';

const TEXT =
  'some avg10=21.64 avg60=11.65 avg300=6.93 total=18636449182\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=0\n';

describe('cpu pressure', () => {
  it('is the share of the last ten seconds in which something waited', () => {
    expect(someOf(TEXT)).to.equal(0.2164);
    expect(someOf(TEXT.replace('21.64', '0.00'))).to.equal(0);
    expect(someOf(''), 'no such file').to.equal(undefined);
    expect(someOf('full avg10=99.00 avg60=0'), 'another line').to.equal(undefined);
  });

  it('is guessed from the load where nobody tells it', () => {
    expect(pressureOfLoad(2, 4)).to.equal(0);
    expect(pressureOfLoad(4, 4)).to.equal(0);
    expect(pressureOfLoad(8, 4)).to.equal(0.5);
  });

  it('is the worse of what the machine and the container say', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'llamaestro-pressure-'));
    const [machine, container] = [join(folder, 'machine'), join(folder, 'container')];
    writeFileSync(machine, TEXT);
    writeFileSync(container, TEXT.replace('21.64', '80.00'));
    expect(await machinePressure([machine, container])()).to.equal(0.8);
    expect(await machinePressure([machine, join(folder, 'none')])()).to.equal(0.2164);
    expect(await machinePressure([join(folder, 'none')])()).to.be.within(0, 1);
    rmSync(folder, { recursive: true });
  });
});
