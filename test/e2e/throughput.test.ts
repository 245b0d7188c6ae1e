/**
 * Sixteen streams at once, in process and over the whole HTTP path, on the 15M model: every stream delivers every token.
 * The two rates are printed, never asserted; `bench/engine-over-http.mjs` measures them properly.
 */
import { expect } from 'chai';
import { loadModel, type SequenceEvent } from '../../src/engine/index.js';
import { dispose, post, sseAll, startProcess } from '../support/gateway.js';
import { benchModel } from '../support/models.js';

const STREAMS = 16;
const TOKENS = 48;
const CONTEXT = STREAMS * 256;
const PROMPTS = Array.from({ length: STREAMS }, (_, index) => `stream ${String(index)} says`);

function perSecond(sinceMs: number): string {
  return ((STREAMS * TOKENS * 1000) / (performance.now() - sinceMs)).toFixed(0);
}

describe('e2e: sixteen streams', function () {
  this.timeout(180_000);
  after(dispose);

  it('deliver every token, in process and over HTTP', async () => {
    const file = await benchModel('15m');
    const engine = await loadModel({ file, purpose: 'generate', contextTokens: CONTEXT, slots: STREAMS });
    let sinceMs = performance.now();
    const alone = await Promise.all(
      PROMPTS.map(
        (text) =>
          new Promise<number[]>((resolve) => {
            const ids: number[] = [];
            const listener = (event: SequenceEvent): void => {
              if (event.type === 'tokens') ids.push(...event.ids);
              if (event.type === 'finished') resolve(ids);
            };
            engine.submit({ prompt: { kind: 'text', text }, maxTokens: TOKENS, ignoreEos: true }, listener);
          }),
      ),
    );
    const engineRate = perSecond(sinceMs);
    await engine.close();
    expect(alone.map((ids) => ids.length)).to.deep.equal(PROMPTS.map(() => TOKENS));

    const gateway = await startProcess({
      args: ['--model', file, '--context', String(CONTEXT), '--slots', String(STREAMS)],
    });
    sinceMs = performance.now();
    const streams = await Promise.all(
      PROMPTS.map(async (prompt) => {
        const body = {
          model: 'default',
          prompt,
          max_tokens: TOKENS,
          ignore_eos: true,
          stream: true,
          stream_options: { include_usage: true },
        };
        return sseAll(await post(`${gateway.url}/v1/completions`, body));
      }),
    );
    const httpRate = perSecond(sinceMs);
    for (const events of streams) {
      expect(events.at(-1)?.data).to.equal('[DONE]');
      const usage = JSON.parse(events.at(-2)?.data ?? '{}') as { usage?: { completion_tokens: number } };
      expect(usage.usage?.completion_tokens).to.equal(TOKENS);
    }
    process.stdout.write(`      in process ${engineRate} tokens/s, over HTTP ${httpRate}\n`);
  });
});
