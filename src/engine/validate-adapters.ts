/** Range checks of LoRA adapters in load options and requests. Every refusal is `invalid_request`. Pure. */
import {
  type AdapterOption,
  type AdapterUse,
  MAX_ADAPTERS,
  MAX_ADAPTERS_PER_REQUEST,
  MAX_ADAPTER_NAME_BYTES,
  MAX_ADAPTER_SCALE,
} from './adapter-types.js';
import { checkPath, refuse } from './validate-values.js';

/** Throws unless `adapters` is absent or a list that a model of this purpose could be loaded with. */
export function checkAdapterOptions(adapters: readonly AdapterOption[] | undefined, purpose: string): void {
  if (adapters === undefined) return;
  if (!Array.isArray(adapters) || adapters.length > MAX_ADAPTERS) {
    refuse('adapters', `adapters must be an array of at most ${MAX_ADAPTERS}`);
  }
  if (adapters.length > 0 && purpose === 'vocab') refuse('adapters', 'a vocabulary alone has no use for adapters');
  const names = adapters.map((adapter: AdapterOption | undefined) => {
    const name: unknown = adapter?.name;
    const bytes = typeof name === 'string' ? Buffer.byteLength(name) : 0;
    if (bytes < 1 || bytes > MAX_ADAPTER_NAME_BYTES) {
      refuse('adapters', `every adapter needs a name of 1 … ${MAX_ADAPTER_NAME_BYTES} bytes`);
    }
    checkPath('adapters', adapter?.file);
    return name;
  });
  if (new Set(names).size !== names.length) refuse('adapters', 'two adapters have the same name');
}

/** Throws unless `lora` is absent or names adapters of `known`, each once and with a scale in range. */
export function checkLora(lora: readonly AdapterUse[] | undefined, known: readonly string[] = []): void {
  if (lora === undefined) return;
  if (!Array.isArray(lora) || lora.length > MAX_ADAPTERS_PER_REQUEST) {
    refuse('lora', `lora must be an array of at most ${MAX_ADAPTERS_PER_REQUEST} adapters`);
  }
  const names = lora.map((use: AdapterUse | undefined) => {
    const name: unknown = use?.name;
    if (typeof name !== 'string' || !known.includes(name)) {
      const list = known.length === 0 ? 'this model was loaded without adapters' : `there are ${known.join(', ')}`;
      refuse('lora', `there is no adapter '${String(name)}': ${list}`);
    }
    const scale: unknown = use?.scale ?? 1;
    if (typeof scale !== 'number' || !(Math.abs(scale) <= MAX_ADAPTER_SCALE)) {
      refuse('lora', `the scale of an adapter must be a number in -${MAX_ADAPTER_SCALE} … ${MAX_ADAPTER_SCALE}`);
    }
    return name;
  });
  if (new Set(names).size !== names.length) refuse('lora', 'lora names an adapter twice');
}
