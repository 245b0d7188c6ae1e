/**
 * The house keeps itself: imports only downward, third-party packages behind their fences, time and chance behind the
 * ports, small files, no cycles, nothing dead, nothing left over. A failing line names file and rule.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAX_LINES = 400;

/** What each room may import of ours; `main.ts` alone may import from everywhere. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  schema: ['base'],
  engine: ['base'],
  bus: ['base', 'schema'],
  host: ['base', 'schema', 'bus', 'engine'],
  node: ['base', 'schema', 'bus'],
  journal: ['base', 'schema'],
  store: ['base', 'schema'],
  pool: ['base', 'schema', 'bus', 'journal', 'store'],
  profile: ['base', 'schema', 'pool', 'journal', 'store'],
  orchestra: ['base', 'schema', 'bus', 'pool', 'profile', 'journal'],
  api: ['base', 'schema', 'orchestra', 'profile', 'pool', 'store'],
  cli: ['base', 'schema'],
};

/** The only room of each package. */
const FENCES: Readonly<Record<string, string>> = {
  koa: 'api',
  '@koa/router': 'api',
  'koa-sse-stream': 'api',
  nats: 'bus',
  sqlite3: 'journal',
  'io-ts': 'schema',
  'fp-ts': 'schema',
  'js-yaml': 'profile',
  pino: 'base',
  commander: 'cli',
};

/** Ways around the ports and the types, with the files where they belong. */
const BANNED: readonly { readonly pattern: RegExp; readonly why: string; readonly allowed: readonly string[] }[] = [
  { pattern: /\bDate\.now\(/, why: 'use Clock', allowed: ['src/base/system-ports.ts'] },
  { pattern: /\bnew Date\(\)/, why: 'use Clock', allowed: [] },
  { pattern: /\bset(Timeout|Interval)\(/, why: 'use Clock', allowed: ['src/base/system-ports.ts'] },
  { pattern: /['"](node:)?timers(\/promises)?['"]/, why: 'use Clock', allowed: [] },
  { pattern: /\bperformance\.now\b/, why: 'use Clock', allowed: ['src/base/system-ports.ts'] },
  { pattern: /\bMath\.random\b/, why: 'use Random', allowed: ['src/base/system-ports.ts'] },
  { pattern: /\brandom(Bytes|Int|UUID)\b/, why: 'use Random', allowed: ['src/base/system-ports.ts'] },
  {
    pattern: /\bprocess\.env\b|\bprocess\[|\benv\b[^;\n]* from '(node:)?process'/,
    why: 'read it in schema/config',
    allowed: ['src/schema/config.ts'],
  },
  { pattern: /\bimport\(/, why: 'static imports only: the rules about imports see no others', allowed: [] },
  { pattern: /\bconsole\./, why: 'use Logger', allowed: [] },
  {
    pattern: /:\s*any\b|\bas any\b|@ts-ignore|@ts-expect-error|eslint-disable/,
    why: 'no way around the types',
    allowed: [],
  },
  { pattern: /^\s*(export\s+)?(const\s+)?enum\s/m, why: 'unions, not enums', allowed: [] },
  { pattern: /^export default /m, why: 'named exports', allowed: ['src/api/koa-sse-stream.d.ts'] },
  { pattern: /\.node['"`]/, why: 'the addon belongs to the engine room', allowed: ['src/engine/addon-loader.ts'] },
];
const LEFTOVERS = /\b(TODO|FIXME|XXX|HACK)\b|\b(describe|it)\.(only|skip)\(/;

/** Second implementations of a port, for the simulator and for embedders' tests. */
const DOUBLES = ['src/bus/sim-bus.ts', 'src/journal/memory-journal.ts'];
/** Files that are started or imported by name from outside. */
const ENTRIES = [
  'src/main.ts',
  'src/cli/main.ts',
  'src/profile-main.ts',
  'src/host/host-main.ts',
  'src/engine/native.ts',
  'src/engine/trial-entry.ts',
];

const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)));
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const withoutComments = (file: string): string => read(file).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
const sources = tracked.filter((file) => /^src\/.*\.ts$/.test(file));
const code = tracked.filter((file) => /\.(ts|mjs|js|cpp|h|sh)$/.test(file) && !file.startsWith('vendor/llama.cpp'));

function roomOf(file: string): string {
  const [, room = ''] = file.split('/');
  return room.endsWith('.ts') ? 'main' : room;
}

interface Import {
  readonly from: string;
  readonly to: string;
}

function importsOf(file: string): readonly Import[] {
  const pattern = /(?:^|\n)\s*(?:import|export)\s+(?:type\s+)?(?:[\w*{}\s,]+?\s+from\s+)?['"]([^'"]+)['"]/g;
  return [...read(file).matchAll(pattern)].map(([, to = '']) => ({ from: file, to }));
}

function target(entry: Import): string | undefined {
  if (!entry.to.startsWith('.')) return undefined;
  return normalize(join(dirname(entry.from), entry.to)).replace(/\.js$/, '.ts');
}

const imports = sources.flatMap(importsOf);

describe('the house', () => {
  it('imports only downward', () => {
    const wrong = imports.filter((entry) => {
      const to = target(entry);
      if (to === undefined || roomOf(entry.from) === 'main') return false;
      const [from, into] = [roomOf(entry.from), roomOf(to)];
      return from !== into && ROOMS[from]?.includes(into) !== true;
    });
    expect(wrong.map((entry) => `${entry.from} -> ${entry.to}`)).to.deep.equal([]);
  });

  it('keeps third-party packages behind their fences, each one listed', () => {
    const wrong = imports.filter(({ from, to }) => {
      if (to.startsWith('.') || to.startsWith('node:')) return false;
      const name = to.startsWith('@') ? to.split('/').slice(0, 2).join('/') : (to.split('/')[0] ?? '');
      return FENCES[name] !== roomOf(from);
    });
    expect(wrong.map((entry) => `${entry.from} -> ${entry.to}`)).to.deep.equal([]);
  });

  it('lists no dependency that nothing uses', () => {
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> };
    const build = ['cmake-js', 'node-addon-api', 'node-api-headers'];
    expect(Object.keys(dependencies).filter((name) => !(name in FENCES) && !build.includes(name))).to.deep.equal([]);
    expect(Object.keys(FENCES).filter((name) => !(name in dependencies))).to.deep.equal([]);
  });

  for (const { pattern, why, allowed } of BANNED) {
    it(`has no ${String(pattern)}: ${why}`, () => {
      expect(sources.filter((file) => !allowed.includes(file) && pattern.test(withoutComments(file)))).to.deep.equal(
        [],
      );
    });
  }

  it(`has no file over ${String(MAX_LINES)} lines`, () => {
    expect(code.filter((file) => read(file).split('\n').length > MAX_LINES + 1)).to.deep.equal([]);
  });

  it('has no leftovers', () => {
    const self = 'test/tidy.test.ts';
    expect(code.filter((file) => file !== self && LEFTOVERS.test(read(file)))).to.deep.equal([]);
  });

  it('has no import cycle, not even of types', () => {
    const edges = new Map<string, string[]>();
    for (const entry of imports) {
      const to = target(entry);
      if (to !== undefined) edges.set(entry.from, [...(edges.get(entry.from) ?? []), to]);
    }
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      if (done.has(file) || path.includes(file)) return;
      for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of sources) visit(file, []);
    expect(cycles).to.deep.equal([]);
  });

  it('has no file that nobody imports', () => {
    const reached = new Set(imports.map(target));
    const dead = sources.filter(
      (file) => !ENTRIES.includes(file) && !DOUBLES.includes(file) && !file.endsWith('.d.ts') && !reached.has(file),
    );
    expect(dead).to.deep.equal([]);
  });

  it('tests every state machine by a file of its own', () => {
    const machines = sources.filter((file) => file.endsWith('-state.ts'));
    const twin = (file: string): string => file.replace(/^src/, 'test').replace(/\.ts$/, '.test.ts');
    expect(machines.filter((file) => !tracked.includes(twin(file)))).to.deep.equal([]);
    expect(machines).to.not.equal([]);
  });

  it('opens every source file with what it is for', () => {
    expect(sources.filter((file) => !/^(#!.*\n)?\/\*\*/.test(read(file)) && !file.endsWith('.d.ts'))).to.deep.equal([]);
  });

  it('keeps llama.h out of the binding and napi.h out of the core', () => {
    const includes = (file: string, header: RegExp): boolean => header.test(read(file));
    const native = tracked.filter((file) => /^native\/.*\.(cpp|h)$/.test(file));
    const binding = native.filter(
      (file) => file.startsWith('native/binding/') && includes(file, /#include\s+["<]([^">]*\/)?(llama|ggml|common)/),
    );
    const core = native.filter(
      (file) => file.startsWith('native/core/') && includes(file, /#include\s+["<](napi|node_api|uv)/),
    );
    expect([...binding, ...core]).to.deep.equal([]);
  });
});
