/**
 * A request as one model gets it: what the profile strips is gone, what it forces is set, its defaults fill the rest, and
 * the chat template hears what the profile has to tell it. Pure; every change of what a client wrote is a warning.
 */
import type { Prompt } from '../schema/load.js';
import type { ModelSpec } from '../schema/profile.js';
import type { RunRequest } from '../schema/run.js';
import { samplingOf, writtenName } from '../schema/sampling.js';

type Parameters = Readonly<Record<string, unknown>>;

/** What a request says that a profile may change; absent where it says nothing. */
function parametersOf({ sampling, maxTokens, stop, ignoreEos }: RunRequest): Parameters {
  return {
    ...samplingOf(sampling),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(stop.length === 0 ? {} : { stop }),
    ...(ignoreEos ? { ignoreEos } : {}),
  };
}

/** The request for `spec`, with its warnings. Shaping it again for another model starts from the original. */
export function shapeRequest(request: RunRequest, spec: ModelSpec): RunRequest {
  const { name, forced, stripped, sampling, chat } = spec;
  const asked = parametersOf(request);
  const { sampling: forcedSampling, ...forcedRest } = forced;
  const set: Parameters = { ...forcedSampling, ...forcedRest };
  const warnings: string[] = [];
  const kept: Record<string, unknown> = {};
  for (const [parameter, value] of Object.entries(asked)) {
    const written = writtenName(parameter);
    if (stripped.includes(parameter)) {
      warnings.push(`'${written}' was left out: the profile lets no request set it for model '${name}'`);
    } else if (Object.hasOwn(set, parameter)) {
      if (JSON.stringify(set[parameter]) === JSON.stringify(value)) continue;
      const instead = JSON.stringify(set[parameter]);
      warnings.push(`'${written}' is ${instead} instead: the profile sets it for model '${name}'`);
    } else {
      kept[parameter] = value;
    }
  }
  const { maxTokens, stop, ignoreEos } = { ...kept, ...set } as Pick<RunRequest, 'maxTokens'> & Partial<RunRequest>;
  const { maxTokens: _maxTokens, ...rest } = request;
  return {
    ...rest,
    prompt: told(request.prompt, chat),
    sampling: { ...sampling, ...samplingOf(kept), ...forcedSampling },
    ...(maxTokens === undefined ? {} : { maxTokens }),
    stop: stop ?? [],
    ignoreEos: ignoreEos ?? false,
    warnings: [...request.warnings, ...warnings],
  };
}

function told(prompt: Prompt, chat: ModelSpec['chat']): Prompt {
  if (prompt.kind !== 'messages' || Object.keys(chat).length === 0) return prompt;
  return { ...prompt, ...chat };
}
