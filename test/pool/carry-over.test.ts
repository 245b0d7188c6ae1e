/** A process goes on under a new profile when its load options are the same. */
import { expect } from 'chai';
import { carryOver, type Carried } from '../../src/pool/carry-over.js';

const model = (name: string, configHash: string): Carried => ({ name, configHash });

function kept(old: readonly Carried[], next: readonly Carried[]): (string | undefined)[] {
  return carryOver(old, next).map((entry) => entry?.name);
}

describe('carry-over', () => {
  it('keeps what is the same and nothing else', () => {
    expect(kept([model('a', '1'), model('b', '2')], [model('b', '2'), model('a', '9'), model('c', '3')])).to.deep.equal(
      ['b', undefined, undefined],
    );
  });

  it('keeps a renamed model, after those that kept their name', () => {
    expect(kept([model('a', '1')], [model('z', '1')])).to.deep.equal(['a']);
    expect(kept([model('a', '1'), model('b', '1')], [model('b', '1'), model('z', '1')])).to.deep.equal(['b', 'a']);
  });

  it('keeps what is loaded before what is only listed, whatever its name', () => {
    const listed = { ...model('a', '1'), isLoaded: false };
    expect(kept([listed, model('b', '1')], [model('a', '1')])).to.deep.equal(['b']);
    expect(kept([listed, model('b', '1')], [model('a', '1'), model('c', '1')])).to.deep.equal(['b', 'a']);
    expect(kept([listed], [model('a', '1')])).to.deep.equal(['a']);
  });

  it('gives one process to one model', () => {
    expect(kept([model('a', '1')], [model('x', '1'), model('y', '1')])).to.deep.equal(['a', undefined]);
  });
});
