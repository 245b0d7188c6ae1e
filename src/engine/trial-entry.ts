/**
 * The short-lived process in which a model file is tried: plan, load, one prompt, a few tokens. Whatever the file does to
 * it stays in it. Started by trial.ts with an IPC channel; ends when the channel does.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Engine, LoadOptions } from './engine.js';
import { createNativeDriver } from './native-engine.js';
import { generate } from './token-stream.js';
import type { TrialReply, TrialRequest } from './trial-messages.js';

/** Enough for the prompt and the tokens; the caller's own context may be a thousand times as large. */
const TRIAL_CONTEXT_TOKENS = 256;
const TRIAL_TOKENS = 2;
const TRIAL_TEXT = 'Hello, world';

async function tryOptions({ options, memoryBytes }: TrialRequest): Promise<void> {
  const driver = createNativeDriver();
  const small: LoadOptions = { ...options, contextTokens: TRIAL_CONTEXT_TOKENS, slots: 1, chunkTokens: 64 };
  const plan = await driver.planMemory(small);
  if (memoryBytes !== undefined && plan.totalBytes > memoryBytes) {
    throw new LlamaestroError('does_not_fit', `a trial of ${options.file} may take ${memoryBytes} bytes`, {
      details: { needBytes: plan.totalBytes, limitBytes: memoryBytes },
    });
  }
  const engine = await driver.load(small);
  await use(engine);
  await engine.close();
}

async function use(engine: Engine): Promise<void> {
  switch (engine.info.purpose) {
    case 'embed':
      await engine.embed([TRIAL_TEXT]);
      return;
    case 'rerank':
      await engine.rerank(TRIAL_TEXT, [TRIAL_TEXT]);
      return;
    case 'vocab':
      await engine.tokenize({ kind: 'text', text: TRIAL_TEXT });
      return;
    case 'generate':
      await generateSome(engine);
  }
}

async function generateSome(engine: Engine): Promise<void> {
  if (engine.info.hasChatTemplate) {
    // A template that refuses these messages may take others; here it only has to come to an end.
    const messages = [{ role: 'user', content: TRIAL_TEXT }];
    await engine.tokenize({ kind: 'messages', messages }).catch(() => undefined);
  }
  const tokens = Array.from(await engine.tokenize({ kind: 'text', text: TRIAL_TEXT }));
  const prompt = { kind: 'tokens', tokens: tokens.length > 0 ? tokens : [0] } as const;
  await generate(engine, { prompt, maxTokens: TRIAL_TOKENS, ignoreEos: true, temperature: 0 }).result;
}

function reply(message: TrialReply): void {
  process.send?.(message);
}

process.once('message', (request: TrialRequest) => {
  tryOptions(request)
    .then(() => reply({}))
    .catch((thrown: unknown) => reply({ error: toLlamaestroError(thrown).toWire() }))
    .finally(() => process.disconnect());
});
reply('ready');
