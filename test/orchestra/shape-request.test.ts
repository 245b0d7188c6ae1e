import { expect } from 'chai';
import { shapeRequest } from '../../src/orchestra/shape-request.js';
import type { ModelSpec } from '../../src/schema/profile.js';
import type { RunRequest } from '../../src/schema/run.js';
import { modelSpec } from '../support/profiles.js';
import { request } from './stage.js';

const shaped = (more: Partial<RunRequest>, spec: Partial<ModelSpec>): RunRequest =>
  shapeRequest(request(more), modelSpec('fast', spec));

describe('orchestra/shape-request', () => {
  it('leaves a request alone that the profile says nothing about', () => {
    const asked = request({ sampling: { topK: 3 }, maxTokens: 5, stop: ['x'], ignoreEos: true, warnings: ['w'] });
    expect(shapeRequest(asked, modelSpec('fast'))).to.deep.equal(asked);
  });

  it('fills in where the request says nothing', () => {
    const { sampling, warnings } = shaped({ sampling: { topK: 3 } }, { sampling: { topK: 9, repeatPenalty: 1.1 } });
    expect(sampling).to.deep.equal({ topK: 3, repeatPenalty: 1.1 });
    expect(warnings).to.deep.equal([]);
  });

  it('sets what is forced, with a warning where the request says something else', () => {
    const forced = { sampling: { temperature: 0 }, maxTokens: 10, stop: ['END'], ignoreEos: true };
    const result = shaped({ sampling: { temperature: 1, topK: 2 }, maxTokens: 10, warnings: ['w'] }, { forced });
    expect(result).to.deep.include({ maxTokens: 10, stop: ['END'], ignoreEos: true });
    expect(result.sampling).to.deep.equal({ temperature: 0, topK: 2 });
    expect(result.warnings).to.deep.equal(['w', "'temperature' is 0 instead: the profile sets it for model 'fast'"]);
  });

  it('takes out what is stripped, with a warning, so that the profile or the engine decides', () => {
    const stripped = ['temperature', 'maxTokens', 'stop', 'ignoreEos', 'topK'];
    const asked = { sampling: { temperature: 1 }, maxTokens: 9, stop: ['x'], ignoreEos: true };
    const result = shaped(asked, { stripped, sampling: { temperature: 0.2 } });
    expect(result).to.not.have.property('maxTokens');
    expect(result).to.deep.include({ stop: [], ignoreEos: false, sampling: { temperature: 0.2 } });
    expect(result.warnings).to.have.length(4);
    expect(result.warnings[1]).to.equal(
      "'max_tokens' was left out: the profile lets no request set it for model 'fast'",
    );
  });

  it('tells the chat template what the profile says', () => {
    const chat = { thinking: false, templateArguments: { style: 'short' } };
    expect(shaped({}, { chat }).prompt).to.deep.equal({ ...request().prompt, ...chat });
    const prompt = { kind: 'text', text: 'raw' } as const;
    expect(shaped({ prompt }, { chat }).prompt, 'a raw prompt has no template').to.equal(prompt);
  });
});
