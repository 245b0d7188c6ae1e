import { expect } from 'chai';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  checkFiles,
  gatewayArguments,
  gatewayUrl,
  namedSettings,
  parseStartRequest,
  settingsDifference,
  settingsText,
} from '../../scripts/lifecycle/settings.mjs';

const cwd = path.resolve('/somewhere');

function parse(...argv: string[]) {
  return parseStartRequest(argv, {}, cwd);
}

describe('parseStartRequest', () => {
  it('starts on the loopback address and names no profile when nothing is said', () => {
    const request = parse();
    expect(request.settings).to.deep.equal({ host: '127.0.0.1', port: 8080 });
    expect(gatewayArguments(request.settings)).to.not.include('--profile');
    expect(request.foreground).to.equal(false);
  });

  it('takes the environment for what the command line leaves open', () => {
    const env = { LLAMAESTRO_PORT: '9000', LLAMAESTRO_HOST: '::1', LLAMAESTRO_PROFILE: 'dev' };
    expect(parseStartRequest([], env, cwd).settings).to.deep.equal({ host: '::1', port: 9000, profile: 'dev' });
    expect(parseStartRequest(['--port', '9001'], env, cwd).settings.port).to.equal(9001);
  });

  it('bears the -- that npm passes on when there are two', () => {
    expect(parse('--', '--port', '9000').settings.port).to.equal(9000);
  });

  it('tells a profile file from a profile name', () => {
    expect(parse('--profile', 'dev').settings).to.include({ profile: 'dev' });
    expect(parse('--profile', './mine.yaml').settings).to.include({ profile: path.join(cwd, 'mine.yaml') });
    expect(parse('--profile', 'mine.yml').settings).to.include({ profile: path.join(cwd, 'mine.yml') });
  });

  it('makes up settings for one model file, relative to where the person stands', () => {
    const { settings } = parse('--model', 'tiny.gguf', '--context', '4096', '--slots', '2');
    expect(settings).to.include({ model: path.join(cwd, 'tiny.gguf'), contextTokens: 4096, slots: 2 });
    expect(settingsText(settings, 2048)).to.equal('model tiny.gguf, 2 slots of 2048 tokens each');
  });

  it('leaves the size of a model to the gateway when nobody says it', () => {
    const { settings } = parse('--model', 'tiny.gguf');
    expect(gatewayArguments(settings).join(' ')).to.match(/--model \S+tiny\.gguf$/);
    expect(settingsText(settings)).to.equal('model tiny.gguf, 1 slot');
  });

  const faults: [string, string[], RegExp][] = [
    ['a port that is no number', ['--port', '80a'], /--port is "80a"/],
    ['a port out of range', ['--port', '65536'], /1 to 65535/],
    ['an option that does not exist', ['--prot', '80'], /--prot/],
    ['a word that belongs to no option', ['9000'], /9000/],
    ['both a profile and a model', ['--profile', 'a', '--model', 'b.gguf'], /exclude each other/],
    ['slots without a model', ['--slots', '2'], /belongs to --model/],
    ['fewer tokens than slots', ['--model', 'b.gguf', '--context', '3', '--slots', '4'], /less than one token/],
  ];
  for (const [name, argv, message] of faults) {
    it(`refuses ${name}`, () => {
      expect(() => parse(...argv)).to.throw(message);
    });
  }

  it('tells a person whose option npm kept how to write it', () => {
    const env = { npm_lifecycle_event: 'start', npm_config_port: 'true' };
    expect(() => parseStartRequest(['9000'], env, cwd)).to.throw(/npm kept --port .* after --/);
  });
});

describe('settingsDifference', () => {
  const demo = parse('--profile', 'demo').settings;

  it('finds none between equal settings', () => {
    expect(settingsDifference(demo, parse('--profile', 'demo').settings)).to.deep.equal([]);
  });

  it('names what differs, with both values', () => {
    const [only, ...rest] = settingsDifference(demo, parse('--port', '9000', '--profile', 'demo').settings);
    expect(only).to.contain('port').and.to.contain('8080').and.to.contain('9000');
    expect(rest).to.have.length(0);
    expect(settingsDifference(demo, parse('--profile', 'dev').settings)).to.deep.equal([
      'profile is demo, you asked for dev',
    ]);
  });

  it('is content with any profile when none was named, not with another port or a model', () => {
    expect(settingsDifference(demo, parse().settings)).to.deep.equal([]);
    expect(settingsDifference(parse().settings, parse().settings)).to.deep.equal([]);
    expect(settingsDifference(demo, parse('--port', '9000').settings)).to.have.length(1);
    expect(settingsDifference(parse('--model', 'a.gguf').settings, parse().settings)).to.deep.equal([
      'it runs model a.gguf, 1 slot, you asked for a profile',
    ]);
  });

  it('sees a model instead of a profile, and other slots of the same model', () => {
    const four = parse('--model', 'a.gguf').settings;
    expect(settingsDifference(demo, four)).to.deep.equal(['it runs profile demo, you asked for model a.gguf, 1 slot']);
    expect(settingsDifference(four, parse('--model', 'a.gguf', '--slots', '2').settings)).to.have.length(1);
  });
});

describe('namedSettings', () => {
  const folder = path.join(cwd, 'profiles');
  const demo = parse('--profile', 'demo').settings;
  const named = (...argv: string[]) => namedSettings(parse(...argv).settings, [folder]);

  it('knows the profile that the gateway was switched to', () => {
    const active = { name: 'dev', origin: path.join(folder, 'dev.yaml') };
    expect(namedSettings(demo, [folder], active)).to.deep.equal({ ...demo, profile: 'dev' });
    expect(namedSettings(parse().settings, [folder], active)).to.deep.equal({ ...demo, profile: 'dev' });
    const model = parse('--model', 'a.gguf').settings;
    expect(namedSettings(model, [folder], active)).to.deep.equal({ ...demo, profile: 'dev' });
  });

  it('leaves what was started where the gateway says nothing, and a model as it is', () => {
    expect(namedSettings(demo, [folder])).to.deep.equal(demo);
    expect(namedSettings(parse().settings, [folder])).to.deep.equal(parse().settings);
    const model = parse('--model', 'a.gguf', '--slots', '2').settings;
    const active = { name: 'a', origin: `made up for ${path.join(cwd, 'a.gguf')}` };
    expect(namedSettings(model, [folder], active)).to.deep.equal(model);
  });

  it('calls a file of the profile folders by its name and any other by its path', () => {
    expect(named('--profile', './profiles/mine.yml')).to.include({ profile: 'mine' });
    expect(named('--profile', './mine.yaml')).to.include({ profile: path.join(cwd, 'mine.yaml') });
  });
});

describe('gatewayArguments and gatewayUrl', () => {
  it('hand the settings to the gateway', () => {
    const { settings } = parse('--model', 'a.gguf', '--slots', '2');
    const words = gatewayArguments(settings).join(' ');
    expect(words).to.equal(`--port 8080 --host 127.0.0.1 --model ${path.join(cwd, 'a.gguf')} --slots 2`);
    expect(gatewayArguments(parse('--profile', 'dev').settings)).to.include.members(['--profile', 'dev']);
  });

  it('give an address that a client on this machine can use', () => {
    expect(gatewayUrl({ ...parse().settings, host: '0.0.0.0' })).to.equal('http://127.0.0.1:8080');
    expect(gatewayUrl({ ...parse().settings, host: '::1' })).to.equal('http://[::1]:8080');
  });
});

describe('checkFiles', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'llamaestro-settings-'));
  writeFileSync(path.join(folder, 'demo.yaml'), '');
  writeFileSync(path.join(folder, 'good.gguf'), 'GGUF and more');
  writeFileSync(path.join(folder, 'text.gguf'), 'not a model');

  function check(...argv: string[]) {
    checkFiles(parseStartRequest(argv, {}, folder).settings, [folder]);
  }

  it('accepts a profile and a model that are there', () => {
    check('--profile', 'demo');
    check('--profile', './demo.yaml');
    check('--model', 'good.gguf');
  });

  it('refuses an unknown profile and lists those there are', () => {
    try {
      check('--profile', 'nothing');
      expect.fail('accepted');
    } catch (error) {
      expect(error).to.have.property('message').that.contains('"nothing"');
      expect(error).to.have.property('remedy').that.contains('demo');
    }
  });

  it('refuses a model file that is missing, a folder, or no GGUF file', () => {
    expect(() => check('--model', 'gone.gguf')).to.throw(/does not exist/);
    expect(() => check('--model', folder)).to.throw(/is a folder/);
    expect(() => check('--model', 'text.gguf')).to.throw(/not a GGUF file/);
  });
});
