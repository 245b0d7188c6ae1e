/**
 * Who listens to a subject: a tree of tokens with a branch each for `*` and `>`. Pure data; the embedded broker and the
 * simulated bus share it. Knows neither connections nor delivery.
 */
import { assert } from '../base/assert.js';
import { patternTokens, subjectTokens } from './subject-syntax.js';

/** What the tree needs of an entry; the rest is the owner's. */
export interface Listener {
  readonly pattern: string;
  /** Members of one queue share each message: the owner gives it to one of them. */
  readonly queue: string | undefined;
}

interface Node<T> {
  readonly children: Map<string, Node<T>>;
  /** Listeners whose pattern ends here. */
  readonly here: Set<T>;
  /** Listeners whose pattern ends here with `>`. */
  readonly rest: Set<T>;
}

function emptyNode<T>(): Node<T> {
  return { children: new Map(), here: new Set(), rest: new Set() };
}

function isEmpty<T>(node: Node<T>): boolean {
  return node.children.size === 0 && node.here.size === 0 && node.rest.size === 0;
}

/** Who gets one message: all of `each`, and one member of every group. */
export interface Matches<T> {
  readonly each: T[];
  readonly groups: Map<string, T[]>;
}

export class SubjectTree<T extends Listener> {
  readonly #root: Node<T> = emptyNode();
  #size = 0;

  /** Listeners in the tree. */
  get size(): number {
    return this.#size;
  }

  /** `listener.pattern` must be one (`patternTokens`). Adding the same listener again changes nothing. */
  add(listener: T): void {
    const tokens = patternTokens(listener.pattern);
    assert(tokens !== undefined, `'${listener.pattern}' is not a subject pattern`);
    let node = this.#root;
    const open = tokens.at(-1) === '>';
    for (const token of open ? tokens.slice(0, -1) : tokens) {
      let child = node.children.get(token);
      if (child === undefined) node.children.set(token, (child = emptyNode()));
      node = child;
    }
    const set = open ? node.rest : node.here;
    if (!set.has(listener)) this.#size++;
    set.add(listener);
  }

  /** Removes it and the branches it alone used. Idempotent. */
  remove(listener: T): void {
    const tokens = patternTokens(listener.pattern) ?? [];
    const open = tokens.at(-1) === '>';
    const path = open ? tokens.slice(0, -1) : tokens;
    const nodes = [this.#root];
    for (const token of path) {
      const child = nodes.at(-1)?.children.get(token);
      if (child === undefined) return;
      nodes.push(child);
    }
    const last = nodes.at(-1);
    if (last === undefined || !(open ? last.rest : last.here).delete(listener)) return;
    this.#size--;
    for (let depth = path.length; depth > 0 && isEmpty(nodes[depth] ?? this.#root); depth--) {
      nodes[depth - 1]?.children.delete(path[depth - 1] ?? '');
    }
  }

  /** Listeners of `subject`, in no promised order; undefined when it is not a subject one may publish to. */
  match(subject: string): Matches<T> | undefined {
    const tokens = subjectTokens(subject);
    if (tokens === undefined) return undefined;
    const found: Matches<T> = { each: [], groups: new Map() };
    collect(this.#root, tokens, 0, found);
    return found;
  }
}

function collect<T extends Listener>(node: Node<T>, tokens: readonly string[], depth: number, into: Matches<T>): void {
  const token = tokens[depth];
  if (token === undefined) return take(node.here, into);
  take(node.rest, into);
  const literal = node.children.get(token);
  if (literal !== undefined) collect(literal, tokens, depth + 1, into);
  const any = node.children.get('*');
  if (any !== undefined) collect(any, tokens, depth + 1, into);
}

function take<T extends Listener>(listeners: ReadonlySet<T>, into: Matches<T>): void {
  for (const listener of listeners) {
    if (listener.queue === undefined) {
      into.each.push(listener);
      continue;
    }
    const group = into.groups.get(listener.queue);
    if (group === undefined) into.groups.set(listener.queue, [listener]);
    else group.push(listener);
  }
}
