import { expect } from 'chai';
import { countMakeObjects, createProgressReader, progressText } from '../../scripts/setup/build-progress.mjs';

describe('createProgressReader', () => {
  it('takes both numbers from ninja', () => {
    const read = createProgressReader();
    expect(read('[34/96] Building CXX object native/core/engine.cpp.o')).to.deep.equal({
      stage: 'compiling',
      done: 34,
      total: 96,
    });
    expect(read('[96/96] Linking CXX shared module Release/llamaestro.node')?.stage).to.equal('linking');
  });

  it('counts the objects of make, whose percentages count other things too', () => {
    const read = createProgressReader({ total: 2 });
    read('[  3%] Building C object ggml/ggml.c.o');
    const second = read('[ 50%] Building CXX object src/llama.cpp.o');
    expect(second).to.deep.equal({ stage: 'compiling', done: 2, total: 2 });
    expect(read('[ 70%] Linking CXX static library libllama.a')?.done).to.equal(2);
    expect(read('[100%] Built target llama')).to.equal(undefined);
  });

  it('counts the objects of node-gyp', () => {
    const read = createProgressReader({ total: 6 });
    read('  CC(target) Release/obj.target/sqlite3/sqlite3.o');
    expect(read('  CXX(target) Release/obj.target/node_sqlite3/src/backup.o')?.done).to.equal(2);
    expect(read('  SOLINK_MODULE(target) Release/obj.target/node_sqlite3.node')?.stage).to.equal('linking');
  });

  it('ignores what is not progress', () => {
    const read = createProgressReader();
    expect(read('engine.cpp:12:3: warning: unused variable')).to.equal(undefined);
    expect(read('')).to.equal(undefined);
  });
});

describe('progressText', () => {
  it('gives stage, n of m objects and seconds', () => {
    const text = progressText({ stage: 'compiling', done: 34, total: 96 }, 41_900);
    expect(text).to.equal('compiling, 34 of 96 objects, 41 s');
  });

  it('never shows more done than there are', () => {
    expect(progressText({ stage: 'compiling', done: 7, total: 6 }, 0)).to.contain('7 of 7');
  });

  it('does without a total that nobody knows', () => {
    expect(progressText({ stage: 'compiling', done: 7, total: undefined }, 0)).to.equal('compiling, 7 objects, 0 s');
  });
});

describe('countMakeObjects', () => {
  it('counts compilations of every language and no links', () => {
    const dryRun = [
      'cmake -E cmake_echo_color --progress-num=1 "Building C object a.c.o"',
      'cmake -E cmake_echo_color --progress-num=2 "Building CUDA object b.cu.o"',
      'cmake -E cmake_echo_color --progress-num=3 "Linking C static library liba.a"',
    ].join('\n');
    expect(countMakeObjects(dryRun)).to.equal(2);
  });
});
