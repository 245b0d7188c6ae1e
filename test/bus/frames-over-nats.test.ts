/** Frame streams over real sockets, while the server between them goes away and comes back. */
import { expect } from 'chai';
import { silentLogger } from '../../src/base/log.js';
import { systemClock, systemRandom } from '../../src/base/system-ports.js';
import { startBroker } from '../../src/bus/broker/broker.js';
import type { Bus } from '../../src/bus/bus.js';
import { FrameReceiver } from '../../src/bus/frame-receiver.js';
import { FrameSender } from '../../src/bus/frame-sender.js';
import { connectNats } from '../../src/bus/nats-bus.js';
import type { Frame } from '../../src/schema/bus-messages.js';
import { delta, FINAL, serveCommands, textOf } from './frame-world.js';
import { findNatsServer, sayNoNatsServer, startNatsServer } from './nats-server.js';

const ports = { clock: systemClock, random: systemRandom, log: silentLogger };

interface RestartableServer {
  readonly url: string;
  readonly token?: string;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

async function embedded(): Promise<RestartableServer> {
  let broker = await startBroker(ports);
  const { url, token, port } = broker;
  return {
    url,
    token,
    async restart() {
      await broker.close();
      broker = await startBroker({ ...ports, port, token });
    },
    stop: () => broker.close(),
  };
}

async function natsServer(binary: string): Promise<RestartableServer> {
  let server = await startNatsServer(binary);
  const { url, port } = server;
  return {
    url,
    async restart() {
      await server.stop();
      server = await startNatsServer(binary, port);
    },
    stop: () => server.stop(),
  };
}

/** Both ends, and a stream that is read as it comes. */
async function openStream(server: RestartableServer) {
  const { url: servers, token } = server;
  const dial = (name: string): Promise<Bus> =>
    connectNats({ servers, name, ...ports, ...(token === undefined ? {} : { token }) });
  const [hostBus, gatewayBus] = await Promise.all([dial('host'), dial('gateway')]);
  const sender = new FrameSender({ bus: hostBus, ...ports, hid: 'h1', onOverflow: () => undefined });
  serveCommands(hostBus, 'h1', sender);
  const receiver = new FrameReceiver({ bus: gatewayBus, ...ports, gid: 'g1' });
  await Promise.all([hostBus.flush(), gatewayBus.flush()]);
  const frames: Frame[] = [];
  sender.open({ rid: 'run_1', att: 1, gid: 'g1', creditFrames: 64 });
  const ended = new Promise<void>((resolve, reject) => {
    const handle = receiver.open({
      rid: 'run_1',
      att: 1,
      hid: 'h1',
      creditFrames: 64,
      onFrame: (frame) => {
        frames.push(frame);
        handle.consumed(1);
        if (frame.type === 'final') resolve();
      },
      onBroken: reject,
    });
  });
  const close = async (): Promise<void> => {
    sender.close();
    receiver.close();
    await Promise.all([hostBus.close(), gatewayBus.close()]);
  };
  const text = (): string => frames.map((frame) => (frame.type === 'delta' ? frame.text : '')).join('');
  return { sender, receiver, ended, text, close };
}

async function survivesRestart(server: RestartableServer): Promise<void> {
  const { sender, receiver, ended, text, close } = await openStream(server);
  try {
    let restarted: Promise<void> | undefined;
    for (let n = 0; n < 400; n++) {
      sender.send('run_1', 1, delta(n));
      sender.flush();
      if (n === 150) restarted = server.restart();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    sender.send('run_1', 1, FINAL);
    sender.flush();
    await Promise.all([restarted, ended]);
    expect(text()).to.equal(textOf(0, 400));
    expect(sender.counts.repeated, 'something was lost and sent again').to.be.greaterThan(0);
    expect([receiver.size, sender.live()]).to.deep.equal([0, []]);
  } finally {
    await close();
    await server.stop();
  }
}

describe('frame streams over sockets', () => {
  it('arrive whole through the embedded broker, with nothing asked twice', async () => {
    const server = await embedded();
    const { sender, receiver, ended, text, close } = await openStream(server);
    try {
      for (let n = 0; n < 500; n++) {
        sender.send('run_1', 1, delta(n));
        if (n % 3 === 0) sender.flush();
      }
      sender.send('run_1', 1, FINAL);
      sender.flush();
      await ended;
      expect(text()).to.equal(textOf(0, 500));
      expect(receiver.counts).to.include({ duplicates: 0, gaps: 0, asks: 0, late: 0 });
    } finally {
      await close();
      await server.stop();
    }
  });

  it('arrive whole although the embedded broker restarts in the middle', async () => {
    await survivesRestart(await embedded());
  });

  it('arrive whole although the nats-server is killed and started again', async function () {
    const binary = findNatsServer();
    if (binary === undefined) {
      sayNoNatsServer();
      this.skip();
    }
    await survivesRestart(await natsServer(binary));
  });
});
