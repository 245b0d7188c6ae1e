// @ts-check
/**
 * Reads the output of ninja, make, cmake and node-gyp and says how far the build is. Pure: lines in, a status out.
 */

/**
 * @typedef {{ stage: string, done: number, total: number | undefined }} Progress
 * `total` is unknown where the tool does not say it and nobody else did
 */

/**
 * Tells how a build stands after each line.
 * @param {{ total?: number }} [known] number of objects, where the tool itself will not say
 * @returns {(line: string) => Progress | undefined} undefined: the line says nothing about progress
 */
export function createProgressReader(known = {}) {
  let done = 0;
  return function read(line) {
    const ninja = /^\[(\d+)\/(\d+)\] (\S+)/.exec(line);
    if (ninja) {
      return { stage: stageOf(line), done: Number(ninja[1]), total: Number(ninja[2]) };
    }
    if (
      /^\[ *\d+%\] (Building|Linking)/.test(line) ||
      /^\s+(CC|CXX|AR|SOLINK|SOLINK_MODULE|COPY)\(target\)/.test(line)
    ) {
      if (isObject(line)) done += 1;
      return { stage: stageOf(line), done, total: known.total };
    }
    if (/^-- (The|Detecting|Check|Found|Performing|Looking|Configuring|ggml)/.test(line)) {
      return { stage: 'configuring', done: 0, total: known.total };
    }
    return undefined;
  };
}

/**
 * The status line that a person sees.
 * @param {Progress} progress
 * @param {number} elapsedMs since the step began
 * @returns {string}
 */
export function progressText({ stage, done, total }, elapsedMs) {
  const seconds = `${Math.floor(elapsedMs / 1000)} s`;
  if (done === 0 && stage === 'configuring') return `${stage}, ${seconds}`;
  return `${stage}, ${done}${total === undefined ? '' : ` of ${Math.max(total, done)}`} objects, ${seconds}`;
}

/**
 * How many objects a dry run of make would build.
 * @param {string} output of `make -n`
 * @returns {number}
 */
export function countMakeObjects(output) {
  return (output.match(/Building (C|CXX|CUDA|OBJC|OBJCXX|ASM) object/g) ?? []).length;
}

/** @param {string} line */
function isObject(line) {
  return /Building \w+ object/.test(line) || /^\s+(CC|CXX)\(target\)/.test(line);
}

/** @param {string} line */
function stageOf(line) {
  return /Linking|SOLINK|AR\(target\)|COPY/.test(line) ? 'linking' : 'compiling';
}
