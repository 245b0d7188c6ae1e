import { expect } from 'chai';
import { isOlder, missingPrerequisites } from '../../scripts/setup/prerequisites.mjs';

const everything = new Set(['g++', 'make', 'python3', 'cmake', 'git', 'tar']);
const fit = { platform: 'linux', node: '20.19.0', present: everything, cmake: '3.25.1', packageManager: 'apt-get' };

function without(...names: string[]): Set<string> {
  return new Set([...everything].filter((name) => !names.includes(name)));
}

describe('missingPrerequisites', () => {
  it('says nothing when everything is there', () => {
    expect(missingPrerequisites(fit)).to.deep.equal([]);
  });

  it('names each missing tool with the command that installs it', () => {
    const [first, second, ...rest] = missingPrerequisites({ ...fit, present: without('g++', 'git') });
    expect(first).to.match(/^g\+\+ is missing: .*sudo apt-get install -y g\+\+$/);
    expect(second).to.match(/^git is missing: .*sudo apt-get install -y git$/);
    expect(rest).to.have.length(0);
  });

  it('leaves sudo out for root and uses the names of the package manager that is there', () => {
    const [sentence] = missingPrerequisites({ ...fit, present: without('g++'), packageManager: 'dnf', asRoot: true });
    expect(sentence).to.match(/Install it: dnf install -y gcc-c\+\+$/);
  });

  it('sends people on macOS to the command line tools, and to brew for cmake', () => {
    const found = { ...fit, platform: 'darwin', packageManager: 'brew', present: without('make', 'cmake') };
    const [make, cmake] = missingPrerequisites(found);
    expect(make).to.match(/xcode-select --install$/);
    expect(cmake).to.match(/brew install cmake$/);
  });

  it('asks for neither g++ nor make on Windows', () => {
    const found = { ...fit, platform: 'win32', packageManager: 'winget', present: without('g++', 'make', 'cmake') };
    expect(missingPrerequisites(found)).to.have.length(1);
  });

  it('still says what to install where no package manager is known', () => {
    const { packageManager: _, ...unknown } = fit;
    const [sentence] = missingPrerequisites({ ...unknown, present: without('tar') });
    expect(sentence).to.contain('package tar');
  });

  it('refuses an old Node.js and an old cmake and gives both versions', () => {
    const [node, cmake] = missingPrerequisites({ ...fit, node: '18.20.4', cmake: '3.16.3' });
    expect(node).to.contain('20.19.0').and.to.contain('18.20.4');
    expect(cmake).to.contain('3.19.0').and.to.contain('3.16.3');
  });
});

describe('isOlder', () => {
  it('compares numbers, not text', () => {
    expect(isOlder('20.9.0', '20.19.0')).to.equal(true);
    expect(isOlder('22.0.0', '20.19.0')).to.equal(false);
    expect(isOlder('3.19', '3.19.0')).to.equal(false);
  });
});
