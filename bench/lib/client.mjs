/** A streaming client of `/v1/completions` that counts tokens and time; the same for every server. */

/** One streamed completion: milliseconds to the first text and in all, tokens by the server's own count. */
export async function complete(url, body) {
  const startMs = performance.now();
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0,
      ignore_eos: true,
    }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  let firstMs;
  let tokens = 0;
  let promptTokens = 0;
  let rest = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('data: {')) continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Error(event.error.message);
      if (firstMs === undefined && event.choices?.length > 0) firstMs = performance.now() - startMs;
      if (event.usage) {
        tokens = event.usage.completion_tokens;
        promptTokens = event.usage.prompt_tokens;
      }
    }
  }
  return { firstMs, totalMs: performance.now() - startMs, tokens, promptTokens };
}

/** `count` completions at once; tokens of all over the wall time. */
export async function together(url, count, bodyOf) {
  const startMs = performance.now();
  const runs = await Promise.all(Array.from({ length: count }, (_, index) => complete(url, bodyOf(index))));
  const seconds = (performance.now() - startMs) / 1000;
  const tokens = runs.reduce((sum, run) => sum + run.tokens, 0);
  return { tokensPerSecond: tokens / seconds, tokens, seconds, runs };
}

/** A prompt of about `words` tokens that differs from run to run in its first word. */
export function promptOf(words, salt) {
  return Array.from({ length: words }, (_, index) => `w${(index * 7 + salt) % 10}`).join(' ');
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
