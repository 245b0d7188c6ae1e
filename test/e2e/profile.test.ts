/** What a profile says about requests, seen from outside: forced and stripped parameters, thinking, chains, missing files. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { adapterFile } from '../support/adapters.js';
import { dispose, makeHome, post, startProcess, until, type GatewayProcess } from '../support/gateway.js';
import { chatModel, scriptedModel, scriptedSentence, tinyModel } from '../support/models.js';

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
    const [scripted, thinker, tiny] = [await scriptedModel(), await chatModel('thinker'), await tinyModel()];
    const tone = await adapterFile('profile-tone', tiny);
    const base = ['version: 1', 'name: base', 'defaults: { context: 2048, threads: 1, gpu_layers: 0 }', 'models:'];
    const models = [
      `  plain: { file: ${scripted} }`,
      `  short: { file: ${scripted}, force: { max_tokens: 4, temperature: 0 }, strip: [seed] }`,
      `  random: { file: ${tiny}, force: { temperature: 0, max_tokens: 12, ignore_eos: true } }`,
      `  adapted: { file: ${tiny}, force: { temperature: 0, max_tokens: 12, ignore_eos: true }, lora: [{ name: tone, file: ${tone}, scale: 2 }] }`,
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

  it('lets every request use the adapters of its model', async () => {
    const [plain, adapted] = [await ask({ model: 'random' }), await ask({ model: 'adapted' })];
    expect(adapted.usage.completion_tokens).to.equal(12);
    expect(adapted.output.text).to.not.equal(plain.output.text);
    expect((await ask({ model: 'adapted' })).output.text).to.equal(adapted.output.text);
  });

  it('tells the chat template whether to think; the thought stays in the text', async () => {
    const [thinking, silent] = [await ask({ model: 'thinking' }), await ask({ model: 'silent' })];
    expect(silent.usage.prompt_tokens).to.be.greaterThan(thinking.usage.prompt_tokens);
    expect(thinking.output.text).to.contain('</think>');
  });

  interface Profile {
    readonly warnings: readonly string[];
    readonly edit: { readonly state: string; readonly plan?: { readonly fits: boolean } } | null;
    readonly missing: readonly { readonly model: string; readonly bytes: number; readonly licence: string }[];
  }
  const active = async (): Promise<Profile> => {
    const status = (await (await fetch(`${gateway.url}/v1/status`)).json()) as { readonly profile: Profile };
    return status.profile;
  };

  it('lists what is missing, with size and licence', async () => {
    const [absent] = (await active()).missing;
    expect(absent).to.deep.include({ model: 'absent', bytes: 2 ** 30, licence: 'mit' });
  });

  it('plans a profile without loading any of it', async () => {
    const plan = (await (await fetch(`${gateway.url}/v1/profiles/child/plan`)).json()) as {
      readonly fits: boolean;
      readonly models: readonly { readonly name: string; readonly state: string }[];
    };
    expect(plan.fits).to.equal(true);
    expect(plan.models.find(({ name }) => name === 'absent')?.state).to.equal('missing');
    expect((await fetch(`${gateway.url}/v1/profiles/nobody/plan`)).status).to.equal(404);
  });

  it('tells a broken edit of its file or of one that it extends, plans a valid one, and applies it by command', async () => {
    const base = join(gateway.home, 'profiles/base.yaml');
    const good = await readFile(base, 'utf8');
    await writeFile(base, good.replace('threads: 1', 'thread: 1'));
    await until('the broken edit', async () => (await active()).edit?.state === 'broken');
    expect((await active()).warnings[0])
      .to.contain("unknown key 'thread'")
      .and.to.contain('base.yaml:3:');
    expect((await ask({ model: 'short' })).usage.completion_tokens).to.equal(4);

    await writeFile(base, good.replace('max_tokens: 4', 'max_tokens: 2'));
    await until('the valid edit', async () => (await active()).edit?.state === 'waiting');
    expect((await active()).edit?.plan?.fits).to.equal(true);
    expect((await ask({ model: 'short' })).usage.completion_tokens).to.equal(4);
    expect((await post(`${gateway.url}/v1/profiles/reload`, { wait: true })).status).to.equal(200);
    expect((await active()).edit).to.equal(null);
    expect((await ask({ model: 'short' })).usage.completion_tokens).to.equal(2);
  });

  it('starts with the files there are, and sends a task to the one that stands in', async () => {
    const { route } = await ask({ task: 'Something with a Pineapple' });
    expect(route).to.include({ model: 'short', source: 'fallback' });
    expect((await ask({})).route).to.include({ model: 'plain', source: 'default' });
  });
});
