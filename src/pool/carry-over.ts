/** Which instances go on under a new profile: equal load options, the same name first. Pure; knows neither processes nor queues. */

/** A model as far as keeping its process is concerned. */
export interface Carried {
  readonly name: string;
  /** Equal hashes: one process may serve both. */
  readonly configHash: string;
}

/** For each of `next`, the one of `old` that serves it, or undefined. No old one serves two. */
export function carryOver<Old extends Carried>(
  old: readonly Old[],
  next: readonly Carried[],
): readonly (Old | undefined)[] {
  const free = new Set(old);
  const claim = (fits: (candidate: Old) => boolean): Old | undefined => {
    const found = [...free].find(fits);
    if (found !== undefined) free.delete(found);
    return found;
  };
  const sameName = next.map(({ name, configHash }) =>
    claim((candidate) => candidate.name === name && candidate.configHash === configHash),
  );
  return next.map(
    ({ configHash }, index) => sameName[index] ?? claim((candidate) => candidate.configHash === configHash),
  );
}
