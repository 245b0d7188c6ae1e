/**
 * One host process from spawn to exit: carries out the effects of `process-state.ts` and keeps the last heartbeat. Knows
 * the bus only to ask the host to exit, and nothing of models.
 */
import { toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Timer } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import { subjects } from '../bus/subjects.js';
import type { HostCommand, HostPulse } from '../schema/bus-messages.js';
import { NODE_LIMITS } from '../schema/config.js';
import type { Heartbeat } from './heartbeat.js';
import { processTransition, type ProcessEffect, type ProcessEvent, type ProcessState } from './process-state.js';
import type { HostExit, HostProcess, Spawner } from './spawner.js';

export interface ManagedHostParts {
  readonly hid: string;
  readonly label: string;
  readonly bus: Bus;
  readonly clock: Clock;
  /** Time that this process was awake: what a machine slept is nobody's silence. */
  readonly awakeMs: () => number;
  readonly spawner: Spawner;
  readonly log: Logger;
}

export class ManagedHost {
  readonly hid: string;
  private name: string;
  /** Settles when the process is gone; undefined when it never existed. Never rejects. */
  readonly gone: Promise<HostExit | undefined>;
  private state: ProcessState = { name: 'starting' };
  private process: HostProcess | undefined;
  private exit: HostExit | undefined;
  private settleGone: (exit: HostExit | undefined) => void = () => undefined;
  private timers: Timer[] = [];
  private beat: Heartbeat | undefined;
  private lastBeatMs: number;
  private isReportedSilent = false;

  constructor(private readonly parts: ManagedHostParts) {
    this.hid = parts.hid;
    this.name = parts.label;
    this.lastBeatMs = parts.awakeMs();
    this.gone = new Promise((resolve) => (this.settleGone = resolve));
  }

  /** What the process is used for. */
  get label(): string {
    return this.name;
  }

  /** 0 until the process exists. */
  get pid(): number {
    return this.process?.pid ?? 0;
  }

  /** Resolves with the process id; rejects with the spawner's error, and then `gone` settles too. Call once. */
  async start(): Promise<number> {
    try {
      this.process = await this.parts.spawner.spawn({
        hid: this.hid,
        label: this.label,
        onExit: (exit) => {
          this.exit = exit;
          this.dispatch({ type: 'exited' });
        },
        onHeartbeat: (beat) => this.onHeartbeat(beat),
      });
    } catch (thrown) {
      this.dispatch({ type: 'spawn-failed' });
      this.settleGone(undefined);
      throw toLlamaestroError(thrown);
    }
    this.lastBeatMs = this.parts.awakeMs();
    this.dispatch({ type: 'spawned', nowMs: this.parts.clock.nowMs() });
    return this.process.pid;
  }

  /** The process is used for something else now. */
  relabel(label: string): void {
    this.name = label;
    this.process?.relabel(label);
  }

  /** Ends the process within `graceMs`: asked first, then SIGTERM, then SIGKILL. Idempotent. */
  kill(graceMs: number): void {
    this.dispatch({ type: 'kill', graceMs, nowMs: this.parts.clock.nowMs() });
  }

  pulse(): HostPulse {
    const { steps = 0, running = 0, stalledMs = 0 } = this.beat ?? {};
    return { hid: this.hid, silentMs: this.parts.awakeMs() - this.lastBeatMs, steps, running, stalledMs };
  }

  /** Logs once when the heartbeat stays away too long; true while it does. */
  checkSilence(): boolean {
    const { silentMs } = this.pulse();
    const isSilent = this.state.name === 'running' && silentMs > NODE_LIMITS.silentMs;
    if (isSilent && !this.isReportedSilent) this.parts.log.warn('a host is silent', { hid: this.hid, silentMs });
    this.isReportedSilent = isSilent;
    return isSilent;
  }

  private onHeartbeat(beat: Heartbeat): void {
    this.beat = beat;
    this.lastBeatMs = this.parts.awakeMs();
  }

  private dispatch(event: ProcessEvent): void {
    const { state, effects } = processTransition(this.state, event);
    this.state = state;
    for (const effect of effects) this.perform(effect);
  }

  private perform(effect: ProcessEffect): void {
    switch (effect.type) {
      case 'ask-exit':
        return this.askExit();
      case 'signal':
        return this.process?.signal(effect.signal);
      case 'arm':
        this.disarm();
        this.timers = [
          this.parts.clock.setTimer(effect.termMs, () => this.dispatch({ type: 'term-due' })),
          this.parts.clock.setTimer(effect.killMs, () => this.dispatch({ type: 'kill-due' })),
        ];
        return;
      case 'disarm':
        return this.disarm();
      case 'report':
        return this.settleGone(this.exit);
    }
  }

  private askExit(): void {
    const command: HostCommand = { op: 'exit' };
    this.parts.bus
      .request(subjects.host(this.hid, 'ctl'), command, { timeoutMs: NODE_LIMITS.exitAnswerMs })
      .catch(() => this.dispatch({ type: 'unheard' }));
  }

  private disarm(): void {
    for (const timer of this.timers) timer.cancel();
    this.timers = [];
  }
}
