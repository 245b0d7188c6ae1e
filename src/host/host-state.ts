/**
 * The life of one model host as a pure machine: without a model, loading, serving, draining, failed, ended. Knows no
 * engine and no bus; `host-server.ts` carries out the effects and is the only writer.
 *
 *   idle -> loading -> ready -> draining -> ended        loading -> failed -> ended
 */
import type { WireError } from '../base/errors.js';
import type { HostState as WireState } from '../schema/bus-messages.js';

export type HostLife =
  | { readonly name: 'idle' }
  /** `fraction` is 0 … 1. */
  | { readonly name: 'loading'; readonly fraction: number }
  | { readonly name: 'ready' }
  | { readonly name: 'draining' }
  | { readonly name: 'failed'; readonly error: WireError }
  | { readonly name: 'ended' };

export type HostLifeEvent =
  | { readonly type: 'load' }
  | { readonly type: 'progress'; readonly fraction: number }
  | { readonly type: 'loaded' }
  | { readonly type: 'load-failed'; readonly error: WireError }
  | { readonly type: 'drain' }
  | { readonly type: 'exit' };

export type HostLifeEffect =
  | { readonly type: 'begin-load' }
  | { readonly type: 'abort-load' }
  /** The engine came too late: nobody wants it any more. */
  | { readonly type: 'discard-engine' }
  | { readonly type: 'publish' }
  /** Publish unless progress was published a moment ago. */
  | { readonly type: 'publish-progress' }
  | { readonly type: 'end'; readonly exitCode: 0 | 1 };

export interface HostLifeStep {
  readonly state: HostLife;
  readonly effects: readonly HostLifeEffect[];
  /** True when the event is not allowed in this state; then nothing changed. */
  readonly isRefused?: true;
}

/** Total over every state and event; what means nothing in a state changes nothing. */
export function hostTransition(state: HostLife, event: HostLifeEvent): HostLifeStep {
  switch (event.type) {
    case 'load':
      if (state.name !== 'idle') return { state, effects: [], isRefused: true };
      return step({ name: 'loading', fraction: 0 }, { type: 'begin-load' }, { type: 'publish' });
    case 'progress':
      // Native code may report a late or an equal fraction; clients never see it go back.
      if (state.name !== 'loading' || event.fraction <= state.fraction) return step(state);
      return step({ name: 'loading', fraction: event.fraction }, { type: 'publish-progress' });
    case 'loaded':
      if (state.name !== 'loading') return step(state, { type: 'discard-engine' });
      return step({ name: 'ready' }, { type: 'publish' });
    case 'load-failed':
      if (state.name !== 'loading') return step(state);
      return step({ name: 'failed', error: event.error }, { type: 'publish' }, { type: 'end', exitCode: 1 });
    case 'drain':
      return onDrain(state);
    case 'exit':
      if (state.name === 'ended') return step(state);
      return step({ name: 'ended' }, ...(state.name === 'loading' ? ([{ type: 'abort-load' }] as const) : []), {
        type: 'end',
        exitCode: 0,
      });
  }
}

/** The word for it on the bus; a host that ends says nothing more. */
export function wireState(state: HostLife): WireState | undefined {
  return state.name === 'ended' ? undefined : state.name;
}

function onDrain(state: HostLife): HostLifeStep {
  switch (state.name) {
    case 'idle':
    case 'ready':
      return step({ name: 'draining' }, { type: 'publish' });
    case 'loading':
      return step({ name: 'draining' }, { type: 'abort-load' }, { type: 'publish' });
    case 'draining':
    case 'failed':
    case 'ended':
      return step(state);
  }
}

function step(state: HostLife, ...effects: HostLifeEffect[]): HostLifeStep {
  return { state, effects };
}
