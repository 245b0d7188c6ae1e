/**
 * The life of one model instance (one host process) as a pure machine. Time comes in as a number, work goes out as effects.
 * Knows no queue, no bytes and no bus; the driver is the one writer.
 */
import { LlamaestroError } from '../base/errors.js';
import { crash, hostLost, hostStuck, isHopeless, loadCrash, refusal, toldAfter, type Failure } from './failure.js';
import {
  givenUpAtMs,
  hidOf,
  UNLOADED,
  type InstanceContext,
  type InstanceEffect,
  type InstanceEvent,
  type InstanceState,
  type Living,
  type Placing,
  type Rising,
  type Spawning,
  type StateOf,
  type Transition,
} from './instance.js';
import { suspectsItself } from './liveness.js';

/** The next state and what to do. Events of a process that is not this state's are ignored. */
export function transition(state: InstanceState, event: InstanceEvent, context: InstanceContext): Transition {
  if ('hid' in event && event.type !== 'placed' && event.hid !== hidOf(state)) return stay(state);
  switch (state.name) {
    case 'unloaded':
      return event.type === 'demand' && context.wanted ? place(0) : stay(state);
    case 'starting':
      return state.step === 'placing' ? whilePlacing(state, event, context) : whileSpawning(state, event, context);
    case 'loading':
      return whileLoading(state, event, context);
    case 'ready':
      return whileReady(state, event, context);
    case 'draining':
      return whileDraining(state, event, context);
    case 'stopping':
      return whileStopping(state, event, context);
    case 'failed':
      return whileFailed(state, event, context);
  }
}

function stay(state: InstanceState): Transition {
  return { state, effects: [] };
}

function to(state: InstanceState, ...effects: InstanceEffect[]): Transition {
  return { state, effects };
}

function place(failures: number): Transition {
  return to({ name: 'starting', step: 'placing', failures }, { type: 'place' });
}

function whilePlacing(state: Placing, event: InstanceEvent, context: InstanceContext): Transition {
  switch (event.type) {
    case 'placed': {
      const { hid } = event;
      const deadlineAtMs = context.nowMs + context.limits.startMs;
      return to(
        { name: 'starting', step: 'spawning', hid, failures: state.failures, deadlineAtMs },
        { type: 'spawn', hid },
      );
    }
    case 'placement-failed': {
      const failure = refusal(event.error, state.failures, context);
      const error = toldAfter(failure, context.nowMs);
      return to({ name: 'failed', failure }, { type: 'failed', failure }, { type: 'reject', error });
    }
    case 'demand':
      // Who left before a byte was taken must not evict anybody.
      return context.wanted ? stay(state) : to(UNLOADED, { type: 'withdraw' });
    case 'unload':
    case 'shutdown':
      return to(UNLOADED, { type: 'withdraw' });
    default:
      return stay(state);
  }
}

function whileSpawning(state: Spawning, event: InstanceEvent, context: InstanceContext): Transition {
  const { hid, failures } = state;
  switch (event.type) {
    case 'heard': {
      if (event.host === 'failed') return dying(hid, refused(state, event.error, context), context);
      if (event.host !== 'idle') return stay(state);
      const { nowMs, loadTimeoutMs, limits } = context;
      const times = {
        progressAtMs: nowMs,
        deadlineAtMs: nowMs + loadTimeoutMs,
        lastAtMs: nowMs + limits.longestLoadMs,
      };
      const unwanted = state.unwantedAtMs === undefined ? {} : { unwantedAtMs: state.unwantedAtMs };
      const loading: InstanceState = { name: 'loading', hid, failures, fraction: 0, ...times, ...unwanted };
      return to(loading, { type: 'load', hid }, { type: 'progress', fraction: 0 });
    }
    case 'spawn-failed':
      // It may exist nevertheless: its bytes stay booked until the node agent says that it does not.
      return dying(hid, refused(state, event.error, context), context, 'kill');
    case 'exited':
      return gone(hid, crashedEarly(state, event.how, context), context);
    case 'tick':
      if (context.nowMs >= givenUpAtMs(state, context)) return quit(hid, context);
      if (suspectsItself(event.lateMs, context.limits)) {
        return stay({ ...state, deadlineAtMs: context.nowMs + context.limits.startMs });
      }
      if (context.nowMs < state.deadlineAtMs) return stay(state);
      return dying(hid, crashedEarly(state, 'did not come up in time', context), context, 'kill');
    case 'demand':
      return stay(watched(state, context));
    case 'unload':
    case 'shutdown':
      return quit(hid, context);
    default:
      return stay(state);
  }
}

function whileLoading(state: StateOf<'loading'>, event: InstanceEvent, context: InstanceContext): Transition {
  const { hid, failures } = state;
  const { nowMs } = context;
  switch (event.type) {
    case 'heard':
      if (event.host === 'failed') return dying(hid, refused(state, event.error, context), context);
      if (event.host === 'ready') {
        return to({ name: 'ready', hid, failures, sinceMs: nowMs }, { type: 'open', hid });
      }
      if (event.host !== 'loading' || event.loadFraction <= state.fraction) return stay(state);
      return to(advanced(state, event.loadFraction, context), { type: 'progress', fraction: event.loadFraction });
    case 'load-refused':
      return dying(hid, refused(state, event.error, context), context, 'kill');
    case 'suspected':
      return dying(hid, crashedEarly(state, event.how, context), context, 'kill');
    case 'exited':
      return gone(hid, crashedEarly(state, event.how, context), context);
    case 'tick': {
      if (nowMs >= givenUpAtMs(state, context)) return exit(hid, context);
      if (suspectsItself(event.lateMs, context.limits)) {
        const deadlineAtMs = Math.max(state.deadlineAtMs, nowMs + context.limits.loadStallMs);
        return stay({ ...state, progressAtMs: nowMs, deadlineAtMs });
      }
      const late = nowMs >= state.deadlineAtMs;
      if (!late && nowMs < state.progressAtMs + context.limits.loadStallMs) return stay(state);
      const how = late ? 'needed longer than the load may take' : 'made no progress with the load';
      return dying(hid, crashedEarly(state, how, context), context, 'kill');
    }
    case 'demand':
      return stay(watched(state, context));
    case 'unload':
    case 'shutdown':
      return exit(hid, context);
    default:
      return stay(state);
  }
}

function whileReady(state: StateOf<'ready'>, event: InstanceEvent, context: InstanceContext): Transition {
  const { hid } = state;
  switch (event.type) {
    case 'exited':
      return gone(hid, crashedReady(state, hostLost(event.how), context), context);
    case 'suspected':
      return dying(hid, crashedReady(state, hostStuck(event.how, event.verdict), context), context, 'kill');
    case 'heard':
      if (event.host === 'failed') return dying(hid, crashedReady(state, saidFailed(event), context), context, 'kill');
      // Somebody else told it to finish: it refuses new work from now on.
      return event.host === 'draining' ? finish(state, context, toldElsewhere()) : stay(state);
    case 'tick':
      return context.nowMs >= (context.idleUntilMs ?? Infinity) ? leave(hid, context) : stay(state);
    case 'evict':
      return makeRoom(state, context);
    case 'unload':
      return finish(state, context, event.cause, event.drainMs);
    case 'shutdown':
      return exit(hid, context, event.cause);
    default:
      return stay(state);
  }
}

/** It is going anyway, so a crash here is no failure of the next life. */
function whileDraining(state: StateOf<'draining'>, event: InstanceEvent, context: InstanceContext): Transition {
  const { hid, cause } = state;
  switch (event.type) {
    case 'demand':
      return context.leased === 0 ? leave(hid, context) : stay(state);
    case 'unload':
      return state.yields === undefined
        ? hurried(state, event, context)
        : finish(state, context, event.cause, event.drainMs);
    case 'reprieve':
      if (state.yields === undefined) return stay(state);
      return to({ name: 'ready', hid, ...state.yields }, { type: 'resume' });
    case 'exited':
      return gone(hid, losing(event.asTold ? cause : hostLost(event.how)), context);
    case 'suspected':
      return dying(hid, losing(hostStuck(event.how, event.verdict)), context, 'kill');
    case 'heard':
      return event.host === 'failed' ? dying(hid, losing(saidFailed(event)), context, 'kill') : stay(state);
    case 'tick':
      return context.nowMs >= state.deadlineAtMs ? leave(hid, context, cause) : stay(state);
    case 'shutdown':
      return exit(hid, context, event.cause);
    default:
      return stay(state);
  }
}

function whileStopping(state: StateOf<'stopping'>, event: InstanceEvent, context: InstanceContext): Transition {
  const { hid, failure } = state;
  switch (event.type) {
    case 'exited':
      return gone(hid, { ...(failure === undefined ? {} : { failure }), effects: [] }, context);
    case 'tick':
      if (context.nowMs < state.killAtMs) return stay(state);
      return to({ ...state, killAtMs: nextKillAt(context) }, { type: 'kill', hid });
    case 'demand':
      return turnAway(state, failure, context);
    default:
      return stay(state);
  }
}

function whileFailed(state: StateOf<'failed'>, event: InstanceEvent, context: InstanceContext): Transition {
  const { failure } = state;
  switch (event.type) {
    case 'tick':
      // What would only fail again is tried for somebody who asks, not for the sake of the time that passed.
      if (failure.deterministic) return stay(state);
      return context.wanted && context.nowMs >= failure.retryAtMs ? place(failure.failures) : stay(state);
    case 'demand':
      if (context.wanted && context.nowMs >= failure.retryAtMs) return place(failure.failures);
      return turnAway(state, failure, context);
    case 'unload':
    case 'shutdown':
      return to(UNLOADED);
    default:
      return stay(state);
  }
}

/** Nobody here asked for it, so nothing more is known. */
function toldElsewhere(): LlamaestroError {
  return new LlamaestroError('draining', 'the model host was told to end before the request was done', {
    remedy: 'Send the request again; the model is loaded again when somebody asks for it.',
  });
}

/** What a process that fails leaves behind: the failure, unless it was leaving anyway, and who is to be told. */
interface Ending {
  readonly failure?: Failure;
  readonly effects: readonly InstanceEffect[];
}

/** It was leaving anyway: only those who hold a lease hear of it. */
function losing(error: LlamaestroError): Ending {
  return { effects: [{ type: 'lose', error }] };
}

function saidFailed({ error }: Extract<InstanceEvent, { type: 'heard' }>): LlamaestroError {
  return hostLost(`failed: ${error?.message ?? 'it did not say why'}`);
}

function refused(state: Living, error: LlamaestroError | undefined, context: InstanceContext): Ending {
  const known = error ?? new LlamaestroError('load_failed', 'the model host gave up without saying why');
  const failure = refusal(known, state.failures, context);
  return {
    failure,
    effects: [
      { type: 'failed', failure },
      { type: 'reject', error: toldAfter(failure, context.nowMs) },
    ],
  };
}

/** Those who wait stay, up to a limit: a model that dies at each load would keep them for nothing. */
function crashedEarly(state: Living, how: string, context: InstanceContext): Ending {
  const failure = crash(loadCrash(how), state.failures, context);
  const error = toldAfter(failure, context.nowMs);
  const reject: InstanceEffect[] = isHopeless(failure, context.limits) ? [{ type: 'reject', error }] : [];
  return { failure, effects: [{ type: 'failed', failure }, ...reject] };
}

/** A host that stood for a while starts a new count of failures. */
function crashedReady(state: StateOf<'ready'>, error: LlamaestroError, context: InstanceContext): Ending {
  const before = context.nowMs - state.sinceMs >= context.limits.stableMs ? 0 : state.failures;
  const failure = crash(error, before, context);
  return {
    failure,
    effects: [
      { type: 'failed', failure },
      { type: 'lose', error },
    ],
  };
}

/** The process is gone. */
function gone(hid: string, { failure, effects }: Ending, context: InstanceContext): Transition {
  const done: InstanceEffect[] = [...effects, { type: 'release', hid }];
  if (failure !== undefined) return to({ name: 'failed', failure }, ...done);
  if (!context.wanted) return to(UNLOADED, ...done);
  return to({ name: 'starting', step: 'placing', failures: 0 }, ...done, { type: 'place' });
}

/** The process must go, by itself or killed; the bytes stay booked until it is gone. */
function dying(hid: string, ending: Ending, context: InstanceContext, how: 'kill' | 'alone' = 'alone'): Transition {
  const failure = ending.failure === undefined ? {} : { failure: ending.failure };
  const kill: InstanceEffect[] = how === 'kill' ? [{ type: 'kill', hid }] : [];
  return to({ name: 'stopping', hid, killAtMs: nextKillAt(context), ...failure }, ...ending.effects, ...kill);
}

/** Asks a host with a model to go, with what it has learned saved; its leases are over when `error` is given. */
function leave(hid: string, context: InstanceContext, error?: LlamaestroError): Transition {
  const killAtMs = nextKillAt(context) + context.limits.leaveGraceMs;
  return to({ name: 'stopping', hid, killAtMs }, lastOf(error), { type: 'leave', hid });
}

/** Asks a host to go at once. */
function exit(hid: string, context: InstanceContext, error?: LlamaestroError): Transition {
  return to({ name: 'stopping', hid, killAtMs: nextKillAt(context) }, lastOf(error), { type: 'exit', hid });
}

function lastOf(error: LlamaestroError | undefined): InstanceEffect {
  return error === undefined ? { type: 'shut' } : { type: 'lose', error };
}

/** Lets what runs end, then asks the host to go. */
function finish(
  { hid }: StateOf<'ready' | 'draining'>,
  context: InstanceContext,
  cause: LlamaestroError,
  drainMs = context.limits.drainMs,
): Transition {
  if (context.leased === 0) return leave(hid, context);
  const deadlineAtMs = context.nowMs + drainMs;
  return to({ name: 'draining', hid, deadlineAtMs, cause }, { type: 'shut' });
}

/** Told once more: a shorter time counts, a longer one does not. */
function hurried(
  state: StateOf<'draining'>,
  { cause, drainMs }: Extract<InstanceEvent, { type: 'unload' }>,
  { nowMs, limits }: InstanceContext,
): Transition {
  const deadlineAtMs = nowMs + (drainMs ?? limits.drainMs);
  return stay(deadlineAtMs < state.deadlineAtMs ? { ...state, cause, deadlineAtMs } : state);
}

/** Lets what runs end, however long it takes, then goes; taken back when the load that wanted the bytes goes away before that. */
function makeRoom(state: StateOf<'ready'>, context: InstanceContext): Transition {
  const { hid, sinceMs, failures } = state;
  if (context.leased === 0) return leave(hid, context);
  const cause = new LlamaestroError('draining', 'the model made room for another one');
  const yields = { sinceMs, failures };
  return to({ name: 'draining', hid, deadlineAtMs: Infinity, cause, yields }, { type: 'shut' });
}

/** Ends a process that does not listen yet, so that there is nobody to ask. */
function quit(hid: string, context: InstanceContext): Transition {
  return to({ name: 'stopping', hid, killAtMs: nextKillAt(context) }, { type: 'kill', hid });
}

/** Notes since when nobody wants a load. It goes on for a while: who tries again a moment later finds it further on. */
function watched<State extends Rising>(state: State, { wanted, nowMs }: InstanceContext): State {
  const { unwantedAtMs, ...rest } = state;
  if (wanted) return rest as State;
  return { ...state, unwantedAtMs: unwantedAtMs ?? nowMs };
}

/** A load that goes on gets the time that its rest would take at the longest, up to a last moment. */
function advanced(state: StateOf<'loading'>, fraction: number, context: InstanceContext): InstanceState {
  const { nowMs, loadTimeoutMs, limits } = context;
  const restMs = Math.max(limits.loadStallMs, (1 - fraction) * loadTimeoutMs);
  const deadlineAtMs = Math.min(state.lastAtMs, Math.max(state.deadlineAtMs, nowMs + restMs));
  return { ...state, fraction, progressAtMs: nowMs, deadlineAtMs };
}

function turnAway(state: InstanceState, failure: Failure | undefined, context: InstanceContext): Transition {
  if (failure === undefined || context.waiting === 0 || !isHopeless(failure, context.limits)) return stay(state);
  return to(state, { type: 'reject', error: toldAfter(failure, context.nowMs) });
}

function nextKillAt({ nowMs, limits }: InstanceContext): number {
  return nowMs + limits.exitGraceMs;
}
