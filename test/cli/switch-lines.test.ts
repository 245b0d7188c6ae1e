import { expect } from 'chai';
import { endingLines, progressLine, progressLines } from '../../src/cli/switch-lines.js';
import type { SwitchProgress } from '../../src/schema/profile-switch.js';

const MIB = 2 ** 20;
const progress: SwitchProgress = {
  ...{ state: 'loading', active: 'demo', from: 'demo', to: 'small', model: 'fast', stays: ['router'] },
  steps: [
    { action: 'unload', model: 'coder', bytes: { cpu: 3 * MIB }, state: 'done', fraction: 1 },
    { action: 'load', model: 'fast', bytes: { cpu: 2 * MIB }, state: 'running', fraction: 0.5 },
    { action: 'load', model: 'general', bytes: {}, state: 'waiting', fraction: 0 },
    { action: 'unload', model: 'critic', bytes: { cpu: MIB }, state: 'waiting', fraction: 0 },
  ],
  ...{ elapsedMs: 1234, etaMs: 12_345, cancellable: true, missing: [] },
};

describe('cli/switch-lines', () => {
  it('shows a bar for each load, what is done, and what is left', () => {
    expect(progressLines(progress)).to.deep.equal([
      "to 'small': loading (fast), 1.2 s, about 12 s to go",
      '  stays: router',
      '  unload  coder    3.0 MiB                                       done',
      '  load    fast     2.0 MiB  [###############...............]     50 %',
      '  load    general           [..............................]  waiting',
      '  unload  critic   1.0 MiB                                    waiting',
    ]);
  });

  it('promises no time where none is known, or where it goes back', () => {
    const { etaMs: _none, ...unknown } = progress;
    expect(progressLines(unknown)[0]).to.equal("to 'small': loading (fast), 1.2 s");
    expect(progressLines({ ...progress, state: 'rolling-back', steps: [], stays: [] })).to.deep.equal([
      "to 'small': taking back (fast), 1.2 s",
    ]);
    expect(progressLine(progress)).to.equal("to 'small': loading (fast)");
  });

  it('says how it ended', () => {
    const ending = { from: 'demo', to: 'small', result: 'done', ms: 2500 } as const;
    expect(endingLines('small', ending, [])).to.deep.equal(["profile 'small' is active, after 2.5 s"]);
    expect(endingLines('small', undefined, [])).to.deep.equal(["profile 'small' is active"]);
    expect(endingLines('demo', { ...ending, result: 'failed' }, ['coder'])).to.deep.equal([
      "profile 'demo' is active as before",
      "  model 'coder' did not come back; the server tries on",
    ]);
  });
});
