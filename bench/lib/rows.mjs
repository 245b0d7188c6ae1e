/**
 * The rows of bench/all.mjs: which command measures what, where its figure stands in the output and what it must reach.
 * The table of targets in its order, then the rows without a target. Rows that share a command share its run.
 */

const NUMBER = '(?<value>\\d[\\d.]*(e[+-]?\\d+)?)';
/** A figure with its unit; seconds and milliseconds are told apart by it. */
const TIME = `${NUMBER} (?<unit>m?s)\\b`;
const ratioOf = (start) => new RegExp(`^${start}.*ratio ${NUMBER}`, 'm');
const inLine = (start, figure) => new RegExp(`^.*${start}.*?${figure}`, 'm');
const LAST_RATIO = new RegExp(`ratio ${NUMBER}\\s*$`);

/** The commands. `size` is what differs between the whole run and --quick, in this order. */
function commandsOf({ models, server, batchedBench, nodeLlamaCpp }) {
  const rounds = (full, quick, ...quickArgs) => [
    ['--rounds', String(full)],
    ['--rounds', String(quick), ...quickArgs],
  ];
  const run = (script, args, size = [[], []]) => ({ script, args, size });
  const of = (model) => ['--model', models[model]];
  const http = (model) => [...of(model), '--peer', server];
  const limit = (model) => [...of(model), '--peer', batchedBench];
  const package_ = (model) => [...of(model), '--peer', nodeLlamaCpp];
  const growth = [
    ['--streams', '1,2,4,8,16,32', '--contexts', '1024,4096,16384'],
    ['--streams', '1,8,32', '--contexts', '1024,4096', '--tokens', '32'],
  ];
  return {
    limit150: run('engine-limit', [...limit('150m'), '--streams', '8,1'], rounds(3, 1)),
    limit15: run('engine-limit', [...limit('15m'), '--streams', '16,1'], rounds(3, 1)),
    prefill: run(
      'engine-limit',
      [...limit('150m'), '--streams', '1', '--prompt', '2048', '--tokens', '8'],
      rounds(3, 1),
    ),
    http150: run('streams', [...http('150m'), '--streams', '1,8'], rounds(3, 1)),
    http15: run('streams', [...http('15m'), '--streams', '1,16'], rounds(3, 1)),
    package150: run('node-llama-cpp', [...package_('150m'), '--streams', '1,8'], rounds(2, 1, '--tokens', '48')),
    package15: run('node-llama-cpp', [...package_('15m'), '--streams', '16'], rounds(2, 1, '--tokens', '48')),
    uneven: run('uneven', of('150m'), rounds(3, 1)),
    behind: run('behind-long-prompt', http('150m'), rounds(3, 1)),
    shared: run('shared-prefix', http('150m'), rounds(2, 1)),
    back: run('prefix-return', of('150m'), [[], ['--prefixes', '8']]),
    cancel: run('cancel-prefill', http('150m'), rounds(3, 1)),
    cold150: run('cold-model', http('150m'), rounds(3, 1)),
    cold15: run('cold-model', http('15m'), rounds(3, 1)),
    two: run('two-models', of('150m'), rounds(3, 1)),
    idle: run(
      'idle-hosts',
      [],
      [60, 10].map((seconds) => ['--seconds', String(seconds)]),
    ),
    way150: run('engine-over-http', [...of('150m'), '--streams', '8'], rounds(3, 1)),
    way15: run('engine-over-http', [...of('15m'), '--streams', '16'], rounds(5, 1)),
    plan: run('plan-accuracy', [...of('15m'), ...of('150m')]),
    embeddings: run('embeddings', ['--peer', server], rounds(3, 1)),
    rerank: run('rerank', ['--peer', server], rounds(3, 1)),
    schema: run('schema', [...http('150m'), '--streams', '1,8'], rounds(3, 1, '--tokens', '48')),
    growth: run('growth', http('150m'), growth),
  };
}

/**
 * A row: `work`, the `target` in words, `run` { script, args, size }, `find` with the groups `value` and perhaps `unit`,
 * and what decides, `least` or `most`; neither for a figure without a target. Times are in seconds. `paths`: `models` by
 * name, `server`, `batchedBench` and `nodeLlamaCpp`; a row whose command lacks a path cannot be run.
 */
export function rowsOf(paths) {
  const run = commandsOf(paths);
  const least = (work, of, command, find, bound) => ({ work, of, run: run[command], find, least: bound });
  const most = (work, of, command, find, bound, unit = '') => ({
    work,
    of,
    run: run[command],
    find,
    most: bound,
    unit,
  });
  const free = (work, of, command, find) => ({ work, of, run: run[command], find });
  const streams = (count) => ratioOf(`${count} streams:`);
  const generating = (count) => ratioOf(`${count} streams, generating:`);
  return [
    least('150M, 8 streams', 'engine / limit', 'limit150', generating(8), 0.97),
    least('150M, 8 streams', 'server / llama-server', 'http150', streams(8), 1.1),
    least('150M, 8 streams', 'engine / node-llama-cpp', 'package150', streams(8), 1),
    least('15M, 16 streams', 'engine / limit', 'limit15', generating(16), 0.92),
    least('15M, 16 streams', 'server / llama-server', 'http15', streams(16), 1.2),
    least('15M, 16 streams', 'engine / node-llama-cpp', 'package15', streams(16), 1),
    least('150M, 8 streams that end unevenly', 'of the even case', 'uneven', LAST_RATIO, 0.9),
    most('first token behind a 3000-token prompt', 'time', 'behind', inLine('first token', TIME), 0.45, 's'),
    most('the long prompt before it', 'time / alone', 'behind', inLine('long prompt', `ratio ${NUMBER}`), 1.05),
    most('longest gap of a running stream', 'time', 'behind', inLine('gap', TIME), 0.5, 's'),
    most('64 requests with a common prefix', 'wall / llama-server', 'shared', LAST_RATIO, 0.45),
    most('back to an earlier 1k-token prefix', 'time / recompute', 'back', LAST_RATIO, 0.05),
    most('dropped client in a prefill', 'time to a free slot', 'cancel', inLine('llamaestro', TIME), 0.05, 's'),
    most('150M not loaded, plan known', 'time / llama-server', 'cold150', ratioOf('plan known:'), 0.6),
    free('150M not loaded, plan made first', 'time / llama-server', 'cold150', ratioOf('plan made first:')),
    most('15M not loaded, plan known', 'time / llama-server', 'cold15', ratioOf('plan known:'), 0.6),
    free('15M not loaded, plan made first', 'time / llama-server', 'cold15', ratioOf('plan made first:')),
    least('two 150M models at once', 'sum / one alone', 'two', LAST_RATIO, 0.9),
    most('ten idle hosts', 'CPU time', 'idle', inLine('idle hosts:', NUMBER), 1, '% of a core'),
    most('ten idle hosts', 'private memory of the largest', 'idle', inLine('memory [\\d.]+ to', NUMBER), 60, 'MB'),
    least('150M, 8 streams', 'over HTTP / engine', 'way150', ratioOf('8 streams:'), 0.97),
    least('15M, 16 streams', 'over HTTP / engine', 'way15', ratioOf('16 streams:'), 0.92),
    most('first token of 150M', 'over HTTP - engine', 'way150', inLine('difference', '(?<value>-?[\\d.]+)'), 3, 'ms'),
    most('first token of 15M', 'over HTTP - engine', 'way15', inLine('difference', '(?<value>-?[\\d.]+)'), 3, 'ms'),
    most('predicted - allocated', 'largest of all', 'plan', inLine('difference', NUMBER), 0, 'bytes'),
    least('150M, one stream', 'engine / limit', 'limit150', generating(1), 0.97),
    least('150M, one stream', 'server / llama-server', 'http150', streams(1), 0.97),
    least('150M, one stream', 'engine / node-llama-cpp', 'package150', streams(1), 0.97),
    least('150M, a prompt of 2048', 'engine / limit', 'prefill', ratioOf('1 streams, prompts'), 0.97),
    free('15M, one stream', 'engine / limit', 'limit15', generating(1)),
    free('15M, one stream', 'server / llama-server', 'http15', streams(1)),
    free('embeddings', 'engine / llama-server', 'embeddings', LAST_RATIO),
    free('reranking', 'engine / llama-server', 'rerank', LAST_RATIO),
    ...[1, 8].map((count) =>
      free(
        `150M, ${count} streams, JSON schema`,
        'engine / llama-server',
        'schema',
        ratioOf(`${count} streams, schema:`),
      ),
    ),
    ...[1, 2, 4, 8, 16, 32].map((count) =>
      free(`150M, ${count} streams`, 'server / llama-server', 'growth', generating(count)),
    ),
    ...[1024, 4096, 16384].flatMap((context) => [
      free(`150M, prompt of ${context}`, 'server / llama-server', 'growth', ratioOf(`context ${context}, prompt:`)),
      free(`150M, after ${context} tokens`, 'server / llama-server', 'growth', ratioOf(`context ${context}, gen`)),
    ]),
  ];
}
