/** How the command line lays out figures: tables, sizes, bars. Pure. */

/** Lines of a table; the first row is its head. Columns named in `right` have their figures to the right. */
export function tableLines(rows: readonly (readonly string[])[], right: readonly number[] = []): readonly string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const cell = (text: string, column: number): string =>
    right.includes(column) ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(cell).join('  ').trimEnd());
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** '1.5 GiB'. */
export function sizeText(bytes: number): string {
  let [value, unit] = [bytes, 0];
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${UNITS[unit] ?? ''}`;
}

const BAR_WIDTH = 30;

/** A bar of what stays (#) and what comes beside it (+), of all there is room for. More than there is ends in an exclamation mark. */
export function barText(staying: number, worst: number, room: number): string {
  const cells = (bytes: number): number =>
    room === 0 ? BAR_WIDTH : Math.min(BAR_WIDTH, Math.round((bytes / room) * BAR_WIDTH));
  const first = cells(staying);
  const both = Math.max(first, cells(worst));
  return `[${'#'.repeat(first)}${'+'.repeat(both - first)}${'.'.repeat(BAR_WIDTH - both)}]${worst > room ? '!' : ''}`;
}

/** '1 model', '2 models'. */
export function counted(count: number, word: string): string {
  return `${String(count)} ${word}${count === 1 ? '' : 's'}`;
}
