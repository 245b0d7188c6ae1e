/** A streaming client of `/v1/completions` that counts tokens and time; the same for every server. */
import { once } from 'node:events';
import { request } from 'node:http';

/** Strings that stand in an event as such, never inside its text, where quotes are escaped. */
const HAS_TEXT = '"choices":[{';
const HAS_COUNTS = '"usage":{';
const HAS_ERROR = '"error":{';

async function post(url, body, signal) {
  // A connection for each request: a server may close one that idles at the moment it is used again.
  const headers = { 'content-type': 'application/json' };
  const sent = request(url, { method: 'POST', headers, agent: false, ...(signal && { signal }) });
  sent.end(JSON.stringify(body));
  const [response] = await once(sent, 'response');
  response.setEncoding('utf8');
  return response;
}

/**
 * One streamed completion: milliseconds to the first text and in all, tokens by the server's own count. It shares the
 * cores with the server it measures, so it reads no more of an event than it must. `onText` is called for each event
 * with text; when `signal` is aborted the client hangs up, and the completion is rejected.
 */
export async function complete(url, body, { signal, onText } = {}) {
  const startMs = performance.now();
  const streamed = { stream: true, stream_options: { include_usage: true }, temperature: 0, ignore_eos: true };
  const response = await post(`${url}/v1/completions`, { ...body, ...streamed }, signal);
  let [rest, tokens, promptTokens, cachedTokens, refusal] = ['', 0, 0, 0, ''];
  let firstMs;
  const take = (line) => {
    if (response.statusCode !== 200) refusal += line;
    if (line.includes(HAS_ERROR)) throw new Error(line);
    if ((firstMs === undefined || onText !== undefined) && line.includes(HAS_TEXT)) {
      firstMs ??= performance.now() - startMs;
      onText?.();
    }
    if (!line.includes(HAS_COUNTS)) return;
    const { usage } = JSON.parse(line.slice(line.indexOf('{')));
    [tokens, promptTokens] = [usage.completion_tokens, usage.prompt_tokens];
    cachedTokens = usage.prompt_tokens_details?.cached_tokens ?? 0;
  };
  response.on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    try {
      lines.forEach(take);
    } catch (error) {
      response.destroy(error);
    }
  });
  await once(response, 'end');
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${refusal}${rest}`);
  return { firstMs, totalMs: performance.now() - startMs, tokens, promptTokens, cachedTokens };
}

/** A completion whose client can hang up; `ended` becomes 'answered', or 'left' after `hangUp()`. */
export function abandonable(url, body, onText) {
  const leaving = new AbortController();
  const ended = complete(url, body, { signal: leaving.signal, onText }).then(
    () => 'answered',
    (error) => {
      if (leaving.signal.aborted) return 'left';
      throw error;
    },
  );
  return { ended, hangUp: () => leaving.abort() };
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
  return Array.from({ length: words }, (_, index) => `w${index === 0 ? salt : (index * 7 + salt) % 10}`).join(' ');
}

/** Words of `promptOf` that make about one token more, by the server's own count; both sides read with one tokenizer. */
export async function wordsPerToken(url) {
  const count = async (words) =>
    (await complete(url, { model: 'default', prompt: promptOf(words, 1), max_tokens: 1 })).promptTokens;
  return 100 / ((await count(150)) - (await count(50)));
}

/** Runs `count` streams for a while: a server is measured as it is after its first minute, compiled and with warm caches. */
export async function warmUp(url, count, bodyOf) {
  for (let round = 0; round < 3; round++) await together(url, count, bodyOf);
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
