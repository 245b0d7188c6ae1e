/** What a profile says about requests, seen from outside: forced and stripped parameters, thinking, chains, missing files. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { dispose, makeHome, post, startProcess, type GatewayProcess } from '../support/gateway.js';
import { chatModel, scriptedModel, scriptedSentence } from '../support/models.js';

interface Answer {
  readonly output: { readonly text: string };
  readonly route: { readonly model: string; readonly source: string };
  readonly usage: { readonly completion_tokens: number; readonly prompt_tokens: number };
  readonly warnings: readonly string[];
}

describe('e2e: what a profile says', function () {
  this.timeout(120_000);
  let gateway: GatewayProcess;

  before(async () => {
    const home = await makeHome();
    await mkdir(join(home, 'profiles'));
    const [scripted, thinker] = [await scriptedModel(), await chatModel('thinker')];
    const base = ['version: 1', 'name: base', 'defaults: { context: 2048, threads: 1, gpu_layers: 0 }', 'models:'];
    const models = [
      `  plain: { file: ${scripted} }`,
      `  short: { file: ${scripted}, force: { max_tokens: 4, temperature: 0 }, strip: [seed] }`,
      `  thinking: { file: ${thinker}, chat: { thinking: true } }`,
      `  silent: { file: ${thinker}, chat: { thinking: false } }`,
      '  absent: { source: { repo: some/where, file: absent.gguf, bytes: 1GiB, licence: mit } }',
    ];
    await writeFile(join(home, 'profiles/base.yaml'), [...base, ...models, 'flow: { default: plain }'].join('\n'));
    const child = [
      'version: 1',
      'name: child',
      'extends: base',
      'flow:',
      '  rules: [{ contains: [pineapple], kind: planning }]',
      '  routes: [{ when: { kind: planning }, model: absent }]',
      '  fallback: { absent: [short] }',
    ];
    await writeFile(join(home, 'profiles/child.yaml'), child.join('\n'));
    gateway = await startProcess({ args: ['--profile', 'child'], home });
  });
  after(dispose);

  const ask = async (body: object): Promise<Answer> =>
    (await (await post(`${gateway.url}/v1/execute`, { task: 'Hello', ...body })).json()) as Answer;

  it('forces and strips parameters, and says so', async () => {
    const answer = await ask({ model: 'short', max_tokens: 100, seed: 5 });
    expect(answer.usage.completion_tokens).to.equal(4);
    expect(answer.warnings).to.have.length(2);
    expect(answer.warnings.join()).to.contain("'max_tokens' is 4 instead").and.to.contain("'seed' was left out");
    expect((await ask({ model: 'plain' })).output.text).to.equal(scriptedSentence());
  });

  it('tells the chat template whether to think; the thought stays in the text', async () => {
    const [thinking, silent] = [await ask({ model: 'thinking' }), await ask({ model: 'silent' })];
    expect(silent.usage.prompt_tokens).to.be.greaterThan(thinking.usage.prompt_tokens);
    expect(thinking.output.text).to.contain('</think>');
  });

  it('starts with the files there are, and sends a task to the one that stands in', async () => {
    const { route } = await ask({ task: 'Something with a Pineapple' });
    expect(route).to.include({ model: 'short', source: 'fallback' });
    expect((await ask({})).route).to.include({ model: 'plain', source: 'default' });
  });
});
