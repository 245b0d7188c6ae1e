/**
 * What a GGUF file says about itself: shape, size, quantisation, and whether all its tensors are there. Reads the header
 * alone, in bounded memory, without the engine, so the gateway can look at a file that it would never load. Whether the
 * engine likes the values is the engine's to say.
 */
import { open, type FileHandle } from 'node:fs/promises';
import {
  ENCODERS,
  FILE_TYPES,
  POOLING_RANK,
  TENSOR_TYPES,
  VALUE_ARRAY,
  VALUE_BYTES,
  VALUE_STRING,
} from './gguf-types.js';
import { HeaderReader, unusable } from './header-reader.js';

const MAX_METADATA_ENTRIES = 65_536;
const MAX_TENSORS = 131_072;
const MAX_DIMENSIONS = 4;
const DEFAULT_ALIGNMENT = 32;
const MAGIC = 'GGUF';

export interface GgufHeader {
  readonly version: number;
  readonly architecture: string;
  /** general.name, if there is one. */
  readonly name: string | undefined;
  /** What it can be loaded for, judged by its pooling and architecture. */
  readonly purpose: 'generate' | 'embed' | 'rerank';
  readonly blockCount: number | undefined;
  /** Tokens it was trained for. */
  readonly contextLength: number | undefined;
  readonly embeddingLength: number | undefined;
  readonly vocabSize: number | undefined;
  readonly hasChatTemplate: boolean;
  /** As people write it: 'Q4_K_M'. */
  readonly quantisation: string;
  readonly parameterCount: number;
  readonly tensorCount: number;
  readonly tensorBytes: number;
  /** Files the model is split over; 1 when it is whole. Counts and bytes are of this file alone. */
  readonly splitCount: number;
  readonly fileBytes: number;
}

type Metadata = Map<string, string | number>;

interface Tensors {
  readonly parameterCount: number;
  readonly tensorBytes: number;
  /** First byte after the last tensor, from the start of the data. */
  readonly dataEnd: number;
  /** Name of the type that most elements have. */
  readonly mainType: string;
}

/** Reads the header of the file at `path`. Whatever is wrong with the file is `model_unusable`. */
export async function readGgufHeader(path: string): Promise<GgufHeader> {
  const handle = await opened(path);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw unusable(path, 'is not a file');
    return await readHeader(new HeaderReader(handle, path, stats.size), path, stats.size);
  } finally {
    await handle.close();
  }
}

async function opened(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw unusable(path, missing ? 'there is no such file' : `cannot be read (${(error as Error).message})`);
  }
}

async function readHeader(reader: HeaderReader, path: string, fileBytes: number): Promise<GgufHeader> {
  const version = await readVersion(reader);
  const tensorCount = await reader.size();
  const entryCount = await reader.size();
  if (tensorCount > MAX_TENSORS) throw reader.damaged(`it claims ${tensorCount} tensors`);
  if (entryCount > MAX_METADATA_ENTRIES) throw reader.damaged(`it claims ${entryCount} metadata entries`);

  const metadata: Metadata = new Map();
  for (let index = 0; index < entryCount; index++) await readEntry(reader, metadata);
  const tensors = await readTensors(reader, tensorCount);

  const alignment = numberOf(metadata, 'general.alignment') ?? DEFAULT_ALIGNMENT;
  if (alignment < 1 || !Number.isInteger(alignment)) throw reader.damaged(`an alignment of ${alignment} is impossible`);
  const dataStart = Math.ceil(reader.position / alignment) * alignment;
  const neededBytes = tensorCount === 0 ? reader.position : dataStart + tensors.dataEnd;
  if (neededBytes > fileBytes) {
    const reason = `the file is cut off: its tensors need ${neededBytes} bytes, it has ${fileBytes}`;
    throw unusable(path, reason, { neededBytes, fileBytes });
  }
  return described(reader, metadata, tensors, { version, tensorCount, fileBytes });
}

async function readVersion(reader: HeaderReader): Promise<number> {
  const magic = (await reader.bytes(MAGIC.length)).toString('latin1');
  if (magic !== MAGIC) throw reader.damaged(`it starts with ${JSON.stringify(magic)} instead of "${MAGIC}"`);
  const version = await reader.uint32();
  if (version > 0 && (version & 0xffff) === 0) throw reader.damaged('it is written for big-endian machines');
  if (version !== 2 && version !== 3) throw reader.damaged(`format version ${version} is not 2 or 3`);
  return version;
}

/** Scalars and short strings are kept; of an array only its length, under its key. */
async function readEntry(reader: HeaderReader, metadata: Metadata): Promise<void> {
  const key = await reader.string();
  const kind = await reader.uint32();
  if (key === undefined) throw reader.damaged('a metadata key is too long');
  if (kind === VALUE_STRING) {
    metadata.set(key, (await reader.string()) ?? '');
  } else if (kind === VALUE_ARRAY) {
    metadata.set(key, await skipArray(reader, key));
  } else {
    metadata.set(key, await readScalar(reader, key, kind));
  }
}

async function readScalar(reader: HeaderReader, key: string, kind: number): Promise<number> {
  const width = VALUE_BYTES[kind];
  if (width === undefined) throw reader.damaged(`the value of '${key}' has the unknown type ${kind}`);
  const bytes = await reader.bytes(width);
  switch (kind) {
    case 1:
      return bytes.readInt8();
    case 3:
      return bytes.readInt16LE();
    case 5:
      return bytes.readInt32LE();
    case 6:
      return bytes.readFloatLE();
    case 10:
      return Number(bytes.readBigUInt64LE());
    case 11:
      return Number(bytes.readBigInt64LE());
    case 12:
      return bytes.readDoubleLE();
    default:
      return bytes.readUIntLE(0, width);
  }
}

async function skipArray(reader: HeaderReader, key: string): Promise<number> {
  const kind = await reader.uint32();
  const count = await reader.size();
  const width = VALUE_BYTES[kind];
  if (kind === VALUE_STRING) {
    await reader.skipStrings(count);
  } else if (width === undefined) {
    throw reader.damaged(`the array '${key}' has elements of the unknown type ${kind}`);
  } else {
    await reader.skip(count * width);
  }
  return count;
}

async function readTensors(reader: HeaderReader, count: number): Promise<Tensors> {
  reader.expectRoom(count, 24);
  const elementsByType = new Map<string, number>();
  let parameterCount = 0;
  let tensorBytes = 0;
  let dataEnd = 0;
  for (let index = 0; index < count; index++) {
    const { typeName, elements, bytes, offset } = await readTensor(reader);
    elementsByType.set(typeName, (elementsByType.get(typeName) ?? 0) + elements);
    parameterCount += elements;
    tensorBytes += bytes;
    dataEnd = Math.max(dataEnd, offset + bytes);
  }
  const [main] = [...elementsByType].sort(([, a], [, b]) => b - a);
  return { parameterCount, tensorBytes, dataEnd, mainType: main?.[0] ?? 'none' };
}

interface Tensor {
  readonly typeName: string;
  readonly elements: number;
  readonly bytes: number;
  /** From the start of the data. */
  readonly offset: number;
}

async function readTensor(reader: HeaderReader): Promise<Tensor> {
  const name = (await reader.string()) ?? '';
  const dimensions = await reader.uint32();
  if (dimensions > MAX_DIMENSIONS) throw reader.damaged(`the tensor '${name}' has ${dimensions} dimensions`);
  let elements = 1;
  let rowElements = 1;
  for (let index = 0; index < dimensions; index++) {
    const extent = await reader.size();
    if (index === 0) rowElements = extent;
    elements *= extent;
  }
  const kind = await reader.uint32();
  const offset = await reader.size();
  const type = TENSOR_TYPES[kind];
  if (type === undefined) throw reader.damaged(`the tensor '${name}' has the unknown type ${kind}`);
  if (!Number.isSafeInteger(elements)) throw reader.damaged(`the tensor '${name}' is impossibly large`);
  if (rowElements % type.blockElements !== 0) {
    throw reader.damaged(`rows of the tensor '${name}' are not whole blocks of ${type.name}`);
  }
  return { typeName: type.name, elements, bytes: (elements / type.blockElements) * type.blockBytes, offset };
}

function numberOf(metadata: Metadata, key: string): number | undefined {
  const value = metadata.get(key);
  return typeof value === 'number' ? value : undefined;
}

function textOf(metadata: Metadata, key: string): string | undefined {
  const value = metadata.get(key);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function purposeOf(architecture: string, pooling: number | undefined): GgufHeader['purpose'] {
  if (pooling === POOLING_RANK) return 'rerank';
  return ENCODERS.has(architecture) || (pooling !== undefined && pooling > 0) ? 'embed' : 'generate';
}

function described(
  reader: HeaderReader,
  metadata: Metadata,
  tensors: Tensors,
  counts: Pick<GgufHeader, 'version' | 'tensorCount' | 'fileBytes'>,
): GgufHeader {
  const architecture = textOf(metadata, 'general.architecture');
  if (architecture === undefined) throw reader.damaged('it does not name its architecture');
  const fileType = numberOf(metadata, 'general.file_type');
  return {
    ...counts,
    architecture,
    name: textOf(metadata, 'general.name'),
    purpose: purposeOf(architecture, numberOf(metadata, `${architecture}.pooling_type`)),
    blockCount: numberOf(metadata, `${architecture}.block_count`),
    contextLength: numberOf(metadata, `${architecture}.context_length`),
    embeddingLength: numberOf(metadata, `${architecture}.embedding_length`),
    vocabSize: numberOf(metadata, 'tokenizer.ggml.tokens'),
    hasChatTemplate: metadata.has('tokenizer.chat_template'),
    quantisation: (fileType === undefined ? undefined : FILE_TYPES[fileType]) ?? tensors.mainType,
    parameterCount: tensors.parameterCount,
    tensorBytes: tensors.tensorBytes,
    splitCount: Math.max(1, numberOf(metadata, 'split.count') ?? 1),
  };
}
