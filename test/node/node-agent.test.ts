import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/log.js';
import type { Bus } from '../../src/bus/bus.js';
import { SimNetwork } from '../../src/bus/sim-bus.js';
import { subjects } from '../../src/bus/subjects.js';
import { NodeAgent } from '../../src/node/node-agent.js';
import { NodeEventCodec, type NodeCommand, type NodeEvent } from '../../src/schema/bus-messages.js';
import { NODE_LIMITS } from '../../src/schema/config.js';
import { decode } from '../../src/schema/decode.js';
import type { DeviceInfo, MemoryPlan } from '../../src/schema/load.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';
import type { LooseReply } from '../support/loose-reply.js';
import { FakeSpawner } from './fake-spawner.js';

const CPU: DeviceInfo = { id: 'cpu', kind: 'cpu', description: 'a CPU', totalBytes: 8, freeBytes: 4 };
const PLAN: MemoryPlan = {
  devices: [{ device: 'cpu', weightsBytes: 3, kvBytes: 2, computeBytes: 1 }],
  outputBytes: 1,
  estimatedExtraBytes: 1,
  totalBytes: 8,
  contextTokens: 64,
  contextTokensPerSlot: 64,
  slots: 1,
  gpuLayers: 0,
  simulatedMs: 3,
};
const LOAD = { file: '/m/a.gguf', purpose: 'generate', gpuLayers: 0 } as const;

class World {
  readonly clock = new FakeClock();
  readonly network = new SimNetwork({ clock: this.clock, random: seededRandom(1) });
  readonly spawner = new FakeSpawner((name) => this.network.connect(name));
  readonly gateway: Bus = this.network.connect('gateway');
  readonly agent: NodeAgent;
  readonly events: NodeEvent[] = [];

  constructor() {
    this.agent = new NodeAgent({
      bus: this.network.connect('node'),
      clock: this.clock,
      random: seededRandom(2),
      nid: 'n1',
      spawner: this.spawner,
      deviceProbe: { devices: (source) => source.devices() },
      log: silentLogger,
      identify: async (file) => file,
    });
    this.gateway.subscribe(subjects.allNodeEvents, ({ body }) => this.events.push(decode(NodeEventCodec, body)));
    this.agent.start();
  }

  /** Sends a command and lets time go on until it is answered. */
  async ask(command: NodeCommand): Promise<LooseReply> {
    let reply: unknown;
    const asking = this.gateway.request(subjects.node('n1'), command, { timeoutMs: 600_000 });
    void asking.then((body) => (reply = body));
    await this.clock.runUntil(() => reply !== undefined);
    return reply as LooseReply;
  }

  async spawn(hid = 'h1'): Promise<void> {
    expect(await this.ask({ op: 'spawn', hid, label: 'fast' })).to.have.property('ok', true);
  }

  exits(): readonly NodeEvent[] {
    return this.events.filter((event) => event.type === 'host-exited');
  }
}

describe('NodeAgent', () => {
  let world: World;
  beforeEach(() => (world = new World()));

  it('starts a process and says which', async () => {
    expect(await world.ask({ op: 'spawn', hid: 'h1', label: 'fast' })).to.deep.equal({ ok: true, body: { pid: 1000 } });
    expect((await world.ask({ op: 'hosts' })).body.hosts).to.deep.equal([{ hid: 'h1', pid: 1000, label: 'fast' }]);
  });

  it('says at once when a process is gone, with its last words, and forgets it', async () => {
    await world.spawn();
    world.spawner.last.exit({ exitCode: null, signal: 'SIGSEGV', lastWords: 'ggml_abort' });
    await world.clock.run(5);
    expect(world.exits()).to.deep.equal([
      { v: 1, nid: 'n1', type: 'host-exited', hid: 'h1', exitCode: null, signal: 'SIGSEGV', lastWords: 'ggml_abort' },
    ]);
    expect((await world.ask({ op: 'hosts' })).body.hosts).to.deep.equal([]);
  });

  it('answers a process that could not be started with the reason, and does not report an exit', async () => {
    world.spawner.manners = { refusesToStart: true };
    const reply = await world.ask({ op: 'spawn', hid: 'h1', label: 'fast' });
    expect(reply.error.code).to.equal('load_failed');
    world.spawner.manners = {};
    await world.spawn('h1');
    expect(world.exits()).to.deep.equal([]);
  });

  it('refuses a second process under one id and leaves the first alone', async () => {
    await world.spawn();
    const reply = await world.ask({ op: 'spawn', hid: 'h1', label: 'fast' });
    expect(reply.error).to.include({ code: 'invalid_request', param: 'hid' });
    expect(world.spawner.processes).to.have.length(1);
    expect(world.spawner.last.signals).to.deep.equal([]);
  });

  it('refuses more processes than its limit', async () => {
    for (let index = 0; index < NODE_LIMITS.hosts; index++) await world.spawn(`h${index}`);
    expect((await world.ask({ op: 'spawn', hid: 'one-more', label: 'x' })).error.code).to.equal('no_host');
  });

  it('gives a host another label, and takes an unknown one for gone', async () => {
    await world.spawn();
    await world.ask({ op: 'relabel', hid: 'h1', label: 'coder' });
    expect((await world.ask({ op: 'relabel', hid: 'nobody', label: 'x' })).error).to.equal(undefined);
    expect(world.spawner.last.labels).to.deep.equal(['coder']);
    expect((await world.ask({ op: 'hosts' })).body.hosts?.[0]).to.include({ label: 'coder' });
  });

  it('names the field of a command it does not understand', async () => {
    const reply = await world.ask({ op: 'kill', hid: 'h1' } as unknown as NodeCommand);
    expect(reply.error).to.include({ code: 'invalid_request', param: 'graceMs' });
  });

  describe('kill', () => {
    const kill = { op: 'kill', hid: 'h1', graceMs: 1000 } as const;

    it('asks first, and that is enough for a host that listens', async () => {
      await world.spawn();
      await world.ask(kill);
      await world.clock.run(2000);
      expect(world.spawner.last.signals).to.deep.equal(['exit']);
      expect(world.exits()).to.have.length(1);
    });

    it('sends SIGTERM, then SIGKILL, to one that does not go', async () => {
      world.spawner.manners = { ignoresExit: true, ignoresSigterm: true };
      await world.spawn();
      await world.ask(kill);
      await world.clock.run(400);
      expect(world.spawner.last.signals).to.deep.equal(['exit']);
      await world.clock.run(200);
      expect(world.spawner.last.signals).to.deep.equal(['exit', 'SIGTERM']);
      await world.clock.run(500);
      expect(world.spawner.last.signals).to.deep.equal(['exit', 'SIGTERM', 'SIGKILL']);
      expect(world.exits()[0]).to.include({ signal: 'SIGKILL' });
    });

    it('does not wait for one that cannot hear', async () => {
      world.spawner.manners = { isMute: true };
      await world.spawn();
      await world.ask(kill);
      await world.clock.run(10);
      expect(world.spawner.last.signals).to.deep.equal(['SIGTERM']);
    });

    it('is no error for a host that is not there', async () => {
      expect(await world.ask(kill)).to.deep.equal({ ok: true, body: {} });
    });

    it('leaves no timer behind', async () => {
      await world.spawn();
      const before = world.clock.pendingTimers;
      await world.ask(kill);
      await world.clock.run(100);
      expect(world.clock.pendingTimers).to.equal(before);
    });
  });

  describe('heartbeats', () => {
    it('says each second that it is alive and what its hosts last counted', async () => {
      await world.spawn();
      world.spawner.last.beat({ steps: 7, running: 2, stalledMs: 30 });
      await world.clock.run(1100);
      const alive = world.events.filter((event) => event.type === 'alive');
      expect(alive.length).to.be.within(1, 3);
      const pulse = alive.at(-1)?.hosts?.[0];
      expect(pulse).to.include({ hid: 'h1', steps: 7, running: 2, stalledMs: 30 });
      expect(pulse?.silentMs).to.be.within(0, 1100);
    });

    it('logs a host that fell silent once, and again only after it spoke', async () => {
      const warnings: string[] = [];
      const log = { ...silentLogger, child: () => log, warn: (message: string) => void warnings.push(message) };
      const { clock, network } = world;
      const spawner = new FakeSpawner((name) => network.connect(name));
      const agent = new NodeAgent({
        bus: network.connect('other'),
        clock,
        random: seededRandom(3),
        nid: 'n2',
        spawner,
        deviceProbe: { devices: (source) => source.devices() },
        log,
      });
      agent.start();
      void world.gateway.request(subjects.node('n2'), { op: 'spawn', hid: 'h', label: 'x' }, { timeoutMs: 1000 });
      await clock.run(NODE_LIMITS.silentMs - 1000);
      expect(warnings).to.deep.equal([]);
      await clock.run(5000);
      expect(warnings).to.deep.equal(['a host is silent']);
      spawner.last.beat();
      await clock.run(1500);
      await clock.run(2 * NODE_LIMITS.silentMs);
      expect(warnings).to.have.length(2);
    });
  });

  describe('planner', () => {
    const answers = {
      plan: () => ({ ok: true, body: PLAN }),
      tokenize: () => ({ ok: true, body: { count: 5 } }),
      devices: () => ({ ok: true, body: { devices: [CPU] } }),
    };

    it('answers plans, counts and devices through one process without a model', async () => {
      world.spawner.manners = { answers };
      const prompt = { kind: 'text', text: 'hello' } as const;
      const replies = await Promise.all([
        world.ask({ op: 'plan', load: LOAD }),
        world.ask({ op: 'count', file: LOAD.file, prompt }),
        world.ask({ op: 'devices' }),
      ]);
      expect(replies.map((reply) => reply.body)).to.deep.equal([PLAN, { count: 5 }, { devices: [CPU] }]);
      expect(world.spawner.processes).to.have.length(1);
    });

    it('is nobody else’s affair: neither listed nor reported', async () => {
      world.spawner.manners = { answers };
      await world.ask({ op: 'plan', load: LOAD });
      expect((await world.ask({ op: 'hosts' })).body.hosts).to.deep.equal([]);
      world.spawner.last.exit({ exitCode: 1 });
      await world.clock.run(100);
      expect(world.exits()).to.deep.equal([]);
    });

    it('keeps plans with a fixed number of layers, and those of machines without a GPU', async () => {
      let plans = 0;
      world.spawner.manners = {
        answers: { ...answers, plan: () => ({ ok: true, body: { ...PLAN, slots: ++plans } }) },
      };
      await world.ask({ op: 'plan', load: LOAD });
      expect((await world.ask({ op: 'plan', load: LOAD })).body.slots).to.equal(1);
      const { gpuLayers: _fixed, ...auto } = LOAD;
      await world.ask({ op: 'plan', load: auto });
      expect((await world.ask({ op: 'plan', load: auto })).body.slots).to.equal(2);
    });

    it('asks again for automatic layers where a GPU’s free memory decides', async () => {
      let plans = 0;
      const gpu = { ...CPU, id: 'cuda0', kind: 'cuda' };
      world.spawner.manners = {
        answers: {
          devices: () => ({ ok: true, body: { devices: [gpu, CPU] } }),
          plan: () => ({ ok: true, body: { ...PLAN, slots: ++plans } }),
        },
      };
      const { gpuLayers: _fixed, ...auto } = LOAD;
      await world.ask({ op: 'plan', load: auto });
      expect((await world.ask({ op: 'plan', load: auto })).body.slots).to.equal(2);
    });

    it('ends after an idle time and comes back when asked', async () => {
      world.spawner.manners = { answers };
      await world.ask({ op: 'devices' });
      await world.clock.run(NODE_LIMITS.plannerIdleMs - 1000);
      await world.ask({ op: 'devices' });
      await world.clock.run(NODE_LIMITS.plannerIdleMs - 1000);
      expect(world.spawner.last.isGone).to.equal(false);
      await world.clock.run(2000);
      expect(world.spawner.last.isGone).to.equal(true);
      await world.ask({ op: 'devices' });
      expect(world.spawner.processes).to.have.length(2);
    });

    it('turns its death into an answer, and into a new process for the next question', async () => {
      world.spawner.manners = { answers: {} };
      const asking = world.ask({ op: 'plan', load: LOAD });
      await world.clock.run(50);
      world.spawner.last.exit({ signal: 'SIGABRT', lastWords: 'no' });
      const { error } = await asking;
      expect(error).to.deep.include({ code: 'host_lost' });
      expect(error.details).to.include({ signal: 'SIGABRT', lastWords: 'no' });
      world.spawner.manners = { answers };
      expect((await world.ask({ op: 'plan', load: LOAD })).body).to.deep.equal(PLAN);
    });

    it('replaces a process that does not answer', async () => {
      world.spawner.manners = { answers: {} };
      expect((await world.ask({ op: 'plan', load: LOAD })).error.code).to.equal('ack_timeout');
      await world.clock.run(10);
      expect(world.spawner.last.signals).to.deep.equal(['SIGKILL']);
    });

    it('gives up on a process that never gets to the bus', async () => {
      world.spawner.manners = { isMute: true };
      expect((await world.ask({ op: 'devices' })).error.code).to.equal('host_lost');
      expect(world.spawner.last.signals).to.deep.equal(['SIGKILL']);
    });

    it('tries again after a process that could not be started', async () => {
      world.spawner.manners = { refusesToStart: true };
      expect((await world.ask({ op: 'devices' })).error.code).to.be.oneOf(['load_failed', 'host_lost']);
      world.spawner.manners = { answers };
      expect((await world.ask({ op: 'devices' })).body).to.deep.equal({ devices: [CPU] });
    });

    it('passes on what the driver says about a file, and does not keep it', async () => {
      const error = new LlamaestroError('model_unusable', 'truncated', { param: 'file' }).toWire();
      let asked = 0;
      world.spawner.manners = { answers: { plan: () => (asked++, { ok: false, error }) } };
      expect((await world.ask({ op: 'plan', load: LOAD })).error).to.deep.equal(error);
      await world.ask({ op: 'plan', load: LOAD });
      expect(asked).to.equal(2);
    });
  });

  describe('close', () => {
    it('resolves when every process is gone, whatever their manners', async () => {
      await world.spawn('polite');
      world.spawner.manners = { ignoresExit: true, ignoresSigterm: true };
      await world.spawn('rude');
      world.spawner.manners = { isMute: true, ignoresSigterm: true };
      await world.spawn('mute');
      world.spawner.manners = { answers: { devices: () => ({ ok: true, body: { devices: [CPU] } }) } };
      await world.ask({ op: 'devices' });
      let isClosed = false;
      void world.agent.close().then(() => (isClosed = true));
      await world.clock.run(NODE_LIMITS.closeGraceMs - 100);
      expect(isClosed).to.equal(false);
      await world.clock.run(200);
      expect(isClosed).to.equal(true);
      expect(world.spawner.processes.map((process) => process.isGone)).to.deep.equal([true, true, true, true]);
      expect(world.exits()).to.have.length(3);
      expect(world.clock.pendingTimers).to.equal(0);
    });

    it('ends a process that was about to exist', async () => {
      void world.gateway.request(subjects.node('n1'), { op: 'spawn', hid: 'h', label: 'x' }, { timeoutMs: 1000 });
      await world.clock.runUntil(() => world.agent.processCount === 1);
      let isClosed = false;
      void world.agent.close().then(() => (isClosed = true));
      await world.clock.runUntil(() => isClosed);
      expect(world.spawner.processes.every((process) => process.isGone)).to.equal(true);
    });
  });
});
