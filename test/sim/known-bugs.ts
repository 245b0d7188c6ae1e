/**
 * Ordering bugs that model servers really had, as policies in place of those of pool and profile switch: each is right on its own, and wrong
 * only in the order of things. The simulator has to notice every one.
 */
import type { InstanceEffect } from '../../src/pool/instance.js';
import { transition } from '../../src/pool/instance-state.js';
import type { HolderStanding } from '../../src/pool/eviction.js';
import { decidePlacement } from '../../src/pool/eviction.js';
import { transition as switchTransition } from '../../src/profile/switch-state.js';
import type { PoolPolicies } from '../../src/pool/policies.js';
import type { Sabotage } from './gateway.js';

type Bug = () => Partial<PoolPolicies>;

/** The bytes of a model are free for the next as soon as its process is told to end, not when it has ended. */
export const freesAtTheCommand: Bug = () => {
  const freed = new Set<string>();
  return {
    transition: (state, event, context) => {
      const next = transition(state, event, context);
      const effects = next.effects.flatMap((effect): readonly InstanceEffect[] => {
        if (effect.type === 'release' && freed.has(effect.hid)) return [];
        if (effect.type !== 'exit' && effect.type !== 'leave') return [effect];
        freed.add(effect.hid);
        return [effect, { type: 'release', hid: effect.hid }];
      });
      return { state: next.state, effects };
    },
  };
};

/** Who may go is decided on how things stood when somebody last looked, and then done at once. */
export const evictsOnAStaleRead: Bug = () => {
  let seen = new Map<string, HolderStanding>();
  return {
    decidePlacement: (question) => {
      const stale = question.holders.map((holder) => ({ ...holder, standing: seen.get(holder.id) ?? holder.standing }));
      seen = new Map(question.holders.map(({ id, standing }) => [id, standing]));
      return decidePlacement({ ...question, holders: stale });
    },
    transition: (state, event, context) =>
      transition(state, event, event.type === 'evict' ? { ...context, leased: 0 } : context),
  };
};

/** A model that was told to go is leased on. */
export const leasesWhatLeaves: Bug = () => ({
  transition: (state, event, context) => {
    const { effects, ...next } = transition(state, event, context);
    return { ...next, effects: effects.filter(({ type }) => type !== 'shut') };
  },
});

/** A host that is up counts as a model that is ready: what is said of one load is taken for the end of another. */
export const opensBeforeTheLoad: Bug = () => ({
  transition: (state, event, context) =>
    transition(
      state,
      event.type === 'heard' && event.host === 'loading' ? { ...event, host: 'ready' } : event,
      context,
    ),
});

/** A switch that is cancelled or fails ends where it stands: what was begun is neither finished nor undone. */
export const takesNothingBack: NonNullable<Sabotage['transition']> = (state, event) => {
  const next = switchTransition(state, event);
  if (next.state.name !== 'rolling-back') return next;
  return { state: { name: 'stable', last: next.state.cause }, effects: [{ type: 'write' }, { type: 'settle' }] };
};
