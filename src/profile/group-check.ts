/**
 * What is wrong with the models of a profile that share a process: too many of them, or settings of which a process can have
 * one alone. Pure; each problem stands at the model that differs from the first of its group.
 */
import type { ModelFields, ProfileFile } from '../schema/profile-file.js';
import { pathTo } from '../schema/stray-keys.js';
import { withDefaults } from './model-check.js';
import type { Problem } from './problem.js';
import { MAX_HOST_MODELS } from './profile-defaults.js';

interface Member {
  readonly name: string;
  /** What the model writes itself. */
  readonly own: ModelFields;
  /** With the defaults. */
  readonly fields: ModelFields;
}

export function groupProblems(file: ProfileFile): readonly Problem[] {
  const groups = new Map<string, Member[]>();
  for (const [name, own] of Object.entries(file.models)) {
    if (own.host === undefined) continue;
    const member = { name, own, fields: withDefaults(file, own) };
    groups.set(own.host, [...(groups.get(own.host) ?? []), member]);
  }
  return [...groups].flatMap(([host, members]) => problemsOf(host, members));
}

function problemsOf(host: string, members: readonly Member[]): readonly Problem[] {
  const [first, ...others] = members;
  const extra = members[MAX_HOST_MODELS];
  if (first === undefined) return [];
  const tooMany: Problem[] =
    extra === undefined
      ? []
      : [
          {
            path: pathTo(pathTo('models', extra.name), 'host'),
            message: `${members.length} models on the host '${host}' are more than ${MAX_HOST_MODELS}`,
            remedy: 'Give some of them another host, or none.',
          },
        ];
  return [...tooMany, ...others.flatMap((other) => clashes(host, first, other))];
}

function clashes(host: string, first: Member, other: Member): readonly Problem[] {
  const problems: Problem[] = [];
  const [one, two] = [first.fields, other.fields];
  const add = (key: keyof ModelFields, message: string, remedy: string): unknown =>
    problems.push({
      path: pathTo(pathTo('models', other.name), other.own[key] === undefined ? 'host' : key),
      message,
      remedy,
    });
  const together = `they share the host '${host}'`;
  const [residency, otherResidency] = [one.residency ?? 'on-demand', two.residency ?? 'on-demand'];
  if (residency !== otherResidency) {
    const message = `'${other.name}' is ${otherResidency} and '${first.name}' ${residency}, but ${together}`;
    add('residency', message, 'Models of one host come and go together: give both the same residency.');
  }
  if (one.pin !== undefined && two.pin !== undefined && one.pin !== two.pin) {
    const message = `one of '${first.name}' and '${other.name}' is pinned and one is not, but ${together}`;
    add('pin', message, 'The pin of one model holds for its whole host: write it once.');
  }
  const [place, otherPlace] = [placeOf(one), placeOf(two)];
  if (place !== otherPlace) {
    const message = `'${other.name}' is for ${otherPlace} and '${first.name}' for ${place}, but ${together}`;
    add(two.devices === undefined ? 'gpu_layers' : 'devices', message, 'Give both the same devices, or another host.');
  }
  return problems;
}

/** Where a model lies, in words that compare. */
function placeOf({ devices, gpu_layers: layers, main_device: main, split_mode: mode }: ModelFields): string {
  if (layers === 0 || devices?.length === 0) return 'the CPU';
  if (mode === 'none' && main !== undefined) return main;
  return devices === undefined ? 'any device' : [...devices].sort().join(' and ');
}
