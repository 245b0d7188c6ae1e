// @ts-check
/**
 * Which profile a running gateway has now: it may have been switched since the start that wrote it down. Asks the
 * gateway and decides nothing.
 */

const defaultAnswerMs = 3000;

/**
 * @typedef {{ name: string, origin: string }} ActiveProfile `origin` is the absolute path of its file, or says what it
 *   was made up for
 */

/**
 * @param {{ url: string, pid: number }} gateway
 * @param {number} [answerMs] how long it may take to answer
 * @returns {Promise<ActiveProfile | undefined>} undefined when it does not answer in time, or another process answers
 */
export async function askActiveProfile({ url, pid }, answerMs = defaultAnswerMs) {
  try {
    const response = await fetch(`${url}/v1/status`, { signal: AbortSignal.timeout(answerMs) });
    const { server, profile } = /** @type {{ server: { pid: number }, profile: ActiveProfile }} */ (
      await response.json()
    );
    const { name, origin } = profile;
    return server.pid === pid && typeof name === 'string' && typeof origin === 'string' ? { name, origin } : undefined;
  } catch {
    return undefined;
  }
}
