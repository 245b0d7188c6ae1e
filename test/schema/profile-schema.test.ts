import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { checkProfile } from '../../src/profile/profile-check.js';
import { readYaml } from '../../src/profile/profile-reader.js';
import { profileJsonSchema } from '../../src/schema/profile-file.js';
import { accepts } from '../support/json-schema.js';

const fromRoot = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const schema = profileJsonSchema();
const small = { version: 1, name: 'a', models: { m: { file: 'f' } }, flow: { default: 'm' } };
const model = (fields: object): object => ({ ...small, models: { m: { file: 'f', ...fields } } });

describe('the JSON Schema of profiles', () => {
  it('is the one in docs: `npx tsx src/cli/main.ts schema > docs/profile.schema.json`, then prettier', async () => {
    expect(JSON.parse(await readFile(fromRoot('docs/profile.schema.json'), 'utf8'))).to.deep.equal(
      JSON.parse(JSON.stringify(schema)),
    );
  });

  for (const name of ['demo', 'dev']) {
    it(`accepts the profile ${name}`, async () => {
      const path = fromRoot(`profiles/${name}.yaml`);
      expect(accepts(schema, readYaml(await readFile(path, 'utf8'), path).data)).to.equal(true);
    });
  }

  const values: readonly (readonly [boolean, string, object])[] = [
    [true, 'a small profile', small],
    [true, 'both forms of a KV type', model({ kv_type: { k: 'f16', v: 'q8_0' } })],
    [true, 'both forms of a budget', { ...small, budgets: { cpu: '1GiB', cuda0: { headroom: '1GiB' } } }],
    [
      true,
      'everything about requests',
      model({ force: { top_p: 1 }, strip: ['seed'], chat: { arguments: { a: [1] } } }),
    ],
    [false, 'another version', { ...small, version: 2 }],
    [false, 'an unknown key', model({ slot: 2 })],
    [false, 'an unknown key deep down', model({ sampling: { temprature: 1 } })],
    [false, 'a reserved key', model({ draft: 'x' })],
    [false, 'a size without a unit', { ...small, budgets: { cpu: 4 } }],
    [false, 'a share above one', model({ sampling: { top_p: 1.5 } })],
    [false, 'no models', { version: 1, name: 'a', flow: { default: 'm' } }],
    [false, 'no default', { ...small, flow: {} }],
  ];
  for (const [good, what, value] of values) {
    it(`${good ? 'accepts' : 'refuses'} ${what}, as the check does`, () => {
      expect([accepts(schema, value), checkProfile(value).file !== undefined]).to.deep.equal([good, good]);
    });
  }

  it('lets a profile that extends another leave out and take away', () => {
    expect(accepts(schema, { version: 1, name: 'a', extends: 'demo', models: { coder: null }, flow: {} })).to.equal(
      true,
    );
    expect(accepts(schema, { version: 1, name: 'a', extends: 'demo', models: { coder: 5 } })).to.equal(false);
  });
});
