/** Which instances go on under a new profile: equal load options, loaded ones first, the same name first. Pure; knows neither processes nor queues. */

/** A model as far as keeping its process is concerned. */
export interface Carried {
  readonly name: string;
  /** Equal hashes: one process may serve both. */
  readonly configHash: string;
  /** False while it has no process that could be kept. Absent: it has one. */
  readonly isLoaded?: boolean;
}

/** For each of `next`, the one of `old` that serves it, or undefined. No old one serves two. */
export function carryOver<Old extends Carried>(
  old: readonly Old[],
  next: readonly Carried[],
): readonly (Old | undefined)[] {
  const free = new Set(old);
  const kept: (Old | undefined)[] = next.map(() => undefined);
  const claim = (fits: (candidate: Old, wanted: Carried) => boolean): void => {
    next.forEach((wanted, index) => {
      if (kept[index] !== undefined) return;
      const found = [...free].find((one) => one.configHash === wanted.configHash && fits(one, wanted));
      if (found === undefined) return;
      free.delete(found);
      kept[index] = found;
    });
  };
  const isLoaded = ({ isLoaded: loaded = true }: Old): boolean => loaded;
  claim((one, { name }) => isLoaded(one) && one.name === name);
  claim((one) => isLoaded(one));
  claim((one, { name }) => one.name === name);
  claim(() => true);
  return kept;
}
