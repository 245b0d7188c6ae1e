import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import {
  dataFolder,
  hostEnvironment,
  parseDeviceLimits,
  readGatewayConfig,
  readHostConfig,
} from '../../src/schema/config.js';

function refusal(read: () => unknown): LlamaestroError {
  try {
    read();
  } catch (thrown) {
    if (thrown instanceof LlamaestroError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

describe('config', () => {
  it('has a default for everything the gateway reads', () => {
    const config = readGatewayConfig({ HOME: '/home/ada' });
    expect(config).to.include({
      host: '127.0.0.1',
      port: 8080,
      natsUrl: undefined,
      engine: 'native',
      logLevel: 'info',
    });
    expect(config.deviceLimits).to.deep.equal({});
  });

  it('keeps every path under LLAMAESTRO_HOME, absolute even when that is relative', () => {
    const { paths } = readGatewayConfig({ LLAMAESTRO_HOME: 'state' });
    for (const path of Object.values(paths)) expect(path).to.match(new RegExp(`^${process.cwd()}/state`));
  });

  it("uses the platform's folder for user data", () => {
    expect(dataFolder({ HOME: '/home/ada' }, 'linux')).to.equal('/home/ada/.local/share/llamaestro');
    expect(dataFolder({ HOME: '/home/ada', XDG_DATA_HOME: '/data' }, 'linux')).to.equal('/data/llamaestro');
    expect(dataFolder({ HOME: '/Users/ada' }, 'darwin')).to.equal('/Users/ada/Library/Application Support/llamaestro');
    expect(dataFolder({ HOME: '/home/ada', LLAMAESTRO_HOME: '/srv/llm' }, 'linux')).to.equal('/srv/llm');
  });

  it('reads device limits in decimal and binary units', () => {
    expect(parseDeviceLimits('cpu=2GiB, cuda0=8GB,cuda1=1.5KiB')).to.deep.equal({
      cpu: 2 * 2 ** 30,
      cuda0: 8e9,
      cuda1: 1536,
    });
  });

  for (const text of ['cpu', 'cpu=', 'cpu=lots', '=2GiB', 'cpu=-1GiB', 'cpu=2gib', 'cpu=1GiB,cpu=2GiB']) {
    it(`refuses the device limit "${text}" and names the variable`, () => {
      const error = refusal(() => parseDeviceLimits(text));
      expect(error).to.include({ code: 'invalid_request', param: 'LLAMAESTRO_DEVICE_LIMITS' });
    });
  }

  for (const port of ['-1', '65536', '80.5', 'http', '1e3']) {
    it(`refuses the port "${port}"`, () => {
      expect(refusal(() => readGatewayConfig({ LLAMAESTRO_PORT: port })).param).to.equal('LLAMAESTRO_PORT');
    });
  }

  it('refuses a log level that does not exist and lists those that do', () => {
    expect(refusal(() => readGatewayConfig({ LLAMAESTRO_LOG_LEVEL: 'chatty' })).message).to.contain(
      'debug, info, warn',
    );
  });

  it('hands a host exactly what the host reads back, over whatever the parent has set', () => {
    const config = {
      hid: 'h_1',
      nid: 'n_1',
      busUrl: 'nats://127.0.0.1:4222',
      busToken: 'secret',
      lifelineFd: 3,
      engine: 'fake',
      logLevel: 'warn',
      prefixFolder: '/home/me/prefixes',
      prefixDiskBytes: 12_345,
    } as const;
    const env = hostEnvironment(config, { PATH: '/bin', LLAMAESTRO_HID: 'someone else', LLAMAESTRO_BUS_TOKEN: 'old' });
    expect(readHostConfig(env)).to.deep.equal(config);
    expect(env['PATH']).to.equal('/bin');
  });

  it("does not hand a parent's token to a host whose bus needs none", () => {
    const config = readHostConfig(
      hostEnvironment(
        {
          hid: 'h',
          nid: 'n',
          busUrl: 'nats://a:1',
          busToken: undefined,
          lifelineFd: 3,
          engine: 'native',
          logLevel: 'info',
          prefixFolder: undefined,
          prefixDiskBytes: 0,
        },
        { LLAMAESTRO_BUS_TOKEN: 'old', LLAMAESTRO_PREFIX_FOLDER: '/old' },
      ),
    );
    expect([config.busToken, config.prefixFolder]).to.deep.equal([undefined, undefined]);
  });

  it('refuses to be a host without an id', () => {
    expect(refusal(() => readHostConfig({})).param).to.equal('LLAMAESTRO_HID');
  });
});
