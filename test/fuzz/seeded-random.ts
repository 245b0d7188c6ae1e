/** Chance that comes again with its seed, for damage and torture. */
export class SeededRandom {
  private state: number;

  constructor(seed: number) {
    this.state = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x85ebca6b) >>> 0 || 1;
    for (let warmUp = 0; warmUp < 4; warmUp++) this.next();
  }

  /** 0 … 1, 1 excluded. */
  next(): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    this.state >>>= 0;
    return this.state / 2 ** 32;
  }

  /** An integer, 0 … limit - 1; 0 for a limit of 0. */
  below(limit: number): number {
    return Math.floor(this.next() * Math.floor(limit));
  }

  /** An integer, low … high. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of at least one item. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}
