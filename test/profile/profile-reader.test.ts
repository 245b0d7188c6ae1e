import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { MAX_PROFILE_CHARACTERS, readYaml } from '../../src/profile/profile-reader.js';

function faultOf(text: string): LlamaestroError {
  try {
    readYaml(text, 'my.yaml');
  } catch (error) {
    if (error instanceof LlamaestroError) return error;
  }
  throw new Error('it was read');
}

describe('reading YAML', () => {
  const faults: readonly (readonly [string, string, number, number])[] = [
    ['an empty file', '', 1, 1],
    ['only comments', '# nothing\n', 1, 1],
    ['a tab as indentation', 'models:\n\tfast: 1\n', 2, 1],
    ['a repeated key', 'version: 1\nname: a\nversion: 2\n', 3, 1],
    ['a list that is not closed', 'version: 1\nlist: [1, 2\nname: a\n', 3, 1],
    ['a text that is not closed', 'name: "demo\n', 2, 1],
    ['wrong indentation', 'models:\n  fast:\n    file: a\n   slots: 1\n', 4, 4],
    ['an alias of nothing', 'version: 1\nmodels: *other\n', 2, 10],
    ['an unknown tag', 'name: !mine x\n', 1, 7],
    ['a second document', 'version: 1\n---\nversion: 2\n', 3, 1],
    ['a list that turns into a mapping', '- 1\nname: a\n', 2, 1],
    ['nesting without end', '['.repeat(100), 1, 32],
  ];
  for (const [name, text, line, column] of faults) {
    it(`refuses ${name}, with its place`, () => {
      const error = faultOf(text);
      expect(error.code).to.equal('profile_invalid');
      expect(error.message).to.match(new RegExp(`^my\\.yaml:${line}:${column}: not valid YAML: .`));
      expect(error.details).to.include({ file: 'my.yaml', line, column });
    });
  }

  it('refuses what is too long to be a profile', () => {
    expect(faultOf('#'.repeat(MAX_PROFILE_CHARACTERS + 1)).message).to.contain('longer than');
  });

  it('refuses aliases that repeat themselves into something huge', () => {
    const levels = Array.from(
      { length: 10 },
      (_, index) => `l${index + 1}: &a${index + 1} [${`*a${index},`.repeat(9)}]`,
    );
    expect(faultOf(['l0: &a0 [x]', ...levels].join('\n')).code).to.equal('profile_invalid');
  });

  it('gives the data', () => {
    const { data } = readYaml('\uFEFFa: 1\nb: [x, 1.5, true, null]\nc: { d: "5m" }\n', 'my.yaml');
    expect(data).to.deep.equal({ a: 1, b: ['x', 1.5, true, null], c: { d: '5m' } });
  });
});

describe('positions in YAML', () => {
  const text = [
    'version: 1', // 1
    'models:', // 2
    '  a.b:', // 3
    '    slots: 2', // 4
    "    file: 'x.gguf'", // 5
    '  plain: &anchor', // 6
    '    aliases: [one, "two"]', // 7
    '  other: *anchor', // 8
    'empty:', // 9
    'flow: { routes: [ { model: fast }, { model: slow } ] }', // 10
  ].join('\r\n');
  const { positions } = readYaml(text, 'my.yaml');
  const at = (kind: 'key' | 'value', path: string): string => {
    const { line, column } = positions[kind](path);
    return `${line}:${column}`;
  };

  it('are those of keys and of values', () => {
    expect([at('key', 'version'), at('value', 'version')]).to.deep.equal(['1:1', '1:10']);
    expect([at('key', 'models.a.b.slots'), at('value', 'models.a.b.slots')]).to.deep.equal(['4:5', '4:12']);
    expect(at('value', 'models.a.b.file')).to.equal('5:11');
    expect(at('value', 'models.plain.aliases[1]')).to.equal('7:20');
    expect(at('value', 'flow.routes[1].model')).to.equal('10:45');
    expect(at('value', 'models.other')).to.equal('8:10');
  });

  it('are those of the nearest thing around where nothing is written', () => {
    expect(at('value', 'models.a.b.context')).to.equal('3:3');
    expect(at('value', 'flow.default')).to.equal('10:1');
    expect(at('value', 'models.other.slots')).to.equal('8:3');
    expect(at('value', 'empty.x.y')).to.equal('9:1');
    expect(at('value', 'models.a')).to.equal('2:1');
    expect(at('value', 'nothing')).to.equal('1:1');
    expect(at('value', '')).to.equal('1:1');
  });
});
