/** A host and a gateway on the simulated network, each with its end of the frame streams. */
import { silentLogger } from '../../src/base/log.js';
import { LlamaestroError } from '../../src/base/errors.js';
import { answer } from '../../src/bus/answer.js';
import type { Bus } from '../../src/bus/bus.js';
import { FrameReceiver } from '../../src/bus/frame-receiver.js';
import { FrameSender } from '../../src/bus/frame-sender.js';
import type { StreamHandle } from '../../src/bus/frame-receiver.js';
import { SimNetwork, type SimFaults } from '../../src/bus/sim-bus.js';
import { subjects } from '../../src/bus/subjects.js';
import { HostCommandCodec, type Frame, type FrameBody } from '../../src/schema/bus-messages.js';
import { decode } from '../../src/schema/decode.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';

const usage = { promptTokens: 3, cachedTokens: 0, completionTokens: 9 };
const timings = { queueMs: 0, prefillMs: 1, decodeMs: 2 };
export const FINAL: FrameBody = { type: 'final', reason: 'stop', usage, timings };
export const CANCELLED: FrameBody = { type: 'cancelled', usage, timings };

export function delta(index: number, text = `${String(index)} `): FrameBody {
  return { type: 'delta', firstIndex: index, ids: [index], text };
}

/** Carries out the commands about frames as a host does. */
export function serveCommands(bus: Bus, hid: string, sender: FrameSender): void {
  bus.subscribe(subjects.host(hid, 'ctl'), (message) => {
    const work = (body: unknown): void => {
      const command = decode(HostCommandCodec, body);
      if (command.op === 'credit') sender.grant(command.rid, command.att, command.frames);
      if (command.op === 'resend' && !sender.resend(command.rid, command.att, command.fromSeq)) {
        throw new LlamaestroError('stream_gap', 'no longer kept');
      }
    };
    void answer(message, work, () => undefined);
  });
}

/** What one reader saw. */
export interface Reading {
  readonly frames: Frame[];
  readonly handle: StreamHandle;
  broken: LlamaestroError | undefined;
  text(): string;
  /** 'open', the type of the end, or the code of the break. */
  state(): string;
}

export class FrameWorld {
  readonly clock = new FakeClock();
  readonly network: SimNetwork;
  readonly hostBus: Bus;
  readonly gatewayBus: Bus;
  readonly sender: FrameSender;
  readonly receiver: FrameReceiver;
  readonly overflows: string[] = [];

  constructor(seed: number, faults: Partial<SimFaults> = {}, maxPayloadBytes = 1024 * 1024) {
    const { clock } = this;
    this.network = new SimNetwork({ clock, random: seededRandom(seed), faults, maxPayloadBytes });
    this.hostBus = this.network.connect('host');
    this.gatewayBus = this.network.connect('gateway');
    const log = silentLogger;
    this.sender = new FrameSender({
      bus: this.hostBus,
      clock,
      log,
      hid: 'h1',
      onOverflow: (rid, att) => this.overflows.push(`${rid}/${String(att)}`),
    });
    serveCommands(this.hostBus, 'h1', this.sender);
    this.receiver = new FrameReceiver({ bus: this.gatewayBus, clock, log, gid: 'g1' });
  }

  /** Opens one attempt on both sides. With `patient` nothing counts as consumed until the test says so. */
  open(rid: string, options: { att?: number; creditFrames?: number; patient?: boolean } = {}): Reading {
    const { att = 1, creditFrames = 256, patient = false } = options;
    this.sender.open({ rid, att, gid: 'g1', creditFrames });
    return this.read(rid, att, creditFrames, patient);
  }

  read(rid: string, att: number, creditFrames: number, patient = false): Reading {
    const frames: Frame[] = [];
    const handle = this.receiver.open({
      rid,
      att,
      hid: 'h1',
      creditFrames,
      onFrame: (frame) => {
        frames.push(frame);
        if (!patient) handle.consumed(1);
      },
      onBroken: (error) => (reading.broken = error),
    });
    const reading: Reading = {
      frames,
      handle,
      broken: undefined,
      text: () => frames.map((frame) => (frame.type === 'delta' ? frame.text : '')).join(''),
      state: () => {
        const last = frames.at(-1)?.type;
        if (last === 'final' || last === 'error' || last === 'cancelled') return last;
        return reading.broken?.code ?? 'open';
      },
    };
    return reading;
  }

  /** Sends deltas first..last-1 in one flush. */
  deltas(rid: string, first: number, last: number): void {
    for (let n = first; n < last; n++) this.sender.send(rid, 1, delta(n));
    this.sender.flush();
  }

  finish(rid: string, body: FrameBody = FINAL): void {
    this.sender.send(rid, 1, body);
    this.sender.flush();
  }
}

/** What deltas first..last-1 say. */
export function textOf(first: number, last: number): string {
  return Array.from({ length: last - first }, (_, n) => `${String(first + n)} `).join('');
}
