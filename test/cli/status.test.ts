/** What a person sees of a server at a glance. */
import { expect } from 'chai';
import { statusLines } from '../../src/cli/status.js';

const model = { role: 'coder', slots: 2, leased: 1, queued: 3, crashes: 1, memory: { allocated: null } };

describe('llamaestro status', () => {
  it('tells how the server and each process is', () => {
    const lines = statusLines('http://localhost', {
      ...{ health: 'degraded', reasons: ["model 'coder' wears out: it is slow"] },
      profile: { name: 'demo', warnings: [], edit: null },
      runs: { running: 1, completed: 2, failed: 0 },
      models: [
        { ...model, name: 'coder', state: 'ready', health: { verdict: 'busy' } },
        { ...model, name: 'critic', state: 'unloaded', health: null },
      ],
    });
    expect(lines[0]).to.contain('degraded').and.contain("'demo'");
    expect(lines[1]).to.contain('wears out');
    expect(lines.find((line) => line.startsWith('coder'))).to.contain('ready, busy');
    expect(lines.find((line) => line.startsWith('critic'))).to.match(/unloaded\s/);
  });
});
