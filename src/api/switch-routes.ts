/** The routes that change the active profile: begin, look, follow, take back. A switch belongs to nobody: a client that leaves ends nothing. */
import Router from '@koa/router';
import type { Context } from 'koa';
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import type { ProfileManager, SwitchUnderWay } from '../profile/profile-manager.js';
import { decode } from '../schema/decode.js';
import type { SwitchProgress } from '../schema/profile-switch.js';
import { ReloadBodyCodec, SwitchBodyCodec } from '../schema/requests.js';
import type { ApiParts } from './api-parts.js';
import { publicError } from './problem.js';
import { readJson, readJsonOrNothing } from './read-body.js';
import type { SseFrame } from './rendering.js';
import { streamSse } from './sse.js';

/** Between two looks at loads in progress, while somebody follows. */
const LOOK_MS = 250;
/** And the looks that say something although nothing changed but the time. */
const SAID_EVERY = 4;

/** 202 with how far it is; with `wait` the answer comes at its end. */
async function answer(
  ctx: Context,
  { profiles }: Pick<ApiParts, 'profiles'>,
  { over }: SwitchUnderWay,
  isWaiting: boolean,
): Promise<void> {
  if (isWaiting) {
    const { error } = await over;
    if (error !== undefined) throw LlamaestroError.fromWire(error);
  }
  ctx.set('Location', '/v1/profiles/switch');
  ctx.body = profiles.progress();
  ctx.status = isWaiting ? 200 : 202;
}

function isOver({ state, to }: SwitchProgress): boolean {
  return to === undefined && (state === 'stable' || state === 'degraded');
}

/** Each change until the end of the switch; the last one shows it. */
async function* looks(profiles: ProfileManager, clock: Clock, signal: AbortSignal): AsyncGenerator<SwitchProgress> {
  let [said, isOpen, unsaid] = ['', true, 0];
  let wake = (): void => undefined;
  const forget = profiles.onSwitch(() => wake());
  const leave = (): void => {
    isOpen = false;
    wake();
  };
  signal.addEventListener('abort', leave, { once: true });
  try {
    while (isOpen && !signal.aborted) {
      const progress = profiles.progress();
      const { elapsedMs: _elapsed, etaMs: _eta, ...shown } = progress;
      const text = JSON.stringify(shown);
      if (text !== said || ++unsaid >= SAID_EVERY) {
        yield progress;
        unsaid = 0;
      }
      said = text;
      if (isOver(progress)) return;
      await new Promise<void>((resolve) => {
        const timer = clock.setTimer(LOOK_MS, resolve);
        wake = () => (timer.cancel(), resolve());
      });
    }
  } finally {
    forget();
    signal.removeEventListener('abort', leave);
  }
}

function framesOf(): (progress: SwitchProgress) => readonly SseFrame[] {
  let id = 0;
  return (progress) => {
    const frame = (event: string, last = false): SseFrame => ({
      ...{ id: ++id, event, data: JSON.stringify(progress) },
      ...(last ? { last } : {}),
    });
    return [isOver(progress) ? frame('switch.over', true) : frame('switch.progress')];
  };
}

function follow(ctx: Context, { profiles, clock, log }: ApiParts): Promise<void> {
  const onBreak = (thrown: unknown): readonly SseFrame[] => {
    const error = publicError(thrown);
    if (error.code === 'internal') log.error('the stream of a switch broke off', { error: String(thrown) });
    return [{ event: 'switch.broken', data: JSON.stringify({ error: error.toWire() }), last: true }];
  };
  const options = { clock, onLeave: () => undefined, onBreak };
  return streamSse(ctx, (signal) => looks(profiles, clock, signal), framesOf(), options);
}

export function switchRoutes(parts: ApiParts): Router {
  const { profiles } = parts;
  const router = new Router();
  router.post('/v1/profiles/switch', async (ctx) => {
    const { name, drain_ms: drainMs, wait } = decode(SwitchBodyCodec, await readJson(ctx.req));
    await answer(ctx, parts, await profiles.activate(name, drainMs ?? undefined), wait === true);
  });
  router.post('/v1/profiles/reload', async (ctx) => {
    const { drain_ms: drainMs, wait } = decode(ReloadBodyCodec, await readJsonOrNothing(ctx.req));
    await answer(ctx, parts, await profiles.reload(drainMs ?? undefined), wait === true);
  });
  router.get('/v1/profiles/switch', (ctx) => {
    ctx.body = profiles.progress();
  });
  router.get('/v1/profiles/switch/events', (ctx) => follow(ctx, parts));
  router.delete('/v1/profiles/switch', (ctx) => {
    profiles.cancel();
    ctx.body = profiles.progress();
    ctx.status = 202;
  });
  return router;
}
