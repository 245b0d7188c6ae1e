/**
 * The life of one host process as its node agent sees it, as a pure machine: first a polite request over the bus, then
 * SIGTERM, then SIGKILL. Knows no process, no timer and no bus; `managed-host.ts` carries out the effects.
 *
 *   starting -> running -> asked -> terminated -> killed -> gone      (every state may go straight to gone)
 */

export type ProcessState =
  /** `killInMs` is set when a kill came before the process existed. */
  | { readonly name: 'starting'; readonly killInMs?: number }
  | { readonly name: 'running' }
  /** Asked over the bus to exit. */
  | { readonly name: 'asked'; readonly killAtMs: number }
  /** SIGTERM was sent. */
  | { readonly name: 'terminated'; readonly killAtMs: number }
  /** SIGKILL was sent. */
  | { readonly name: 'killed' }
  | { readonly name: 'gone' };

export type ProcessEvent =
  | { readonly type: 'spawned'; readonly nowMs: number }
  | { readonly type: 'spawn-failed' }
  /** `graceMs` 0 is SIGKILL at once; a later kill can only shorten an earlier one. */
  | { readonly type: 'kill'; readonly graceMs: number; readonly nowMs: number }
  /** Nobody answered the request to exit. */
  | { readonly type: 'unheard' }
  | { readonly type: 'term-due' }
  | { readonly type: 'kill-due' }
  | { readonly type: 'exited' };

export type ProcessEffect =
  | { readonly type: 'ask-exit' }
  | { readonly type: 'signal'; readonly signal: 'SIGTERM' | 'SIGKILL' }
  /** Replaces the timers of an earlier `arm`; they raise `term-due` and `kill-due`. */
  | { readonly type: 'arm'; readonly termMs: number; readonly killMs: number }
  | { readonly type: 'disarm' }
  /** The process existed and is gone: tell everybody. */
  | { readonly type: 'report' };

export interface ProcessStep {
  readonly state: ProcessState;
  readonly effects: readonly ProcessEffect[];
}

/** Share of the grace a process gets to answer the polite request before SIGTERM. */
const POLITE_SHARE = 0.5;

/** Total over every state and event; an event that means nothing in a state changes nothing. */
export function processTransition(state: ProcessState, event: ProcessEvent): ProcessStep {
  if (state.name === 'gone') return stay(state);
  switch (event.type) {
    case 'spawned':
      if (state.name !== 'starting') return stay(state);
      if (state.killInMs === undefined) return stay({ name: 'running' });
      return beginKill(state.killInMs, event.nowMs);
    case 'spawn-failed':
      return state.name === 'starting' ? stay({ name: 'gone' }) : stay(state);
    case 'kill':
      return onKill(state, event.graceMs, event.nowMs);
    case 'unheard':
    case 'term-due':
      if (state.name !== 'asked') return stay(state);
      return step({ name: 'terminated', killAtMs: state.killAtMs }, { type: 'signal', signal: 'SIGTERM' });
    case 'kill-due':
      if (state.name !== 'asked' && state.name !== 'terminated') return stay(state);
      return killNow();
    case 'exited':
      return step({ name: 'gone' }, { type: 'disarm' }, { type: 'report' });
  }
}

function onKill(state: ProcessState, graceMs: number, nowMs: number): ProcessStep {
  switch (state.name) {
    case 'starting':
      return stay({ name: 'starting', killInMs: Math.min(graceMs, state.killInMs ?? Infinity) });
    case 'running':
      return beginKill(graceMs, nowMs);
    case 'asked':
    case 'terminated':
      if (graceMs <= 0) return killNow();
      if (nowMs + graceMs >= state.killAtMs) return stay(state);
      return step({ ...state, killAtMs: nowMs + graceMs }, arm(graceMs));
    case 'killed':
    case 'gone':
      return stay(state);
  }
}

function beginKill(graceMs: number, nowMs: number): ProcessStep {
  if (graceMs <= 0) return killNow();
  return step({ name: 'asked', killAtMs: nowMs + graceMs }, arm(graceMs), { type: 'ask-exit' });
}

function killNow(): ProcessStep {
  return step({ name: 'killed' }, { type: 'disarm' }, { type: 'signal', signal: 'SIGKILL' });
}

function arm(graceMs: number): ProcessEffect {
  return { type: 'arm', termMs: graceMs * POLITE_SHARE, killMs: graceMs };
}

function step(state: ProcessState, ...effects: ProcessEffect[]): ProcessStep {
  return { state, effects };
}

function stay(state: ProcessState): ProcessStep {
  return { state, effects: [] };
}
