// @ts-check
/**
 * The one error of the scripts that a person is meant to read: what went wrong, what to do, and the exit status.
 * Anything else that is thrown is a fault of ours and keeps its stack trace.
 */

/** Exit statuses of the scripts. 3 means: a gateway with other settings is already running. */
export const exitStatus = Object.freeze({ ok: 0, failed: 1, usage: 2, otherSettings: 3 });

/** An expected failure: cause in `message`, remedy in `remedy`, perhaps the tail of a log. */
export class ScriptError extends Error {
  /**
   * @param {string} message one sentence
   * @param {{ remedy?: string, logLines?: readonly string[], logPath?: string, status?: number }} [details]
   */
  constructor(message, details = {}) {
    super(message);
    this.name = 'ScriptError';
    this.remedy = details.remedy;
    this.logLines = details.logLines ?? [];
    this.logPath = details.logPath;
    this.status = details.status ?? exitStatus.failed;
  }
}

/**
 * The lines that tell a person about an error.
 * @param {unknown} error
 * @returns {string[]}
 */
export function describeError(error) {
  if (!(error instanceof ScriptError)) return [error instanceof Error ? String(error.stack) : String(error)];
  const lines = [`error: ${error.message}`];
  if (error.logLines.length > 0) lines.push('', ...error.logLines.map((line) => `  | ${line}`), '');
  if (error.logPath) lines.push(`full log: ${error.logPath}`);
  if (error.remedy) lines.push(`what to do: ${error.remedy}`);
  return lines;
}

/**
 * Runs a script's main function and takes its number as exit status; on failure prints the error.
 * @param {() => Promise<number | void>} main
 */
export async function runMain(main) {
  try {
    const status = await main();
    if (typeof status === 'number') process.exitCode = status;
  } catch (error) {
    process.stderr.write(describeError(error).join('\n') + '\n');
    process.exitCode = error instanceof ScriptError ? error.status : exitStatus.failed;
  }
}
