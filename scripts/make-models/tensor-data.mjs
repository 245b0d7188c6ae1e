/**
 * Producers of tensor data: constant, computed row by row, or seeded random blocks at memory speed. Each is a function
 * that returns an iterable of buffers, as the writer wants them. Knows bytes, not models.
 */

const chunkBytes = 1 << 20;
const q8Block = 34;
/** Standard deviation of a byte drawn evenly from -128 … 127. */
const evenByteDeviation = 73.9;

/** A seeded 32-bit generator (xorshift); returns numbers 0 … 2^32 - 1. Equal seeds give equal series. */
export function seededRandom(seed) {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>>= 0);
  };
}

/** F32 data of one constant. */
export function constantF32(count, value) {
  return () => [Buffer.from(new Float32Array(count).fill(value).buffer)];
}

/** F32 data from a function that fills one row of `columns` zeros in place. */
export function rowsF32(columns, rows, fillRow) {
  return function* () {
    const rowsPerChunk = Math.max(1, Math.floor(chunkBytes / (4 * columns)));
    for (let first = 0; first < rows; first += rowsPerChunk) {
      const count = Math.min(rowsPerChunk, rows - first);
      const values = new Float32Array(count * columns);
      for (let row = 0; row < count; row++) fillRow(values.subarray(row * columns, (row + 1) * columns), first + row);
      yield Buffer.from(values.buffer);
    }
  };
}

/** Block types that random data can be drawn in: bytes of a block, and the deviation of a random element at scale one. */
const randomTypes = {
  Q8_0: { blockBytes: q8Block, deviation: evenByteDeviation },
  Q4_0: { blockBytes: 18, deviation: 4.61 },
};

/** As `randomBlocks`, in Q8_0. */
export function randomQ8(seed, columns, rows, deviation, isZero = () => false) {
  return randomBlocks('Q8_0', seed, columns, rows, deviation, isZero);
}

/**
 * Random rows of `columns` elements in a block type, with about the standard deviation `deviation`; the rows for which
 * `isZero` holds are all zero.
 */
export function randomBlocks(type, seed, columns, rows, deviation, isZero = () => false) {
  const traits = randomTypes[type];
  const rowBytes = (columns / 32) * traits.blockBytes;
  return function* () {
    const next = seededRandom(seed);
    const scale = halfFloat(deviation / traits.deviation);
    const rowsPerChunk = Math.max(1, Math.floor(chunkBytes / rowBytes));
    for (let first = 0; first < rows; first += rowsPerChunk) {
      const count = Math.min(rowsPerChunk, rows - first);
      const chunk = randomBytes(next, count * rowBytes);
      for (let at = 0; at < chunk.length; at += traits.blockBytes) chunk.writeUInt16LE(scale, at);
      for (let row = 0; row < count; row++) {
        if (isZero(first + row)) chunk.fill(0, row * rowBytes, (row + 1) * rowBytes);
      }
      yield chunk;
    }
  };
}

/** Random Q8_0 rows of which only the blocks before `filledColumns` are set; the rest of each row is zero. */
export function partlyRandomQ8(seed, columns, rows, filledColumns, deviation) {
  return function* () {
    const rowBytes = (columns / 32) * q8Block;
    const filledBytes = (filledColumns / 32) * q8Block;
    for (const chunk of randomQ8(seed, columns, rows, deviation)()) {
      for (let at = 0; at < chunk.length; at += rowBytes) chunk.fill(0, at + filledBytes, at + rowBytes);
      yield chunk;
    }
  };
}

function randomBytes(next, count) {
  const words = new Uint32Array(Math.ceil(count / 4));
  for (let i = 0; i < words.length; i++) words[i] = next();
  return Buffer.from(words.buffer, 0, count);
}

/** The bits of a positive normal number as IEEE half precision, rounded down. */
export function halfFloat(value) {
  const exponent = Math.floor(Math.log2(value));
  if (exponent < -14 || exponent > 15) throw new RangeError(`${value} is outside the normal half-precision range`);
  return ((exponent + 15) << 10) | Math.floor((value / 2 ** exponent - 1) * 1024);
}
