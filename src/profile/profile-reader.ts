/**
 * YAML text to data, remembering where each value stood. The only file that imports js-yaml. Knows the grammar of YAML and
 * nothing of profiles: whatever it refuses is a fault of the text.
 */
import { EVENT_ID, SCALAR_STYLE, YAMLException, getScalarValue, load, parseEvents, type Event } from 'js-yaml';
import { pathTo } from '../schema/stray-keys.js';
import { profileFault } from './profile-fault.js';

/** Characters of a profile; the largest anybody writes by hand is a hundredth of it. */
export const MAX_PROFILE_CHARACTERS = 1024 * 1024;
/** Few enough that repeating them inside each other cannot make a small file large. */
const MAX_ALIASES = 32;
const MAX_DEPTH = 32;

/** Both count from 1, as editors do; a column is a UTF-16 unit. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Where things stand in a text. Paths are those of `Fault`. */
export interface Positions {
  /** Something is written at `path`. */
  has(path: string): boolean;
  /** Of the value at `path`; where nothing is written there, of the key of the nearest thing around it. */
  value(path: string): Position;
  /** Of the key at `path`; the value's when it stands in no mapping. */
  key(path: string): Position;
}

export interface ReadYaml {
  readonly data: unknown;
  readonly positions: Positions;
}

/** Parses `text`. `origin` names it in errors, which are `profile_invalid` with line and column. */
export function readYaml(text: string, origin: string): ReadYaml {
  if (text.length > MAX_PROFILE_CHARACTERS) {
    throw profileFault(origin, [{ message: `the file is longer than ${MAX_PROFILE_CHARACTERS} characters` }]);
  }
  try {
    const data = load(text, { maxDepth: MAX_DEPTH, maxAliases: MAX_ALIASES });
    return { data, positions: positionsIn(text) };
  } catch (error) {
    throw profileFault(origin, [yamlProblem(error, text)]);
  }
}

/** js-yaml may throw more than its own exception; all of it is a fault of the text. */
function yamlProblem(error: unknown, text: string): { readonly message: string; readonly position: Position } {
  const reason = error instanceof YAMLException ? error.reason : error instanceof Error ? error.message : String(error);
  const mark = error instanceof YAMLException ? error.mark : undefined;
  const position = mark === undefined ? secondDocument(text) : { line: mark.line + 1, column: mark.column + 1 };
  return { message: `not valid YAML: ${reason}`, position };
}

/** Faults of the text as a whole carry no mark: it is empty (then its start), or a second document begins somewhere. */
function secondDocument(text: string): Position {
  let documents = 0;
  try {
    for (const event of parseEvents(text, { maxDepth: MAX_DEPTH })) {
      if (event.type === EVENT_ID.DOCUMENT) documents += 1;
      else if (documents > 1) return positionAt(Math.max(0, startOf(event)), startsOfLines(text));
    }
  } catch {
    return { line: 1, column: 1 };
  }
  return { line: 1, column: 1 };
}

interface Offsets {
  /** Absent for items of a list and for the document. */
  readonly key?: number;
  readonly value: number;
}

function positionsIn(text: string): Positions {
  const offsets = offsetsByPath(text);
  const lineStarts = startsOfLines(text);
  const nearest = (path: string): Offsets => {
    for (let at = path; ; at = parentOf(at, offsets)) {
      const found = offsets.get(at);
      if (found !== undefined) return found;
      if (at === '') return { value: 0 };
    }
  };
  return {
    has: (path) => offsets.has(path),
    value: (path) => {
      const { key, value } = nearest(path);
      return positionAt(offsets.has(path) ? value : (key ?? value), lineStarts);
    },
    key: (path) => {
      const { key, value } = nearest(path);
      return positionAt(key ?? value, lineStarts);
    },
  };
}

/** The longest known path that `path` continues; keys may themselves have dots, so cutting at the last dot is not enough. */
function parentOf(path: string, known: ReadonlyMap<string, unknown>): string {
  for (let end = path.length - 1; end > 0; end--) {
    const next = path.charAt(end);
    if ((next === '.' || next === '[') && known.has(path.slice(0, end))) return path.slice(0, end);
  }
  return '';
}

interface Frame {
  readonly kind: 'mapping' | 'sequence' | 'document';
  readonly path: string;
  index: number;
  /** Set between a mapping's key and its value. */
  pending?: { readonly path: string; readonly offset: number };
}

function offsetsByPath(text: string): ReadonlyMap<string, Offsets> {
  const offsets = new Map<string, Offsets>();
  const stack: Frame[] = [];
  for (const event of parseEvents(text, { maxDepth: MAX_DEPTH })) {
    if (event.type === EVENT_ID.POP) {
      stack.pop();
      continue;
    }
    const frame = stack.at(-1);
    const offset = startOf(event);
    const path = frame === undefined ? '' : place(frame, event, offset, text, offsets);
    if (event.type === EVENT_ID.DOCUMENT) stack.push({ kind: 'document', path: '', index: 0 });
    if (event.type === EVENT_ID.MAPPING) stack.push({ kind: 'mapping', path, index: 0 });
    if (event.type === EVENT_ID.SEQUENCE) stack.push({ kind: 'sequence', path, index: 0 });
  }
  return offsets;
}

/** Enters the node at `offset` into `frame` and returns its path; a mapping's key gets the path that its value will have. */
function place(frame: Frame, event: Event, offset: number, text: string, offsets: Map<string, Offsets>): string {
  if (frame.kind === 'mapping' && frame.pending === undefined) {
    const key = event.type === EVENT_ID.SCALAR ? getScalarValue(text, event) : '?';
    frame.pending = { path: pathTo(frame.path, key), offset };
    return frame.pending.path;
  }
  if (frame.kind === 'mapping' && frame.pending !== undefined) {
    const { path, offset: key } = frame.pending;
    delete frame.pending;
    offsets.set(path, { key, value: offset === -1 ? key : offset });
    return path;
  }
  const path = frame.kind === 'sequence' ? pathTo(frame.path, frame.index++) : '';
  offsets.set(path, { value: Math.max(0, offset) });
  return path;
}

/** Offset of a node's first character; -1 for a value that is not written. */
function startOf(event: Event): number {
  switch (event.type) {
    case EVENT_ID.SCALAR: {
      const quoted = event.style === SCALAR_STYLE.SINGLE_QUOTED || event.style === SCALAR_STYLE.DOUBLE_QUOTED;
      return event.valueStart === -1 ? -1 : event.valueStart - (quoted ? 1 : 0);
    }
    case EVENT_ID.MAPPING:
    case EVENT_ID.SEQUENCE:
      return event.start;
    case EVENT_ID.ALIAS:
      return event.anchorStart - 1;
    default:
      return -1;
  }
}

function startsOfLines(text: string): readonly number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

function positionAt(offset: number, lineStarts: readonly number[]): Position {
  let low = 0;
  let high = lineStarts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((lineStarts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return { line: low + 1, column: offset - (lineStarts[low] ?? 0) + 1 };
}
