/** Our engine in this process, for the rows that compare it without a server. */
import { loadModel } from '../../dist/engine/index.js';

/** Loads, runs, closes; `run` gets the engine. */
export async function withEngine(options, run) {
  const engine = await loadModel({ purpose: 'generate', ...options });
  try {
    return await run(engine);
  } finally {
    await engine.close();
  }
}

/** One sequence to its end: milliseconds to the first token, tokens in all, and its text where `keepText` is set. */
export function sequence(engine, request, { keepText = false } = {}) {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    let [firstMs, text] = [undefined, ''];
    engine.submit({ temperature: 0, ignoreEos: true, ...request }, (event) => {
      if (event.type === 'tokens') {
        firstMs ??= performance.now() - startMs;
        if (keepText) text += event.text;
      }
      if (event.type !== 'finished') return;
      if (event.reason === 'error') reject(event.error);
      else resolve({ firstMs, totalMs: performance.now() - startMs, tokens: event.usage.completionTokens, text });
    });
  });
}

/** `count` sequences at once; tokens of all over the wall time, as `together` of client.mjs counts them. */
export async function sequencesTogether(engine, count, requestOf) {
  const startMs = performance.now();
  const runs = await Promise.all(Array.from({ length: count }, (_, index) => sequence(engine, requestOf(index))));
  const seconds = (performance.now() - startMs) / 1000;
  return { tokensPerSecond: runs.reduce((sum, run) => sum + run.tokens, 0) / seconds, runs };
}

export const textPrompt = (text) => ({ kind: 'text', text });
