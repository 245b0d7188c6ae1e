// @ts-check
/**
 * Shows several steps at work at once: on a terminal one line that is written over, elsewhere a line per step every
 * few seconds, so that a log stays readable. Knows nothing about the steps.
 */

const plainIntervalMs = 10_000;
const redrawIntervalMs = 100;

/**
 * @typedef {object} StepReport
 * @property {(text: string) => void} status what the step is doing now
 * @property {(text?: string) => void} done the step succeeded
 * @property {() => void} failed the step failed; the error says why
 */

/**
 * @param {{ write: (text: string) => void, isTerminal: boolean, columns?: () => number, now?: () => number }} options
 * @returns {{ line: (text: string) => void, step: (name: string) => StepReport }}
 */
export function createReporter({ write, isTerminal, columns = () => 80, now = () => performance.now() }) {
  /** @type {Map<string, string>} */
  const active = new Map();
  let drawnAtMs = -Infinity;
  let dirty = false;

  function draw() {
    const text = [...active].map(([name, status]) => `${name}: ${status}`).join('  |  ');
    write(`\r\x1b[K${text.slice(0, columns() - 1)}`);
    drawnAtMs = now();
    dirty = text !== '';
  }
  /** @param {string} text */
  function line(text) {
    write(`${dirty ? '\r\x1b[K' : ''}${text}\n`);
    dirty = false;
    if (isTerminal && active.size > 0) draw();
  }
  /**
   * @param {string} name
   * @returns {StepReport}
   */
  function step(name) {
    const startedMs = now();
    let plainAtMs = -Infinity;
    const seconds = () => `${((now() - startedMs) / 1000).toFixed(1)} s`;
    active.set(name, 'starting');
    return {
      status(text) {
        active.set(name, text);
        if (isTerminal) {
          if (now() - drawnAtMs >= redrawIntervalMs) draw();
        } else if (now() - plainAtMs >= plainIntervalMs) {
          plainAtMs = now();
          line(`  ${name}: ${text}`);
        }
      },
      done(text) {
        active.delete(name);
        line(`ok ${name}: ${text ?? 'done'} (${seconds()})`);
      },
      failed() {
        active.delete(name);
        line(`FAILED ${name} after ${seconds()}`);
      },
    };
  }
  return { line, step };
}

/** The reporter on our own stdout. */
export function stdoutReporter() {
  return createReporter({
    write: (text) => void process.stdout.write(text),
    isTerminal: Boolean(process.stdout.isTTY) && process.env.TERM !== 'dumb',
    columns: () => process.stdout.columns || 80,
  });
}
