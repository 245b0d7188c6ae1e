/** What is wrong with the flow of a profile: models that do not exist or cannot answer, rules and chains that make no sense. Pure. */
import type { ProfileFile } from '../schema/profile-file.js';
import { pathTo } from '../schema/stray-keys.js';
import { durationMs } from '../schema/units.js';
import { purposeOf, withDefaults } from './model-check.js';
import { unknownModel, type Problem } from './problem.js';
import { MAX_DURATION_MS, MAX_ROUTES } from './profile-defaults.js';

export function flowProblems(file: ProfileFile): readonly Problem[] {
  const { flow } = file;
  const problems = [...targetProblems(file, 'flow.default', flow.default)];
  if (flow.router !== undefined) problems.push(...targetProblems(file, 'flow.router', flow.router));
  const routes = flow.routes ?? [];
  if (routes.length > MAX_ROUTES) {
    const message = `${routes.length} routes are more than ${MAX_ROUTES}`;
    problems.push({ path: 'flow.routes', message, remedy: 'Join routes; the default takes what none matches.' });
  }
  for (const [index, route] of routes.entries()) {
    problems.push(...targetProblems(file, `flow.routes[${index}].model`, route.model));
  }
  return [...problems, ...ruleProblems(file), ...fallbackProblems(file), ...timeoutProblems(file)];
}

/** The name of the model that a name or alias means. */
function modelNamed(file: ProfileFile, target: string): string | undefined {
  return Object.entries(file.models).find(([name, { aliases }]) => name === target || aliases?.includes(target))?.[0];
}

/** A target is a model of the profile that generates text. */
function targetProblems(file: ProfileFile, path: string, target: string): readonly Problem[] {
  const found = modelNamed(file, target);
  if (found === undefined) return [unknownModel(path, target, Object.keys(file.models))];
  const purpose = purposeOf(withDefaults(file, file.models[found] ?? {}));
  if (purpose === 'generate') return [];
  const message = `the model '${target}' has purpose ${purpose} and cannot answer a request`;
  return [{ path, message, remedy: 'Name a model that generates text.' }];
}

function ruleProblems({ flow }: ProfileFile): readonly Problem[] {
  return (flow.rules ?? []).flatMap(({ kind, complexity, contains, longer_than: least = -1, shorter_than }, index) => {
    const path = `flow.rules[${index}]`;
    const problems: Problem[] = [];
    if (kind === undefined && complexity === undefined) {
      problems.push({
        path,
        message: 'the rule says nothing about a task',
        remedy: "Write 'kind', 'complexity' or both.",
      });
    }
    if (contains?.length === 0) {
      const remedy = "List at least one text, or leave 'contains' out.";
      problems.push({ path: `${path}.contains`, message: 'no task can hold one of no texts', remedy });
    }
    if (shorter_than !== undefined && shorter_than <= least + 1) {
      const message = `no task is longer than ${least} and shorter than ${shorter_than} characters`;
      problems.push({ path: `${path}.shorter_than`, message, remedy: `Write more than ${least + 1}.` });
    }
    return problems;
  });
}

function fallbackProblems(file: ProfileFile): readonly Problem[] {
  return Object.entries(file.flow.fallback ?? {}).flatMap(([from, chain]) => {
    const path = pathTo('flow.fallback', from);
    const problems = targetProblems(file, path, from).map((problem): Problem => ({ ...problem, atKey: true }));
    const seen = [modelNamed(file, from)];
    for (const [index, to] of chain.entries()) {
      const at = `${path}[${index}]`;
      const name = modelNamed(file, to);
      problems.push(...targetProblems(file, at, to));
      if (name !== undefined && seen.includes(name)) {
        const message =
          index === 0 || name === seen[0] ? `'${to}' cannot stand in for itself` : `'${to}' was tried before`;
        problems.push({ path: at, message, remedy: `Leave '${to}' out.` });
      }
      seen.push(name);
    }
    return problems;
  });
}

function timeoutProblems({ flow }: ProfileFile): readonly Problem[] {
  return Object.entries(flow.timeouts ?? {}).flatMap(([stage, text]) => {
    const ms = durationMs(text);
    const path = `flow.timeouts.${stage}`;
    if (ms < 1) return [{ path, message: 'a timeout must be longer than nothing', remedy: 'Write at least 1ms.' }];
    if (ms > MAX_DURATION_MS)
      return [{ path, message: `${text} is longer than a week`, remedy: 'Write at most 168h.' }];
    return [];
  });
}
