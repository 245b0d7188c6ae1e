/** From a row and what its command printed to a line of the table of bench/all.mjs. */

/** The columns that are printed. */
export const SHOWN = ['work', 'what', 'target', 'figure', 'holds', 'sides'];

/** The figures of both sides in a line, whatever the two are called there. */
const SIDE =
  /(llamaestro|llama-server|node-llama-cpp|engine|limit|over HTTP|alone|once)(?: \([^)]*\)| as a router)? (\d[\d.]*)/g;
const sidesOf = (line) => [...line.matchAll(SIDE)].map(([, side, figure]) => `${side} ${figure}`).join(', ');

function targetOf({ least, most, unit = '' }) {
  if (least !== undefined) return `>= ${least}`;
  return most === undefined ? '' : `<= ${most} ${unit}`.trim();
}

/** What the output says of the row; a time is told in seconds. */
function judge({ find, least, most, unit = '' }, { output = '', failure }) {
  const match = find.exec(output);
  if (match === null) return { figure: '-', holds: failure ?? 'no figure', sides: '' };
  const value = Number(match.groups.value) / (match.groups.unit === 'ms' ? 1000 : 1);
  const end = output.slice(0, match.index + match[0].length).trimEnd().length;
  const [line] = output.slice(output.lastIndexOf('\n', end - 1) + 1).split('\n');
  const holds = least === undefined ? (most === undefined ? undefined : value <= most) : value >= least;
  return {
    value,
    figure: `${value} ${unit}`.trim(),
    holds: holds === undefined ? '' : holds ? 'yes' : 'NO',
    sides: sidesOf(line),
  };
}

/** `result` is { output, failure }. Undefined for a row without a target whose figure was not asked for (--quick). */
export function tableLine(row, result) {
  const [target, judged] = [targetOf(row), judge(row, result)];
  if (target === '' && judged.holds === 'no figure') return undefined;
  return { work: row.work, what: row.of, target, ...judged };
}
